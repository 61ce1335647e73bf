//! What we build on: every dependency comes from the registry, under a licence we accept, and is in the lock file.
//! (What `cargo deny` checks under `licenses` and `sources`, without having to install it on a host without a network.)
#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// Licences accepted, SPDX. A dependency's expression must hold with these alone.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Tried and refused, each for the reason in docs/decisions.
const REFUSED: &[&str] = &["redbpf", "btf-rs", "openssl-sys", "openssl"];

/// Does an SPDX expression hold with the accepted licences? `OR`, `AND`, parentheses, and the old `/` for `OR`.
fn accepted(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    if let Some(inner) = expression.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'))
        && !inner.contains('(')
    {
        return accepted(inner);
    }
    for (operator, all) in [(" AND ", true), (" OR ", false)] {
        let parts = split_outside_parentheses(&expression, operator);
        if parts.len() > 1 {
            return if all { parts.iter().all(|p| accepted(p)) } else { parts.iter().any(|p| accepted(p)) };
        }
    }
    ACCEPTED.contains(&expression.trim())
}

fn split_outside_parentheses<'a>(text: &'a str, operator: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= from && text[at..].starts_with(operator) => {
                parts.push(&text[from..at]);
                from = at + operator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[test]
fn licence_expressions_are_understood() {
    for good in ["MIT", "MIT OR GPL-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "Apache-2.0/MIT", "(MIT)"] {
        assert!(accepted(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-2.0", "", "LGPL-2.1 OR GPL-3.0"] {
        assert!(!accepted(bad), "{bad}");
    }
}

#[test]
fn dependencies_are_accepted() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: Vec<&str> =
        packages.iter().filter(|p| p["source"].is_null()).filter_map(|p| p["name"].as_str()).collect();
    assert!(ours.contains(&"aegis"), "the metadata is this workspace's: {ours:?}");

    let mut problems = Vec::new();
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        if package["source"] != REGISTRY {
            problems.push(format!("{name}: from {}, not from the registry", package["source"]));
        }
        if !accepted(licence) {
            problems.push(format!("{name}: licence {licence:?}"));
        }
        if REFUSED.contains(&name) {
            problems.push(format!("{name}: refused (docs/decisions)"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
