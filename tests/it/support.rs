//! What integration tests share: a real server as a child process, its command line, the sample files.

pub mod clips;
pub mod http;
pub mod player;
pub mod postgres;
pub mod publishing;
pub mod rows;
pub mod samples;
pub mod seaweed;
pub mod server;
