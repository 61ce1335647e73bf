//! See `aegis_fuzz::bundle::open_run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::bundle::open_run(data);
});
