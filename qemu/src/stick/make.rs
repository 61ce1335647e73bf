//! Makes a stick's image: a folder with all that is to be on it, then the file system's own tool.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::exfat::Volume;
use super::{Stick, StickFs};
use crate::disks::sparse;
use crate::error::Error;
use crate::limits;
use crate::tool;

/// Makes `stick` at `path`.
pub(super) fn make(stick: &Stick, path: &Path) -> Result<(), Error> {
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stage = tempfile::tempdir_in(beside).map_err(|error| Error::io("make a folder", beside, &error))?;
    let content = stage.path().join("content");
    lay_out(stick, &content)?;
    if !stick.partitioned {
        return file_system(stick, &content, path, limits::STICK_BYTES);
    }

    let part = stage.path().join("part");
    file_system(stick, &content, &part, limits::STICK_BYTES - limits::PARTITION_START_BYTES)?;
    sparse(path, limits::STICK_BYTES)?;
    let kind = match stick.fs {
        StickFs::Vfat => "c",
        StickFs::Exfat => "7",
        StickFs::Ext4 | StickFs::Iso9660 => "83",
    };
    let script = format!(
        "label: dos\nlabel-id: 0xae615003\nunit: sectors\nstart={}, type={kind}\n",
        limits::PARTITION_START_BYTES / 512
    );
    let arguments = [OsStr::new("--quiet"), OsStr::new("--no-reread"), path.as_os_str()];
    tool::run("sfdisk", arguments, &script)?;
    copy_sparse(&part, 0, path, limits::PARTITION_START_BYTES)
        .map_err(|error| Error::io("write the partition", path, &error))
}

/// A folder with what is to be on the stick.
fn lay_out(stick: &Stick, content: &Path) -> Result<(), Error> {
    let folder = |path: &Path| fs::create_dir_all(path).map_err(|error| Error::io("create", path, &error));
    let aegis = content.join(limits::STICK_FOLDER);
    folder(&aegis)?;
    if stick.fs != StickFs::Iso9660 {
        folder(&aegis.join("out"))?;
    }
    for (name, source) in &stick.files {
        let target = aegis.join(name);
        folder(target.parent().unwrap_or(&aegis))?;
        fs::copy(source, &target).map_err(|error| Error::io("copy to the stick", source, &error))?;
    }
    Ok(())
}

/// A file system of `bytes` with what is in `content`.
fn file_system(stick: &Stick, content: &Path, path: &Path, bytes: u64) -> Result<(), Error> {
    let label = OsStr::new(&stick.label);
    let as_os = |texts: &[&str]| texts.iter().map(OsString::from).collect::<Vec<_>>();
    match stick.fs {
        StickFs::Vfat => {
            sparse(path, bytes)?;
            tool::run("mkfs.vfat", ["--invariant".as_ref(), "-n".as_ref(), label, path.as_os_str()], "")?;
            let mut arguments = as_os(&["-s", "-n", "-i"]);
            arguments.extend([path.into(), content.join(limits::STICK_FOLDER).into(), "::/".into()]);
            tool::run("mcopy", arguments, "")
        }
        StickFs::Exfat => {
            sparse(path, bytes)?;
            tool::run("mkfs.exfat", ["-L".as_ref(), label, path.as_os_str()], "")?;
            File::options()
                .read(true)
                .write(true)
                .open(path)
                .and_then(|image| Volume::open(image, 0)?.fill(content))
                .map_err(|error| Error::io("fill the stick", path, &error))
        }
        StickFs::Ext4 => {
            sparse(path, bytes)?;
            let mut arguments = as_os(&["-q", "-F", "-t", "ext4", "-m", "0", "-L"]);
            arguments.extend([label.into(), "-E".into()]);
            arguments.push("root_owner=0:0,nodiscard,lazy_itable_init=0,lazy_journal_init=0".into());
            arguments.extend(["-d".into(), content.into(), path.into()]);
            tool::run("mke2fs", arguments, "")
        }
        StickFs::Iso9660 => {
            let mut arguments = as_os(&["-quiet", "-J", "-r", "-V"]);
            arguments.extend([label.into(), "-o".into(), path.into(), content.into()]);
            tool::run("genisoimage", arguments, "")
        }
    }
}

/// Copies `from`, from byte `skip` on, to byte `at` of `to`; zeros stay holes where there was nothing.
pub(super) fn copy_sparse(from: &Path, skip: u64, to: &Path, at: u64) -> io::Result<()> {
    let mut source = File::open(from)?;
    io::Seek::seek(&mut source, io::SeekFrom::Start(skip))?;
    let target = File::options().write(true).create(true).truncate(false).open(to)?;
    let mut part = Vec::with_capacity(64 << 10);
    let mut place = at;
    loop {
        part.clear();
        if source.by_ref().take(64 << 10).read_to_end(&mut part)? == 0 {
            break;
        }
        if part.iter().any(|byte| *byte != 0) {
            target.write_all_at(&part, place)?;
        }
        place += part.len() as u64;
    }
    if target.metadata()?.len() < place {
        target.set_len(place)?;
    }
    Ok(())
}
