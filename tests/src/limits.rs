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

    /// What both builders ask: a file that is one byte too long is refused by its name, one that is not is taken.
    #[test]
    fn the_builders_refuse_what_is_longer() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folder = tempfile::tempdir().expect("made");
        let make = |name: &str, length: u64| {
            let path = folder.path().join(name);
            fs::File::create(&path).and_then(|file| file.set_len(length)).expect("made");
            path
        };
        let ask = |function: &str, arguments: &[&std::ffi::OsStr]| {
            let mut command = std::process::Command::new("bash");
            command.arg("-euc").arg(". \"$0\"; \"$@\"").arg(top.join("image/lib.sh")).arg(function);
            let done = command.args(arguments).output().expect("bash");
            (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
        };
        let programs = || ask("within_limits", &[folder.path().as_os_str(), "build it".as_ref()]);
        let all: Vec<(String, u64)> =
            limits().into_iter().filter(|(name, _)| name.starts_with("aegis")).collect();
        for (name, most) in &all {
            make(name, *most);
        }
        assert_eq!(programs(), (Some(0), String::new()));
        for (name, most) in &all {
            make(name, most + 1);
            let (code, said) = programs();
            assert_eq!(code, Some(2), "{name}: {said}");
            assert!(said.contains(&format!("/{name}: {} bytes, more than the {most}", most + 1)), "{said}");
            make(name, *most);
        }
        fs::remove_file(folder.path().join(&all[0].0)).expect("there");
        let (code, said) = programs();
        assert!(code == Some(2) && said.ends_with("(build it)\n"), "{code:?} {said}");

        let (root, both) = (limit("root"), limit("kernel-and-root"));
        for (root, kernel, text) in [
            (root, both - root, ""),
            (root + 1, 1, "root.img: "),
            (root, both - root + 1, "kernel and root: "),
        ] {
            let (image, kernel) = (make("root.img", root), make("vmlinuz", kernel));
            let (code, said) = ask("root_within_limits", &[image.as_os_str(), kernel.as_os_str()]);
            assert_eq!(code, Some(if text.is_empty() { 0 } else { 2 }), "{said}");
            assert!(said.contains(text) && said.is_empty() == text.is_empty(), "{said}");
        }

        let common = "buildroot/board/aegis/common";
        for (script, functions) in [
            ("image/build".to_owned(), &["within_limits", "root_within_limits"][..]),
            (format!("{common}/post-fakeroot.sh"), &["within_limits"]),
            (format!("{common}/post-image.sh"), &["root_within_limits"]),
        ] {
            let text = fs::read_to_string(top.join(&script)).expect("it is there");
            for function in functions {
                let asks = |line: &str| {
                    line.split("|| ").last().is_some_and(|call| call.starts_with(&format!("{function} ")))
                };
                assert!(text.lines().any(asks), "{script} does not ask {function}");
            }
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
