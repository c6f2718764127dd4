//! See [`theatrum_fuzz::media::fragments`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| theatrum_fuzz::media::fragments(data));
