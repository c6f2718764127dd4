//! The pure part of Theatrum: what a file is, how it is cut, what ffmpeg is told, and how its output becomes HLS.
//!
//! Nothing here touches a disk, a socket, a clock or a database: bytes and facts go in, plans, arguments, texts and
//! segments come out. The worker does the running.
//!
//! The path of a source: [`probe::sniff`] → [`probe::streams_argv`] + [`probe::packets_argv`] → [`probe::Facts`] →
//! [`plan::Plan`] → [`command`] → [`cmaf`] → [`crypt`] → [`playlist`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod boxes;
pub mod cmaf;
pub mod command;
pub mod copy;
pub mod crypt;
pub mod ladder;
pub mod nal;
pub mod pace;
pub mod plan;
pub mod playlist;
pub mod probe;
pub mod time;
pub mod timeline;
