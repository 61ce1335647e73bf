//! `make kernels`: the edge-case suite on every kernel, one guest at a time; writes `docs/evidence/kernels.md`.
//! `KERNELS="own debian-5.10"`: only these, and nothing is written.

use std::process::ExitCode;

use aegis_qemu::{Kernel, build_image, image_folder};
use aegis_tests::suite::{Boot, Suite, Table, write_table};
use aegis_tests::{Bench, arch, root, said};

/// Package and version of one of Debian's kernels, the version of our own.
fn release(kernel: &Kernel) -> String {
    let image = image_folder(root(), arch());
    match kernel {
        Kernel::Own => {
            let config = std::fs::read_to_string(image.join("kernel.config")).unwrap_or_default();
            let line = config.lines().find(|line| line.starts_with("# Linux/"));
            line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or("own").to_owned()
        }
        other => std::fs::read_to_string(image.join(other.to_string()).join("source")).unwrap_or_default(),
    }
}

fn main() -> ExitCode {
    let asked = std::env::var("KERNELS").unwrap_or_default();
    let mut kernels: Vec<Kernel> =
        asked.split_whitespace().map(|name| Kernel::from_argument(name.into())).collect();
    let all = kernels.is_empty();
    if all {
        kernels.push(Kernel::Own);
        kernels.extend(Kernel::RELEASES.map(Kernel::DebianRelease));
    }
    let mut tables = Vec::new();
    for kernel in &kernels {
        build_image(root(), arch(), kernel).expect("the image builds");
        let bench = Bench::new();
        let mut table = Table::default();
        for boot in [Boot::Fresh, Boot::Again, Boot::Plain] {
            let state = bench.at(if boot == Boot::Plain { "device-plain" } else { "device" });
            let suite = Suite::run(&bench, kernel, boot, &state);
            eprintln!(
                "{kernel} {}: {} scenarios, {} failed",
                boot.name(),
                suite.lines.len(),
                suite.failures().len()
            );
            for failure in suite.failures() {
                eprintln!("  {failure}");
            }
            table.add(&suite);
        }
        tables.push((format!("{kernel}<br>{}", release(kernel).trim()), table));
    }
    let about = format!(
        "{}, commit {}, QEMU's software emulation on {} cores.",
        said("date", &["-u", "+%Y-%m-%d"]),
        said("git", &["rev-parse", "--short=12", "HEAD"]),
        said("nproc", &[]),
    );
    let path = root().join(if all { "docs/evidence/kernels.md" } else { "target/kernels.md" });
    write_table(&path, &about, &tables).expect("the table is written");
    println!("{}", std::fs::read_to_string(path).unwrap_or_default());
    if tables.iter().all(|(_, table)| table.is_good()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
