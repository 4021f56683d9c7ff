//! See `checks::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::record::check(input));
