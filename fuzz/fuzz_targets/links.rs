//! See [`theatrum_fuzz::house::links`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| theatrum_fuzz::house::links(data));
