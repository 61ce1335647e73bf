//! What we build on, as far as CI has time for it: every crate of a lock file comes from the registry, under a licence that `deny.toml`
//! accepts, and none is banned there. Versions, and all else that is there, is `make deny`'s, which reads the same file; building it takes
//! minutes.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `deny.toml`.
struct Accepted {
    licences: Vec<String>,
    registries: Vec<String>,
    banned: Vec<String>,
}

impl Accepted {
    fn read() -> Self {
        let text = std::fs::read_to_string(top().join("deny.toml")).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let strings = |part: &str, name: &str| -> Vec<String> {
            let list = table[part][name].as_array().unwrap();
            list.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
        };
        // Who may use one that is else banned is beyond this test.
        let banned = table["bans"]["deny"].as_array().unwrap();
        let banned = banned.iter().filter(|entry| entry.get("wrappers").is_none());
        Self {
            licences: strings("licenses", "allow"),
            registries: strings("sources", "allow-registry"),
            banned: banned.map(|entry| entry["crate"].as_str().unwrap().to_owned()).collect(),
        }
    }

    /// Does an SPDX expression hold with the accepted licences alone?
    fn holds(&self, expression: &str) -> bool {
        let is_listed = |asked: &LicenseReq| self.licences.contains(&asked.to_string());
        Expression::parse_mode(expression, ParseMode::LAX)
            .is_ok_and(|expression| expression.evaluate(is_listed))
    }

    fn is_registry(&self, source: &str) -> bool {
        source.strip_prefix("registry+").is_some_and(|url| self.registries.iter().any(|known| known == url))
    }
}

#[test]
fn licence_expressions_hold_with_what_is_listed_alone() {
    let accepted = Accepted::read();
    for good in ["MIT", "MIT OR GPL-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "Apache-2.0/MIT", "(MIT)"] {
        assert!(accepted.holds(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-2.0", "", "LGPL-2.1 OR GPL-3.0"] {
        assert!(!accepted.holds(bad), "{bad}");
    }
    assert!(accepted.banned.iter().any(|name| name == "redbpf"), "{:?}", accepted.banned);
    assert!(accepted.is_registry("registry+https://github.com/rust-lang/crates.io-index"));
    assert!(!accepted.is_registry("git+https://github.com/rust-lang/crates.io-index"));
}

#[test]
fn every_crate_is_of_the_registry_and_under_a_licence_that_is_accepted() {
    let accepted = Accepted::read();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(top().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let (ours, others): (Vec<&Value>, Vec<&Value>) =
        packages.iter().partition(|package| package["source"].is_null());
    assert!(
        ours.iter().any(|package| package["name"] == "aegis"),
        "the metadata is this workspace's: {ours:?}"
    );

    let mut problems = Vec::new();
    for package in others {
        let [name, source, licence] =
            ["name", "source", "license"].map(|field| package[field].as_str().unwrap_or_default());
        if !accepted.is_registry(source) {
            problems.push(format!("{name}: from {source}, not from the registry"));
        }
        if accepted.banned.iter().any(|banned| banned == name) {
            problems.push(format!("{name}: banned"));
        }
        if !accepted.holds(licence) {
            problems.push(format!("{name}: licence {licence:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
