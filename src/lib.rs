//! Theatrum: self-hosted video on demand for hospitals and universities.
//!
//! ARCHITECTURE.md is the map of this crate; the modules below are its rooms.

pub mod audit;
pub mod blobs;
pub mod domain;
pub mod edge;
pub mod keys;
pub mod kms;
pub mod links;
pub mod problem;
pub mod recent;
