//! What integration tests share: a real server as a child process, its command line, the sample files.

pub mod player;
pub mod postgres;
pub mod samples;
pub mod server;
