//! See `aegis_fuzz::receipt::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::receipt::run(data);
});
