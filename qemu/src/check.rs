//! What can be known to be wrong before anything is built or written; each refusal names the thing and its mend.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::arch::Arch;
use crate::error::{Error, unreadable};
use crate::image::Kernel;
use crate::limits;
use crate::machine::{DiskBus, Machine, POLICY_NAME};
use crate::qemu::accelerator;
use crate::stick::check_file;

impl Machine {
    /// Checks everything that can be known before anything is built or written.
    ///
    /// # Errors
    /// [`Error::Usage`], naming the thing and its mend.
    pub fn check(&self) -> Result<(), Error> {
        accelerator(self.arch)?;
        if let Some(folder) = &self.workload {
            workload_name(folder)?;
        }
        if self.policy.is_some() && !self.bundles.is_empty() {
            return Err(Error::usage(
                "--policy and --bundle: give one of them, a bundle is a policy already signed",
            ));
        }
        if self.kernel == Kernel::Uefi && (self.workload.is_some() || !self.append.is_empty()) {
            return Err(Error::usage(
                "--kernel uefi: takes no --workload and no --append: what is booted is the image's, and signed",
            ));
        }
        if self.disk_bus == DiskBus::Sata && self.arch == Arch::Aarch64 {
            return Err(Error::usage(
                "a SATA disk: aarch64's firmware starts from none; mend: DiskBus::Virtio or DiskBus::Nvme",
            ));
        }
        self.check_stick()?;
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
        if self.data_bytes < 16 << 20 || !self.data_bytes.is_multiple_of(1 << 20) {
            return Err(Error::usage("data disk's size: must be a multiple of 1 MiB, at least 16 MiB"));
        }
        if let Some(folder) = &self.image
            && !folder.is_dir()
        {
            return Err(Error::usage(format!(
                "{}: is no folder; mend: --image takes the folder that make image fills",
                folder.display()
            )));
        }
        if let Some(seconds) = self.clock.filter(|seconds| *seconds > limits::CLOCK_MAX) {
            return Err(Error::usage(format!(
                "--clock {seconds}: must be 0 to {} (Unix seconds)",
                limits::CLOCK_MAX
            )));
        }
        self.check_out()
    }

    fn check_stick(&self) -> Result<(), Error> {
        if let Some(policy) = &self.policy {
            check_file("policy", policy)?;
        }
        if let Some(config) = &self.config {
            check_file("config", config)?;
        }
        for bundle in &self.bundles {
            check_file("bundle", bundle)?;
        }
        let mut files = self.stick_files();
        // Not made yet: its source stands in for it.
        files.extend(self.policy.iter().map(|policy| (POLICY_NAME.to_owned(), policy.clone())));
        match &self.stick {
            None if files.is_empty() => Ok(()),
            None => Err(Error::usage(
                "--no-stick: a policy, bundle or file has no stick to be on; mend: leave one of them out",
            )),
            Some(stick) => {
                let mut stick = stick.clone();
                stick.add(files);
                stick.check()
            }
        }
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
pub(crate) fn file_or_other(path: &Path) -> std::io::Result<fs::Metadata> {
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
    // What prepares is a workload too, and called after it.
    let suffix = if full.join("prepare").is_file() { "-prepare" } else { "" };
    if name.len() + suffix.len() > limits::WORKLOAD_NAME_BYTES {
        return Err(Error::usage(format!(
            "{shown}: its name has {} bytes; mend: at most {}",
            name.len(),
            limits::WORKLOAD_NAME_BYTES - suffix.len()
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

/// What a bundle is called on the stick: its own name where that can be and is not `taken`, or `bundle.aegis`, …
pub(crate) fn bundle_name(path: &Path, taken: impl Fn(&str) -> bool) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_bundle = Path::new(name).extension().is_some_and(|extension| extension == "aegis");
    if is_plain_name(name) && is_bundle && name.len() <= limits::STICK_NAME_BYTES && !taken(name) {
        return name.into();
    }
    let names = (1..).map(|number| match number {
        1 => "bundle.aegis".to_owned(),
        _ => format!("bundle-{number}.aegis"),
    });
    names.into_iter().find(|name| !taken(name)).expect("there are more numbers than names taken")
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
        for (path, taken, expected) in [
            ("/x/new.aegis", &[][..], "new.aegis"),
            ("/x/a b.aegis", &[], "bundle.aegis"),
            ("/x/new.bin", &[], "bundle.aegis"),
            ("/y/new.aegis", &["new.aegis"], "bundle.aegis"),
            ("/y/new.aegis", &["new.aegis", "bundle.aegis"], "bundle-2.aegis"),
        ] {
            assert_eq!(bundle_name(Path::new(path), |name| taken.contains(&name)), expected);
        }
    }
}
