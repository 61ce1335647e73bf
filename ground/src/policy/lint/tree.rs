//! Paths that are not in an unpacked root file system.

use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use super::known::mounted;
use super::{Code, Finding};
use crate::files::plain;
use crate::outcome::Failure;
use crate::policy::Compiled;

/// Warns of paths that lead nowhere below `tree`, links followed as the device would.
pub(super) fn missing(compiled: &Compiled, tree: &Path) -> Result<Vec<Finding>, Failure> {
    let fail = |error: Errno| Failure::usage(format!("--tree {}: {}", tree.display(), plain(&error.into())));
    let root = open(tree, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    let mut findings = Vec::new();
    for rule in &compiled.source.rules {
        for path in rule
            .raw
            .paths
            .iter()
            .chain(&rule.raw.trees)
            .filter(|path| !mounted(&path.value) && path.value != "/")
        {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            match openat2(&root, &path.value[1..], flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                Ok(_) => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    let message = format!("{} is not in {}", path.value, tree.display());
                    findings.push(Finding::new(Code::MissingPath, path.at, message));
                }
                Err(error) => return Err(fail(error)),
            }
        }
    }
    Ok(findings)
}
