//! See `aegis_fuzz::texts::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::texts::run(data);
});
