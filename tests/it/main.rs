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
mod full_disk;
mod house;
mod idempotency;
mod inbox;
mod lists;
mod players;
mod postgres;
mod powercut;
mod quotas;
mod reconcile;
mod routes;
mod sandbox;
mod schemathesis;
mod signing;
mod support;
mod tls;
mod uploads;
