//! Tests of whole rooms and of the whole house, with real ffmpeg, databases and listeners.

mod access;
mod collections;
mod corpus;
mod crash;
mod damage;
mod dead;
mod doctor;
mod downloads;
mod edge;
mod house;
mod inbox;
mod postgres;
mod powercut;
mod quotas;
mod sandbox;
mod signing;
mod support;
mod uploads;
