//! Runs the host's own tools (mke2fs, mtools, sfdisk, …) and turns their failure into one line.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, one_line};
use crate::limits;

/// Which Debian package has a tool, for the mend in the error.
fn package(tool: &str) -> &str {
    match tool {
        "mke2fs" | "e2fsck" | "debugfs" => "e2fsprogs",
        "sfdisk" => "fdisk",
        "mcopy" => "mtools",
        "mkfs.vfat" => "dosfstools",
        "mkfs.exfat" => "exfatprogs",
        "mksquashfs" => "squashfs-tools",
        "qemu-system-x86_64" => "qemu-system-x86",
        "qemu-system-aarch64" => "qemu-system-arm",
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
    if matches!(tool, "mcopy" | "genisoimage") {
        // So that the same input makes the same stick.
        command.env("SOURCE_DATE_EPOCH", limits::STICK_TIME.to_string()).env("TZ", "UTC");
    }
    command
}

/// Runs `tool` to its end with `input` on its stdin. Its stdout is dropped; the last line of its stderr is the error.
pub(crate) fn run<I, A>(tool: &str, arguments: I, input: &str) -> Result<(), Error>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = command(tool);
    command.args(arguments).stdout(Stdio::null());
    let output = finish(tool, command, input)?;
    if output.status.success() { Ok(()) } else { Err(failed(tool, &output)) }
}

/// Runs `tool` in `folder` on what a guest made: it is killed after [`limits::STICK_READ`]. Its stdout.
pub(crate) fn bounded<I, A>(tool: &str, arguments: I, input: &str, folder: &Path) -> Result<Vec<u8>, Error>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let seconds = limits::STICK_READ.as_secs();
    let mut command = command("timeout");
    command.args(["--signal=KILL", &seconds.to_string(), tool]).args(arguments);
    command.current_dir(folder).stdout(Stdio::piped());
    let output = finish(tool, command, input)?;
    // What `timeout` itself ends with (timeout(1)): 127 no such command; by our choice of signal, killed.
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Ok(output.stdout),
        (Some(127), _) => Err(missing(tool)),
        (Some(137), _) | (_, Some(9)) => {
            Err(Error::Host(format!("{tool}: did not end in {seconds} s and was killed")))
        }
        _ => Err(failed(tool, &output)),
    }
}

fn finish(tool: &str, mut command: Command, input: &str) -> Result<Output, Error> {
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| spawn_error(tool, &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ends without reading its input says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().map_err(|error| Error::Host(format!("{tool}: {error}")))
}

fn failed(tool: &str, output: &Output) -> Error {
    let said = last_line(&output.stderr).unwrap_or_else(|| output.status.to_string());
    Error::Host(format!("{tool}: {said}"))
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

    #[test]
    fn a_bounded_tool_runs_in_its_folder_and_tells_of_its_end() {
        let here = Path::new("/");
        assert_eq!(bounded("sh", ["-c", "pwd; cat"], "x", here).expect("it runs"), b"/\nx");
        let error = bounded("no-such-tool", ["-x"], "", here).expect_err("it does not exist");
        assert!(error.to_string().contains("apt-get install no-such-tool"), "{error}");
        let error = bounded("sh", ["-c", "echo why >&2; exit 1"], "", here).expect_err("it exits 1");
        assert_eq!(error, Error::Host("sh: why".into()));
        let error = bounded("sh", ["-c", "kill -KILL $$"], "", here).expect_err("it is killed");
        assert!(error.to_string().contains("was killed"), "{error}");
    }
}
