//! Tests of whole rooms and of the whole house, with real ffmpeg, databases and listeners.

mod access;
mod collections;
mod corpus;
mod crash;
mod damage;
mod dead;
mod doctor;
mod edge;
mod full_disk;
mod house;
mod inbox;
mod network;
mod players;
mod postgres;
mod powercut;
mod quotas;
mod sandbox;
mod support;
mod tls;
mod uploads;
