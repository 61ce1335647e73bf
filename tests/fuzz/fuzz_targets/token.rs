//! See `aegis_fuzz::token::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::token::run(data);
});
