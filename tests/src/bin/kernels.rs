//! `make kernels`: the edge-case suite and the tests of what is seen on every kernel, two guests at a time; writes `docs/evidence/kernels.md`.
//! `KERNELS="own debian-5.10"`: only these, and nothing is written.

use std::process::{Command, ExitCode};

use aegis_qemu::{Kernel, build_image, image_folder};
use aegis_tests::suite::{Boot, Suite, Table, write_table};
use aegis_tests::{Bench, arch, few_at_once, root, said};

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

/// All that is held on one kernel.
fn held(kernel: &Kernel) -> Table {
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
    // Before 5.17 paths are their last components, and much is skipped with rules or without.
    if matches!(kernel, Kernel::DebianRelease("5.10")) {
        return table;
    }
    let suite = Suite::run(&bench, kernel, Boot::Absent, &bench.at("device-absent"));
    let needless = suite.needless();
    eprintln!("{kernel} without rules: {} scenarios, {} failed", suite.lines.len(), needless.len());
    table.add_other("*without rules, each act passes*", suite.lines.len().to_string(), needless);
    let (went, failed) = observed(kernel);
    eprintln!("{kernel} observation: {went}, {} failed", failed.len());
    table.add_other("*events, field by field*", went, failed);
    table
}

/// The tests of what is seen, as `cargo test` says it.
fn observed(kernel: &Kernel) -> (String, Vec<String>) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--quiet", "--package", "aegis-tests", "--test", "e2e", "--", "observation::"]);
    command.current_dir(root()).env("AEGIS_KERNEL", kernel.to_string()).env("AEGIS_NO_BUILD", "1");
    let output = command.output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed =
        text.lines().find_map(|line| line.strip_prefix("test result: ")?.split(' ').nth(1)).unwrap_or("0");
    let mut failed: Vec<String> =
        text.lines().filter(|line| line.ends_with(" --- FAILED")).map(str::to_owned).collect();
    if !output.status.success() && failed.is_empty() {
        failed.push(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no word").to_owned());
    }
    (passed.to_owned(), failed)
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
    for kernel in &kernels {
        build_image(root(), arch(), kernel).expect("the image builds");
    }
    let tables: Vec<(String, Table)> =
        few_at_once(&kernels, |kernel| (format!("{kernel}<br>{}", release(kernel).trim()), held(kernel)));
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
