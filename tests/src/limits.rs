//! The limits of the product as built: `image/limits`, which the builders read too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All that have a number: programs and what is measured, by name.
///
/// # Panics
/// When a line is none.
pub fn limits() -> BTreeMap<String, u64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/limits");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&text)
}

/// The most that this may be.
///
/// # Panics
/// When there is no limit of that name.
pub fn limit(name: &str) -> u64 {
    limits().get(name).copied().unwrap_or_else(|| panic!("image/limits: nothing of {name}"))
}

fn parse(text: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let ([name, number] | [name, number, _]) = words[..] else { panic!("image/limits: {line}") };
        let number = number.parse().unwrap_or_else(|_| panic!("image/limits: no number: {line}"));
        assert!(all.insert(name.to_owned(), number).is_none(), "image/limits: {name} stands twice");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_name_and_a_number() {
        assert!(limits().len() > 10, "{:?}", limits());
        assert_eq!(limit("agent-heap"), 1 << 20);
        let read = parse("# x\naegis 7\n\nmaps 9 bytes\n");
        assert_eq!((read.len(), read["aegis"], read["maps"]), (2, 7, 9));
        for wrong in ["maps\n", "maps x bytes\n", "a 1\na 2\n", "a 1 b c\n"] {
            assert!(std::panic::catch_unwind(|| parse(wrong)).is_err(), "{wrong}");
        }
    }

    /// Each is held by a test, and the specification names it.
    #[test]
    fn the_specification_has_every_limit() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../SPECIFICATION.md"));
        let text = text.expect("it is there");
        for name in limits().keys() {
            assert!(text.contains(&format!("`{name}`")), "SPECIFICATION.md says nothing of `{name}`");
        }
    }
}
