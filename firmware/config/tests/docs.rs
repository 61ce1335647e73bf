//! `docs/config.md` says what the table of keys says.

use aegis_config::{Code, Config, KEYS, limits};

const DOCS: &str = include_str!("../../../docs/config.md");

#[test]
fn every_key_is_in_the_docs_as_it_is() {
    let default = Config::default();
    let rows: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let value = key.value(&default).unwrap_or_default();
            format!("| `{}.{}` | {} | `{value}` | {} |", key.table, key.name, key.permitted(), key.help)
        })
        .collect();
    let found: Vec<&str> = DOCS
        .lines()
        .filter(|line| KEYS.iter().any(|key| line.starts_with(&format!("| `{}.", key.table))))
        .collect();
    assert_eq!(found, rows, "docs/config.md is to have these rows:\n{}\n", rows.join("\n"));
}

#[test]
fn every_code_and_bound_is_in_the_docs() {
    for code in Code::ALL {
        assert!(DOCS.contains(&format!("| `{}` |", code.name())), "{}", code.name());
    }
    assert!(DOCS.contains(&format!("{} KiB", limits::FILE_BYTES / 1024)));
    assert!(DOCS.contains(&format!("{} tokens", limits::TOKENS)));
}
