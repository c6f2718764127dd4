//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod sandbox;
