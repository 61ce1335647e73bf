//! The links of our own image: a device decides by where a path leads, so the office must know where these do.
//!
//! A test holds them against `image/root`.

use std::borrow::Cow;

/// A link, and where it leads. `/var/tmp` is taken as a directory, which it is elsewhere.
pub(super) const LINKS: &[(&str, &str)] = &[
    ("/bin", "/usr/bin"),
    ("/lib", "/usr/lib"),
    ("/sbin", "/usr/bin"),
    ("/usr/bin/init", "/usr/bin/aegis"),
    ("/usr/sbin", "/usr/bin"),
    ("/var/run", "/run"),
];

/// One link further.
fn step(path: &[u8]) -> Option<Vec<u8>> {
    LINKS.iter().find_map(|(link, to)| {
        let rest = path.strip_prefix(link.as_bytes())?;
        (rest.is_empty() || rest.first() == Some(&b'/')).then(|| [to.as_bytes(), rest].concat())
    })
}

/// Where a path leads on our own image: itself, unless it is one of the links, or goes through one.
pub(super) fn leads(path: &[u8]) -> Cow<'_, [u8]> {
    // `/sbin/init` by two of them; no more than there are.
    LINKS.iter().fold(Cow::Borrowed(path), |at, _| match step(&at) {
        Some(further) => Cow::Owned(further),
        None => at,
    })
}

/// Where a path leads, if that is elsewhere.
pub(super) fn elsewhere(path: &[u8]) -> Option<Vec<u8>> {
    match leads(path) {
        Cow::Owned(path) => Some(path),
        Cow::Borrowed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_links_are_those_of_the_image() {
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/root");
        let image = std::fs::read_to_string(image).expect("image/root");
        // `ln -s TARGET "$tree/LINK"`.
        let made = image.lines().filter_map(|line| line.strip_prefix("ln -s ")?.split_once(" \"$tree"));
        let made: BTreeSet<(String, String)> = made
            // `/var/tmp` is left out: the policies that ship name it beside `/tmp`, as systems do where it is a directory.
            .filter(|(to, link)| !to.starts_with("/proc") && *link != "/var/tmp\"")
            .map(|(to, link)| {
                let link = link.trim_end_matches('"');
                let parent = link.rsplit_once('/').map_or("", |(parent, _)| parent);
                let to = match to.strip_prefix("../") {
                    Some(above) => {
                        format!("{}/{above}", parent.rsplit_once('/').map_or("", |(above, _)| above))
                    }
                    None => format!("{parent}/{to}"),
                };
                (link.to_owned(), to)
            })
            .collect();
        let known = LINKS.iter().map(|(link, to)| ((*link).to_owned(), (*to).to_owned())).collect();
        assert_eq!(made, known);
        assert!(LINKS.iter().all(|(_, to)| elsewhere(to.as_bytes()).is_none()), "one step leads there");
    }

    #[test]
    fn paths_lead_where_links_do() {
        for (path, to) in [
            ("/bin", "/usr/bin"),
            ("/bin/sh", "/usr/bin/sh"),
            ("/usr/sbin/init", "/usr/bin/aegis"),
            ("/var/run/aegis/x", "/run/aegis/x"),
            ("/binary", "/binary"),
            ("/usr/bin/sh", "/usr/bin/sh"),
            ("/lib64/x", "/lib64/x"),
            ("/", "/"),
        ] {
            assert_eq!(&*leads(path.as_bytes()), to.as_bytes(), "{path}");
        }
    }
}
