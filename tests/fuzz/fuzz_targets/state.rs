//! See `aegis_fuzz::state::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::state::run(data);
});
