//! `aegis-console`: what `aegis console` and `aegis top` start, and init on the serial line.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    aegis_console::run()
}
