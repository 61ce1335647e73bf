//! See `aegis_fuzz::record::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::record::run(data);
});
