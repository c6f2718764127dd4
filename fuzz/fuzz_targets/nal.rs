//! See [`theatrum_fuzz::media::nal`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| theatrum_fuzz::media::nal(data));
