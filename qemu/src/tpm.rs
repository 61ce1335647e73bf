//! A TPM 2.0 for a guest: Debian's `swtpm`, a process of its own that ends with QEMU.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::error::Error;
use crate::limits;
use crate::tool;

const SWTPM: &str = "swtpm";

/// Where a TPM keeps what it remembers, and where it is talked to.
#[derive(Clone, Debug)]
pub(crate) struct Tpm {
    state: PathBuf,
    socket: PathBuf,
}

/// One that has power. It loses it when this is dropped.
pub(crate) struct Powered(Child);

impl Drop for Powered {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Tpm {
    /// With its state in `folder`, made if it is not there, and its socket in `scratch`.
    pub(crate) fn open(folder: &Path, scratch: &Path) -> Result<Self, Error> {
        let state = folder.join("tpm");
        fs::create_dir_all(&state).map_err(|error| Error::io("make", &state, &error))?;
        Ok(Self { state, socket: scratch.join("tpm.sock") })
    }

    /// Where QEMU finds it.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Gives it power, and waits until it can be talked to. In the thread that starts QEMU: where there is `setpriv`, both are
    /// killed when that dies.
    pub(crate) fn start(&self, words: &Path) -> Result<Powered, Error> {
        let log = fs::File::create(words).map_err(|error| Error::io("create", words, &error))?;
        let mut command = if Path::new("/usr/bin/setpriv").exists() {
            let mut command = tool::command("/usr/bin/setpriv");
            command.args(["--pdeathsig", "KILL", SWTPM]);
            command
        } else {
            tool::command(SWTPM)
        };
        let errors = log.try_clone().map_err(|error| Error::io("create", words, &error))?;
        self.arguments(&mut command);
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let child = command.spawn().map_err(|error| tool::spawn_error(SWTPM, &error))?;
        let mut powered = Powered(child);
        let end = Instant::now() + limits::TPM_START;
        while !self.socket.exists() {
            let ended = powered.0.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() >= end {
                let said = fs::read_to_string(words).unwrap_or_default();
                let said = said.lines().last().unwrap_or("it said nothing");
                return Err(Error::Host(format!("{SWTPM}: {said}; mend: apt-get install {SWTPM}")));
            }
            std::thread::sleep(limits::TPM_LOOK);
        }
        Ok(powered)
    }

    fn arguments(&self, command: &mut Command) {
        command.args(["socket", "--tpm2", "--terminate"]);
        command.arg("--tpmstate").arg(option("dir", &self.state, ",mode=0600"));
        command.arg("--ctrl").arg(option("type=unixio,path", &self.socket, ""));
    }
}

fn option(name: &str, path: &Path, rest: &str) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push("=");
    option.push(path);
    option.push(rest);
    option
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_has_power_until_it_is_dropped_and_remembers() {
        let folder = tempfile::tempdir().unwrap();
        let tpm = Tpm::open(folder.path(), folder.path()).unwrap();
        let powered = tpm.start(&folder.path().join("tpm.log")).unwrap();
        let pid = powered.0.id();
        let alive = || Path::new(&format!("/proc/{pid}")).exists();
        assert!(alive() && tpm.socket().exists());
        drop(powered);
        assert!(!alive());
    }

    #[test]
    fn what_keeps_it_from_starting_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let tpm = Tpm { state: folder.path().to_owned(), socket: folder.path().join("not there/tpm.sock") };
        let error = tpm.start(&folder.path().join("tpm.log")).err().unwrap().to_string();
        assert!(error.contains("swtpm: ") && error.contains("nix"), "{error}");
    }
}
