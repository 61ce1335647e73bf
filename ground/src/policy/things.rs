//! What policies are asked of: the finitely many things that stand for all that there are.
//!
//! A path that no rule names is decided by the trees above it alone, so what lies in a tree and is not named stands for
//! itself everywhere in it: [`Thing::Below`]. In the same way a prefix stands for its addresses that no longer prefix has,
//! a range of ports for ports between which no rule tells, and no protocol for all that no rule names.

use std::fmt;

use aegis_event::Printable;
use aegis_policy::{Kind, Operations, Prefix};
use serde_json::{Map, Value, json};

use super::image::elsewhere;
use super::target::protocol_name;
use crate::hex;

/// Something to ask a policy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing<'a> {
    /// The file of this name.
    Path(&'a [u8]),
    /// What lies below this directory and is named by no rule.
    Below(&'a [u8]),
    /// Some addresses, ports, and a protocol; none: all that no rule names.
    Net { prefix: Prefix, ports: (u16, u16), protocol: Option<u8> },
    /// A program of this SHA-256, of a name that no rule has.
    Hash([u8; 32]),
    /// The kernel's own surface.
    Surface,
}

impl Thing<'_> {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Path(_) | Self::Below(_) => Kind::Files,
            Self::Net { .. } => Kind::Addresses,
            Self::Hash(_) => Kind::Hashes,
            Self::Surface => Kind::Surface,
        }
    }

    /// What can be done to it.
    pub(crate) const fn operations(&self) -> Operations {
        self.kind().operations()
    }

    /// As fields of a JSON object.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        match self {
            Self::Path(path) => {
                put("path", Printable(path).to_string().into());
                if let Some(to) = elsewhere(path) {
                    put("leads_to", Printable(&to).to_string().into());
                }
            }
            Self::Below(tree) => {
                put("below", Printable(tree).to_string().into());
                if let Some(to) = elsewhere(tree) {
                    put("leads_to", Printable(&to).to_string().into());
                }
            }
            Self::Net { prefix, ports: (first, last), protocol } => {
                put("address", prefix.to_string().into());
                put("ports", json!([first, last]));
                put("protocol", protocol.map(protocol_name).into());
            }
            Self::Hash(hash) => {
                put("hash", hex::encode(hash).into());
            }
            Self::Surface => {}
        }
        fields
    }
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => {
                Printable(path).fmt(f)?;
                leading(f, path)
            }
            Self::Below(b"/") => f.write_str("/*"),
            Self::Below(tree) => {
                write!(f, "{}/*", Printable(tree))?;
                leading(f, tree)
            }
            Self::Net { prefix, ports: (first, last), protocol } => {
                write!(f, "{prefix}")?;
                match (*first, *last) {
                    (0, u16::MAX) => {}
                    (first, last) if first == last => write!(f, " port {first}")?,
                    (first, last) => write!(f, " ports {first}-{last}")?,
                }
                match protocol {
                    Some(number) => write!(f, " {}", protocol_name(*number)),
                    None => f.write_str(" other protocols"),
                }
            }
            Self::Hash(hash) => write!(f, "programs {}", hex::encode(hash)),
            Self::Surface => f.write_str("the kernel"),
        }
    }
}

/// Where a path leads, if that is elsewhere.
fn leading(f: &mut fmt::Formatter<'_>, path: &[u8]) -> fmt::Result {
    elsewhere(path).map_or(Ok(()), |to| write!(f, " (leads to {})", Printable(&to)))
}

/// A directory and all above it, from the root down; the path itself is the last.
pub(crate) fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inner = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    let root = path.first_chunk::<1>().map(|first| &first[..]);
    root.into_iter().chain(inner).chain((path.len() > 1).then_some(path))
}

#[cfg(test)]
mod tests {
    use super::upwards;

    #[test]
    fn a_path_has_directories_above_it() {
        for (path, expected) in
            [("/", &["/"][..]), ("/a", &["/", "/a"]), ("/a/b/c", &["/", "/a", "/a/b", "/a/b/c"]), ("", &[])]
        {
            let found: Vec<&str> =
                upwards(path.as_bytes()).map(|of| std::str::from_utf8(of).expect("text")).collect();
            assert_eq!(found, expected, "{path}");
        }
    }
}
