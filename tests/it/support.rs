//! What integration tests share: a real server as a child process, its command line, the sample files.

pub mod authority;
pub mod chance;
pub mod checklist;
pub mod clips;
pub mod http;
pub mod intact;
pub mod network;
pub mod orphans;
pub mod pebble;
pub mod player;
pub mod ports;
pub mod postgres;
pub mod powercut;
pub mod publishing;
pub mod rows;
pub mod s3;
pub mod samples;
pub mod seaweed;
pub mod server;
pub mod small_disk;
pub mod waiting;
