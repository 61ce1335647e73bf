//! See `aegis_fuzz::workload::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    aegis_fuzz::workload::run(data);
});
