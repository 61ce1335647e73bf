//! See `aegis_fuzz::console::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::console::run(data);
});
