//! See `checks::decoder`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::decoder::check(input));
