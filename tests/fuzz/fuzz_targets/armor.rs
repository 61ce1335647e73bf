//! See `aegis_fuzz::token::armor_run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::token::armor_run(data);
});
