//! See `aegis_fuzz::bundle::manifest_run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::bundle::manifest_run(data);
});
