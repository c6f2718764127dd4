//! See [`theatrum_fuzz::house::uploads`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| theatrum_fuzz::house::uploads(data));
