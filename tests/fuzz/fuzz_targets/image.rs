//! See `aegis_fuzz::image::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::image::run(data);
});
