//! See `aegis_fuzz::seal::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::seal::run(data);
});
