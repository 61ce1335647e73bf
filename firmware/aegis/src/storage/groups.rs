//! The groups that a device is in: one a line, from the image and from own storage.

use std::io;
use std::path::Path;

use aegis_bundle::{is_group, limits as bounds};

use super::{DATA, IMAGE, atomic};

const FILE: &str = "groups";
/// Longest file of groups, bytes.
const FILE_BYTES: u64 = 4096;

/// The groups of this device: those of the image, then those of own storage, each once. What is no group, and what is
/// too many, is said and passed over.
pub(super) fn read() -> Vec<String> {
    let mut groups = Vec::new();
    for directory in [IMAGE, DATA] {
        let path = Path::new(directory).join(FILE);
        match atomic::read_bounded(&path, FILE_BYTES) {
            Ok(bytes) => {
                for line in add(&mut groups, &String::from_utf8_lossy(&bytes)) {
                    log::warn!("{}: {line} (passed over)", path.display());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("{}: {error} (passed over)", path.display()),
        }
    }
    groups
}

/// Adds the groups of a file; returns what there is to say of lines that were passed over.
fn add(groups: &mut Vec<String>, text: &str) -> Vec<String> {
    let mut passed_over = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() || groups.iter().any(|group| group == name) {
            continue;
        }
        if !is_group(name) {
            passed_over
                .push(format!("line {}: no group: lower-case letters, digits, `.`, `_`, `-`", number + 1));
        } else if groups.len() == bounds::GROUPS {
            passed_over.push(format!(
                "line {}: a device is in at most {} groups",
                number + 1,
                bounds::GROUPS
            ));
        } else {
            groups.push(name.to_owned());
        }
    }
    passed_over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_lines_and_what_is_none_is_said() {
        let mut groups = vec!["north".to_owned()];
        let passed_over =
            add(&mut groups, "# of the site\n\npumps # two of them\r\nnorth\nNorth\n a b \n\u{fffd}\n");
        assert_eq!(groups, ["north", "pumps"]);
        assert_eq!(passed_over.len(), 3);
        assert!(passed_over[0].starts_with("line 5: "), "{passed_over:?}");
        let many: Vec<String> = (0..bounds::GROUPS).map(|n| format!("g{n}")).collect();
        assert_eq!(add(&mut groups, &many.join("\n")).len(), 2);
        assert_eq!(groups.len(), bounds::GROUPS);
    }
}
