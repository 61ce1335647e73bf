//! See `aegis_fuzz::cose::sign_run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::cose::sign_run(data);
});
