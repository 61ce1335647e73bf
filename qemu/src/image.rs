//! Finds the project, has its image built, picks a kernel, has a policy compiled and signed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::arch::Arch;
use crate::error::{Error, one_line};
use crate::limits::ROOT_LINE_BYTES;
use crate::tool;

/// Debian's OVMF and AAVMF, with Secure Boot. The first keeps its variables from the guest (system management mode).
const fn firmware_code(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
        Arch::Aarch64 => "/usr/share/AAVMF/AAVMF_CODE.fd",
    }
}

/// Which kernel a guest boots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// Ours, built from our fragments.
    #[default]
    Own,
    /// The one on the system disk, as on hardware: a UEFI firmware with Secure Boot finds the loader there, and the disk is the
    /// device's own and written to. Nobody tells the kernel anything: there is no workload, and the guest stays up. When it
    /// starts again, that is its end; the next boot is the next machine of the same state.
    Uefi,
    /// Debian's generic kernel, with its modules in an initramfs.
    Debian,
    /// As [`Kernel::Debian`], of this release: one of [`Kernel::RELEASES`].
    DebianRelease(&'static str),
    /// A kernel image of the caller's; a file `initramfs.img` beside it is used with it.
    Path(PathBuf),
}

impl Kernel {
    /// Debian's releases that there is an image for.
    pub const RELEASES: [&'static str; 5] = ["5.10", "6.1", "6.12", "6.18", "newest"];

    /// What `--kernel` says.
    pub fn from_argument(argument: OsString) -> Self {
        let release = |text: &str| {
            let asked = text.strip_prefix("debian-")?;
            Self::RELEASES.into_iter().find(|release| *release == asked)
        };
        match argument.to_str() {
            Some("own") => Self::Own,
            Some("uefi") => Self::Uefi,
            Some("debian") => Self::Debian,
            text => match text.and_then(release) {
                Some(release) => Self::DebianRelease(release),
                None => Self::Path(argument.into()),
            },
        }
    }
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Uefi => f.write_str("uefi"),
            Self::Debian => f.write_str("debian"),
            Self::DebianRelease(release) => write!(f, "debian-{release}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where `make image` leaves the image for `arch`.
pub fn image_folder(root: &Path, arch: Arch) -> PathBuf {
    root.join("target/image").join(arch.name())
}

/// The files of a bootable image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: Option<PathBuf>,
    pub(crate) system: PathBuf,
    /// What the kernel is told of its root.
    pub(crate) root: String,
}

impl Image {
    /// The image in `folder`, as `make image` leaves it: the debug variant, unless a firmware starts it.
    pub(crate) fn open(folder: &Path, kernel: &Kernel) -> Result<Self, Error> {
        let by_firmware = *kernel == Kernel::Uefi;
        let (kernel, initramfs) = match kernel {
            Kernel::Own | Kernel::Uefi => (folder.join("vmlinuz"), None),
            Kernel::Debian | Kernel::DebianRelease(_) => {
                let debian = folder.join(kernel.to_string());
                (debian.join("vmlinuz"), Some(debian.join("initramfs.img")))
            }
            Kernel::Path(path) => {
                let beside = path.with_file_name("initramfs.img");
                (path.clone(), beside.is_file().then_some(beside))
            }
        };
        // A firmware starts what is made for the field; whoever starts a kernel himself has a workload, which may be a script.
        let disk = if by_firmware { folder.to_owned() } else { folder.join("debug") };
        // An initramfs finds the root by itself, and holds no block of it against anything.
        let root =
            if initramfs.is_some() { "ro".to_owned() } else { read_root(&disk.join("system.cmdline"))? };
        let image = Self { kernel, initramfs, system: disk.join("system.img"), root };
        for path in [Some(&image.kernel), image.initramfs.as_ref(), Some(&image.system)].into_iter().flatten()
        {
            if let Err(error) = File::open(path) {
                return Err(Error::Host(format!(
                    "{}: can't read: {error}; mend: make image",
                    path.display()
                )));
            }
        }
        Ok(image)
    }
}

/// A virtual UEFI firmware.
#[derive(Clone, Debug)]
pub(crate) struct Firmware {
    pub(crate) code: PathBuf,
    /// Its memory: Secure Boot keys, boot order. The device's own, and written to.
    pub(crate) variables: PathBuf,
}

impl Firmware {
    /// That of the device whose disks are in `state`: a new one gets what `make firmware` left in `folder`.
    pub(crate) fn open(arch: Arch, folder: &Path, state: &Path) -> Result<Self, Error> {
        let code = PathBuf::from(firmware_code(arch));
        if let Err(error) = File::open(&code) {
            let mend = format!("make deps ARCH={}", arch.name());
            return Err(Error::Host(format!("{}: {error}; mend: {mend}", code.display())));
        }
        let (made, variables) = (folder.join("firmware.fd"), state.join("firmware.fd"));
        if !variables.exists() {
            let temporary = state.join("firmware.fd.new");
            fs::copy(&made, &temporary)
                .map_err(|error| Error::Host(format!("{}: {error}; mend: make firmware", made.display())))?;
            fs::rename(&temporary, &variables).map_err(|error| Error::io("rename", &temporary, &error))?;
        }
        Ok(Self { code, variables })
    }
}

/// The one line that `make image` leaves beside the system disk.
fn read_root(path: &Path) -> Result<String, Error> {
    let unreadable = |why: String| Error::Host(format!("{}: {why}; mend: make image", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unreadable(format!("can't read: {error}")))?;
    file.take(ROOT_LINE_BYTES).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    match text.strip_suffix('\n') {
        Some(line) if !line.is_empty() && !line.contains('\n') => Ok(line.to_owned()),
        _ => Err(unreadable("not one line".to_owned())),
    }
}

/// The project's folder: where this crate was compiled, or the nearest one above the current folder.
pub fn project_root() -> Option<PathBuf> {
    let is_root =
        |folder: &Path| folder.join("Cargo.toml").is_file() && folder.join("qemu/Cargo.toml").is_file();
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    if let Some(root) = compiled.filter(|folder| is_root(folder)) {
        return Some(root);
    }
    let here = std::env::current_dir().ok()?;
    here.ancestors().find(|folder| is_root(folder)).map(Path::to_path_buf)
}

/// Runs `make image`, and `make firmware` if it is to boot by one, their words on our stderr. One at a time on this machine, in whichever process.
///
/// # Errors
/// [`Error::Host`]; what `make` said is on stderr.
pub fn build_image(root: &Path, arch: Arch, kernel: &Kernel) -> Result<(), Error> {
    let target = root.join("target");
    fs::create_dir_all(&target).map_err(|error| Error::io("create", &target, &error))?;
    let path = target.join(".image.lock");
    let lock = File::create(&path).map_err(|error| Error::io("create", &path, &error))?;
    lock.lock().map_err(|error| Error::io("lock", &path, &error))?;
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "--silent", "-C"]).arg(root).arg("image");
    make.arg(format!("ARCH={}", arch.name()));
    match kernel {
        Kernel::Debian | Kernel::DebianRelease(_) => drop(make.arg(format!("KERNEL={kernel}"))),
        Kernel::Uefi => drop(make.arg("firmware")),
        Kernel::Own | Kernel::Path(_) => {}
    }
    // A `make run` above us must not hand its own flags and job tokens down.
    for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "KERNEL"] {
        make.env_remove(name);
    }
    make.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
    let status = make.status().map_err(|error| tool::spawn_error("make", &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Host(format!(
            "the image could not be built ({status}); its reason is above; mend: make image"
        )))
    }
}

/// A policy to be compiled and signed.
pub(crate) struct Signing<'a> {
    pub(crate) root: Option<&'a Path>,
    pub(crate) build: bool,
    pub(crate) policy: &'a Path,
    pub(crate) key: Option<&'a Path>,
    pub(crate) sequence: Option<u64>,
}

/// Compiles and signs a policy into `bundle` by `aegisctl`, whose refusal is passed on as it is.
pub(crate) fn sign(signing: &Signing<'_>, bundle: &Path) -> Result<(), Error> {
    let key = match (signing.key, signing.root) {
        (Some(key), _) => key.to_path_buf(),
        (None, Some(root)) => root.join("target/keys/policy.key"),
        (None, None) => {
            return Err(Error::usage(
                "no development key: run inside the project's folder, or sign the policy yourself and use --bundle",
            ));
        }
    };
    // Newer than any bundle signed before by a person with a working clock; the caller may say better.
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let sequence = signing.sequence.unwrap_or_else(now).to_string();
    let mut command = aegisctl(signing.root, signing.build);
    command.args(["bundle", "build", "--policy"]).arg(signing.policy).arg("--key").arg(key);
    command.args(["--sequence", &sequence, "--out"]).arg(bundle).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        Error::Host(format!("aegisctl: can't start: {error}; mend: cargo build -p aegisctl"))
    })?;
    if output.status.success() && bundle.is_file() {
        return Ok(());
    }
    let line = tool::last_line(&output.stderr).unwrap_or_else(|| format!("aegisctl: {}", output.status));
    match output.status.code() {
        Some(1 | 2) => Err(Error::Refused(one_line(&line))),
        _ => Err(Error::Host(line)),
    }
}

/// The office's tool: built fresh by cargo, or (without building) the one beside this program, the one that
/// `make tools` left, or the one in `PATH`.
pub fn aegisctl(root: Option<&Path>, build: bool) -> Command {
    if let Some(root) = root.filter(|_| build) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["run", "--quiet", "-p", "aegisctl", "--manifest-path"])
            .arg(root.join("Cargo.toml"))
            .arg("--");
        return command;
    }
    let beside = std::env::current_exe().ok().and_then(|exe| {
        // A test's program is one folder further down, in `deps`.
        exe.ancestors().skip(1).take(2).map(|folder| folder.join("aegisctl")).find(|path| path.is_file())
    });
    let made = || root.map(|root| root.join("target/debug/aegisctl")).filter(|path| path.is_file());
    Command::new(beside.or_else(made).unwrap_or_else(|| "aegisctl".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_called_what_it_was_asked_by() {
        for name in ["own", "uefi", "debian", "debian-5.10", "debian-6.12", "debian-newest", "/boot/vmlinuz"]
        {
            let kernel = Kernel::from_argument(name.into());
            assert_eq!(kernel.to_string(), name);
            assert_eq!(matches!(kernel, Kernel::Path(_)), name.starts_with('/'), "{name}");
        }
        assert_eq!(Kernel::from_argument("debian-4.19".into()), Kernel::Path("debian-4.19".into()));
    }
}
