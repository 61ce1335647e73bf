//! Prints the table of `docs/metrics.md`.

fn main() {
    let mut text = String::new();
    // A string takes all.
    let _ = aegis_metrics::contract(&mut text);
    print!("{text}");
}
