//! See [`theatrum_fuzz::media::segments`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| theatrum_fuzz::media::segments(data));
