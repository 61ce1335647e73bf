//! See `aegis_fuzz::export::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::export::run(data);
});
