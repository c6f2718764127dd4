//! What integration tests share: a real server as a child process, its command line, the sample files.

pub mod chance;
pub mod clips;
pub mod http;
pub mod network;
pub mod orphans;
pub mod player;
pub mod postgres;
pub mod powercut;
pub mod publishing;
pub mod rows;
pub mod samples;
pub mod server;
