//! What is fuzzed: each target takes any bytes, and panics where something holds no longer.
//!
//! The same functions run under libFuzzer (`fuzz_targets/`, `make fuzz`) and over the kept corpus as ordinary tests (`crates/media/tests/fuzzed.rs`,
//! `tests/it/fuzzed.rs`).

#[cfg(feature = "house")]
pub mod house;
pub mod media;
