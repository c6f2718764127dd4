//! The pure part of Theatrum.
pub mod crypt;
pub mod playlist;
pub mod time;
