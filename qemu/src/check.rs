//! What can be known to be wrong before anything is built or written; each refusal names the thing and its mend.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{Error, unreadable};
use crate::image::Kernel;
use crate::limits;
use crate::machine::Machine;
use crate::vm::accelerator;

impl Machine {
    /// Checks everything that can be known before anything is built or written.
    ///
    /// # Errors
    /// [`Error::Usage`], naming the thing and its mend.
    pub fn check(&self) -> Result<(), Error> {
        accelerator()?;
        if let Some(folder) = &self.workload {
            workload_name(folder)?;
        }
        if self.policy.is_some() && self.bundle.is_some() {
            return Err(Error::usage(
                "--policy and --bundle: give one of them, a bundle is a policy already signed",
            ));
        }
        let extra = self.files.iter().map(|(_, path)| path);
        for (what, path) in self
            .policy
            .iter()
            .map(|path| ("policy", path))
            .chain(self.bundle.iter().chain(extra).map(|path| ("bundle", path)))
        {
            let meta = file_or_other(path).map_err(|error| unreadable(what, path, &error))?;
            if !meta.is_file() {
                return Err(Error::usage(format!(
                    "{}: is not a file; mend: name the {what}'s file",
                    path.display()
                )));
            }
            if meta.len() > limits::STICK_FILE_BYTES {
                return Err(Error::usage(format!(
                    "{}: is larger than {} bytes, the most for one file on the stick",
                    path.display(),
                    limits::STICK_FILE_BYTES
                )));
            }
        }
        for (name, _) in &self.files {
            if !is_plain_name(name) {
                return Err(Error::usage(format!(
                    "{name:?}: is no name for a file on the stick; mend: use letters, digits, '.', '_', '-'"
                )));
            }
        }
        if let Kernel::Path(path) = &self.kernel {
            let meta = file_or_other(path)
                .map_err(|error| unreadable("kernel (own, debian or a file)", path, &error))?;
            if !meta.is_file() {
                return Err(Error::usage(format!(
                    "{}: is not a file; mend: --kernel own, debian or a kernel's file",
                    path.display()
                )));
            }
        }
        if !(limits::MEMORY_MIN_MIB..=limits::MEMORY_MAX_MIB).contains(&self.memory_mib) {
            return Err(Error::usage(format!(
                "--memory {}: must be {} to {} (MiB)",
                self.memory_mib,
                limits::MEMORY_MIN_MIB,
                limits::MEMORY_MAX_MIB
            )));
        }
        if self.timeout.is_zero() || self.timeout.as_secs() > limits::TIMEOUT_MAX_SECONDS {
            return Err(Error::usage(format!(
                "--timeout {}: must be 1 to {} (seconds)",
                self.timeout.as_secs(),
                limits::TIMEOUT_MAX_SECONDS
            )));
        }
        if self.append.chars().any(|c| c.is_control() || !c.is_ascii()) {
            return Err(Error::usage(
                "--append: has characters that a kernel command line can't hold; mend: printable ASCII only",
            ));
        }
        if self.append.len() + 512 > limits::COMMAND_LINE_BYTES {
            return Err(Error::usage(format!(
                "--append: is {} bytes, at most {}",
                self.append.len(),
                limits::COMMAND_LINE_BYTES - 512
            )));
        }
        if self.ring_bytes < 4 << 20 || !self.ring_bytes.is_multiple_of(1 << 20) {
            return Err(Error::usage("ring size: must be a multiple of 1 MiB, at least 4 MiB"));
        }
        if let Some(folder) = &self.image
            && !folder.is_dir()
        {
            return Err(Error::usage(format!(
                "{}: is no folder; mend: --image takes the folder that make image fills",
                folder.display()
            )));
        }
        self.check_out()
    }

    fn check_out(&self) -> Result<(), Error> {
        match fs::read_dir(&self.out) {
            Ok(mut entries) => match entries.next() {
                None => Ok(()),
                Some(_) => Err(Error::usage(format!(
                    "{}: is not empty; mend: --out takes an empty folder or a new name",
                    self.out.display()
                ))),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                Err(Error::usage(format!("{}: can't be the output folder: {error}", self.out.display())))
            }
        }
    }
}

/// What a path leads to, and that a file there can be read. Nothing else is opened: a pipe would wait for its writer.
fn file_or_other(path: &Path) -> std::io::Result<fs::Metadata> {
    let meta = fs::metadata(path)?;
    if meta.is_file() {
        fs::File::open(path)?;
    }
    Ok(meta)
}

/// The workload that `folder` is: its last component, checked, with an executable `run` in it.
///
/// # Errors
/// [`Error::Usage`], naming the thing and its mend.
pub fn workload_name(folder: &Path) -> Result<String, Error> {
    let shown = folder.display();
    let full = fs::canonicalize(folder).map_err(|error| unreadable("workload folder", folder, &error))?;
    if !full.is_dir() {
        return Err(Error::usage(format!(
            "{shown}: is not a folder; mend: --workload takes the folder that holds run"
        )));
    }
    let name = full.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_plain_name(name) {
        return Err(Error::usage(format!(
            "{shown}: its name is no workload name; mend: begin with a letter or digit, go on with letters, digits, '.', '_', '-'"
        )));
    }
    if name.len() > limits::WORKLOAD_NAME_BYTES {
        return Err(Error::usage(format!(
            "{shown}: its name has {} bytes; mend: at most {}",
            name.len(),
            limits::WORKLOAD_NAME_BYTES
        )));
    }
    let run = full.join("run");
    let target = fs::canonicalize(&run).map_err(|error| {
        Error::usage(format!(
            "{}: {error}; mend: put the workload's program there, executable",
            folder.join("run").display()
        ))
    })?;
    let meta = fs::metadata(&target).map_err(|error| unreadable("workload's program", &run, &error))?;
    if !target.starts_with(&full) {
        return Err(Error::usage(format!(
            "{}: points outside its folder, which is all the guest gets; mend: copy the program in",
            folder.join("run").display()
        )));
    }
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(Error::usage(format!(
            "{0}: is not an executable file; mend: chmod +x {0}",
            folder.join("run").display()
        )));
    }
    Ok(name.to_owned())
}

/// A name that passes through a command line, a cgroup and a vfat unchanged.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// What a bundle is called on the stick: its own name where that can be.
pub(crate) fn bundle_name(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_bundle = Path::new(name).extension().is_some_and(|extension| extension == "aegis");
    if is_plain_name(name) && is_bundle && name.len() <= 128 { name.into() } else { "bundle.aegis".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["demo", "a.b-c_d", "0"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".", "..", ".x", "-x", "a b", "a/b", "a,b", "ä", "a=b", "a\n"] {
            assert!(!is_plain_name(name), "{name}");
        }
        assert_eq!(bundle_name(Path::new("/x/new.aegis")), "new.aegis");
        assert_eq!(bundle_name(Path::new("/x/a b.aegis")), "bundle.aegis");
        assert_eq!(bundle_name(Path::new("/x/new.bin")), "bundle.aegis");
    }
}
