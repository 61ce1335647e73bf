//! See `aegis_fuzz::root::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::root::run(data);
});
