//! The words of the house: ids, states, errors. No SQL, no HTTP, no clock.

pub mod access_key;
pub mod checksum;
pub mod collection;
pub mod error;
pub mod event;
pub mod ids;
pub mod inbox;
pub mod job;
pub mod origin;
pub mod quota;
pub mod replacement;
pub mod role;
pub mod size;
pub mod upload;
pub mod verification;
pub mod video;
pub mod webhook;

pub use error::{Error, ErrorKind, Result};
