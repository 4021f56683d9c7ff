//! See `checks::websocket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::websocket::check(input));
