//! See `aegis_fuzz::policy::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::policy::run(data);
});
