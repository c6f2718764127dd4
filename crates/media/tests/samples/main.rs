//! Real ffmpeg on the sample files, straight from disk: probe → plan → all chunks → segments, compared with one plain run of ffmpeg.
//!
//! `THEATRUM_SAMPLES` names the folder that holds `good/` and `bad/`; where it is absent the tests say what they leave out.

#![allow(clippy::unwrap_used)]

mod bad;
mod copied;
mod good;
mod index;
mod joined;
mod made;
mod run;
mod sink;
