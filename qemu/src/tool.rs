//! Runs the host's own tools (mke2fs, mtools, sfdisk, …) and turns their failure into one line.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::error::{Error, one_line};

/// Which Debian package has a tool, for the mend in the error.
fn package(tool: &str) -> &str {
    match tool {
        "mke2fs" => "e2fsprogs",
        "sfdisk" => "fdisk",
        "mcopy" | "mmd" => "mtools",
        "mkfs.vfat" => "dosfstools",
        "mksquashfs" => "squashfs-tools",
        "qemu-system-x86_64" => "qemu-system-x86",
        _ => tool,
    }
}

/// The host lacks a tool.
pub(crate) fn missing(tool: &str) -> Error {
    Error::Host(format!("{tool}: not found; mend: apt-get install {}", package(tool)))
}

/// A command for `tool`. Found in the administrator's folders too, which a user's PATH lacks on Debian.
pub(crate) fn command(tool: &str) -> Command {
    let mut command = Command::new(tool);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    if let Ok(path) = std::env::join_paths(all) {
        command.env("PATH", path);
    }
    // mtools reads its user's configuration, which must not decide what a test sees.
    command.env("MTOOLSRC", "/dev/null").env("MTOOLS_SKIP_CHECK", "1").env("LC_ALL", "C");
    command
}

/// Runs `tool` to its end with `input` on its stdin. Its stdout is dropped; the last line of its stderr is the error.
pub(crate) fn run<I, A>(tool: &str, arguments: I, input: &str) -> Result<(), Error>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = command(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| spawn_error(tool, &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ends without reading its input says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| Error::Host(format!("{tool}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Host(format!(
        "{tool}: {}",
        last_line(&output.stderr).unwrap_or_else(|| output.status.to_string())
    )))
}

pub(crate) fn spawn_error(tool: &str, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        missing(tool)
    } else {
        Error::Host(format!("{tool}: can't start: {error}"))
    }
}

/// The last line that says something.
pub(crate) fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(one_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_tool_is_named_with_its_last_line() {
        let error = run("sh", ["-c", "echo one >&2; echo two >&2; exit 3"], "").expect_err("it exits 3");
        assert_eq!(error, Error::Host("sh: two".into()));
        let error = run("no-such-tool", ["-x"], "").expect_err("it does not exist");
        assert!(error.to_string().contains("apt-get install no-such-tool"), "{error}");
    }

    #[test]
    fn input_reaches_the_tool() {
        run("sh", ["-c", "read line && test \"$line\" = hello"], "hello\n").expect("sh reads hello");
    }
}
