//! A stick's mount: in a mount namespace of this process alone, which ends with the process, however that ends. The file
//! system is named, never guessed; nothing on it is a device or a program, no link on it is followed.
#![allow(unsafe_code)] // unshare(2) of the mount namespace: see `private_namespace`

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::Path;

use aegis_stick::FileSystem;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::device::Device;

/// Where a stick is mounted, for this process.
pub(crate) const PLACE: &str = "/media/stick";

/// Leaves the mounts that everybody sees: what is mounted from here on is this process's, and gone with it. Call it
/// before any other thread exists.
pub(crate) fn private_namespace() -> io::Result<()> {
    // SAFETY: `unshare_unsafe` asks that no thread sees descriptors of a table that was unshared. Descriptors are not
    // unshared here.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(mount_change("/", private)?)
}

/// A stick that is mounted at [`PLACE`].
pub(crate) struct Mounted(());

impl Mounted {
    /// To be read only.
    pub(crate) fn to_read(device: &Device, kind: FileSystem) -> io::Result<Self> {
        let options = match kind {
            FileSystem::Vfat => c"umask=077,utf8=1,errors=remount-ro",
            FileSystem::Exfat => c"umask=077,errors=remount-ro",
            // Its journal is not run: a journal is a stranger's list of writes. What was not written back is not seen.
            FileSystem::Ext4 => c"noload,errors=remount-ro",
            FileSystem::Iso9660 => c"",
        };
        Self::new(device, kind, MountFlags::RDONLY, options)
    }

    /// To be written to.
    ///
    /// # Errors
    /// `ReadOnlyFilesystem` when the file system, or the stick, can't be written to.
    pub(crate) fn to_write(device: &Device, kind: FileSystem) -> io::Result<Self> {
        let options = match kind {
            FileSystem::Vfat => c"umask=077,utf8=1,errors=remount-ro",
            FileSystem::Exfat => c"umask=077,errors=remount-ro",
            FileSystem::Ext4 => c"errors=remount-ro",
            FileSystem::Iso9660 => return Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        };
        match Self::new(device, kind, MountFlags::empty(), options) {
            // A device that is write-protected.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                Err(io::ErrorKind::ReadOnlyFilesystem.into())
            }
            other => other,
        }
    }

    fn new(device: &Device, kind: FileSystem, more: MountFlags, options: &CStr) -> io::Result<Self> {
        // `errors` is said each time: what the file system itself asks for may be a kernel panic.
        let flags = MountFlags::NODEV
            | MountFlags::NOSUID
            | MountFlags::NOEXEC
            | MountFlags::NOSYMFOLLOW
            | MountFlags::NOATIME
            | more;
        mount(device.node(), PLACE, kind.name(), flags, options)?;
        Ok(Self(()))
    }

    /// Where it is.
    #[expect(clippy::unused_self, reason = "there is no place without a mount")]
    pub(crate) fn path(&self) -> &'static Path {
        Path::new(PLACE)
    }

    /// Writes everything back, and says whether that went well.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(self.path())?)?)
    }

    /// Ends it. Nothing of it may be open.
    pub(crate) fn end(self) -> io::Result<()> {
        std::mem::forget(self);
        Ok(unmount(PLACE, UnmountFlags::NOFOLLOW)?)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It ends with the last thing that is open on it, with this process at the latest.
        let _ = unmount(PLACE, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}
