//! See `aegis_fuzz::site::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::site::run(data);
});
