//! Theatrum: self-hosted video on demand for hospitals and universities.
//!
//! ARCHITECTURE.md is the map of this crate; the modules below are its rooms.

pub mod domain;
pub mod worker;
