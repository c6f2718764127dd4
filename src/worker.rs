//! The worker: runs jobs, each with its own sandboxed ffmpeg that reads and writes through a door.

pub mod door;
pub mod ffmpeg;
pub mod sandbox;
