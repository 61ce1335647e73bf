//! See `aegis_fuzz::fat::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::fat::run(data);
});
