//! Theatrum: self-hosted video on demand for hospitals and universities.
//!
//! ARCHITECTURE.md is the map of this crate; the modules below are its rooms.

pub mod api;
pub mod audit;
pub mod backup;
pub mod blobs;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod depot;
pub mod domain;
pub mod doorbell;
pub mod edge;
pub mod encoding;
pub mod failpoint;
pub mod ingest;
pub mod keys;
pub mod kms;
pub mod library;
pub mod links;
pub mod listen;
pub mod notify;
pub mod policy;
pub mod problem;
pub mod recent;
pub mod representation;
pub mod roles;
pub mod storage;
pub mod telemetry;
pub mod tls;
pub mod uploads;
pub mod worker;
