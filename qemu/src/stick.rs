//! A stick: what is on it, in which file system, how fast it is. Made without root, read back without mounting.

mod exfat;
mod make;
mod read;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::check::{file_or_other, is_plain_name};
use crate::error::{Error, unreadable};
use crate::limits;

pub use read::stick_outputs;

/// The file system of a stick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StickFs {
    /// FAT with long names, as most sticks are sold.
    #[default]
    Vfat,
    /// exFAT, as large sticks are sold.
    Exfat,
    /// ext4, with a journal.
    Ext4,
    /// ISO 9660 with Joliet and Rock Ridge: a guest can't write to it, so nothing comes back on it.
    Iso9660,
}

impl StickFs {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vfat, Self::Exfat, Self::Ext4, Self::Iso9660];

    /// Its name on the command line, which is the kernel's too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vfat => "vfat",
            Self::Exfat => "exfat",
            Self::Ext4 => "ext4",
            Self::Iso9660 => "iso9660",
        }
    }

    /// The file system of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fs| fs.name() == name)
    }
}

/// How fast a stick is, bytes a second each way; 0: as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// What the guest reads.
    pub read: u64,
    /// What the guest writes.
    pub write: u64,
}

/// A stick to be plugged in: at the start ([`Machine::stick`](crate::Machine::stick)) or later
/// ([`Vm::plug`](crate::Vm::plug)). Either made here, with `aegis/` and (where a guest can write) `aegis/out/` on it,
/// or an image of the caller's.
#[derive(Clone, Debug)]
pub struct Stick {
    image: Option<PathBuf>,
    fs: StickFs,
    label: String,
    partitioned: bool,
    files: Vec<(String, PathBuf)>,
    write_protected: bool,
    throttle: Throttle,
}

impl Default for Stick {
    fn default() -> Self {
        Self::new(StickFs::Vfat)
    }
}

impl Stick {
    /// A stick labelled `AEGIS`, its file system on the whole of it.
    pub fn new(fs: StickFs) -> Self {
        Self {
            image: None,
            fs,
            label: limits::STICK_LABEL.into(),
            partitioned: false,
            files: Vec::new(),
            write_protected: false,
            throttle: Throttle::default(),
        }
    }

    /// This raw image, as it is. The guest writes to the file itself, as to any stick: what it wrote is there after
    /// the run, and the same stick can be plugged in again.
    pub fn image(file: impl Into<PathBuf>) -> Self {
        Self { image: Some(file.into()), ..Self::default() }
    }

    /// One more file for `aegis/`, called `name` there. `name` may lead through folders, which are made:
    /// `roots/2.cbor`.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.files.push((name.into(), file.into()));
        self
    }

    /// Another label than `AEGIS`: at most 11 letters, digits, `-`, `_`.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The file system in the first partition of an MBR table, as most sticks are sold.
    #[must_use]
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// A stick with its write-protect switch on.
    #[must_use]
    pub fn write_protected(mut self) -> Self {
        self.write_protected = true;
        self
    }

    /// A slow stick.
    #[must_use]
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = throttle;
        self
    }

    /// Makes the stick's image at `path`, for a look, for a change, or for [`Stick::image`]. The same vfat stick is the
    /// same image; the other file systems' tools put in the time and serial numbers of their own.
    ///
    /// # Errors
    /// [`Error::Usage`] when it can't be ([`Stick::image`] is made already), [`Error::Host`] when a tool fails or it
    /// is full.
    pub fn make(&self, path: &Path) -> Result<(), Error> {
        self.check()?;
        if let Some(image) = &self.image {
            return Err(Error::usage(format!("{}: is an image already", image.display())));
        }
        make::make(self, path)
    }

    /// The image to hand to QEMU: the caller's, or one made at `path`.
    pub(crate) fn prepare(&self, path: PathBuf) -> Result<PathBuf, Error> {
        match &self.image {
            Some(image) => fs::canonicalize(image).map_err(|error| unreadable("stick image", image, &error)),
            None => self.make(&path).map(|()| path),
        }
    }

    /// Checks what can be known before it is made.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(image) = &self.image {
            return self.check_image(image);
        }
        if self.label.is_empty()
            || self.label.len() > 11
            || !self.label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            return Err(Error::usage(format!(
                "{:?}: is no label for a stick; mend: 1 to 11 letters, digits, '-', '_'",
                self.label
            )));
        }
        if self.partitioned && self.fs == StickFs::Iso9660 {
            return Err(Error::usage("iso9660: has no partitioned form here; mend: another file system"));
        }
        // FAT takes capitals for small letters; a name that is a folder's too can be no file.
        let mut taken = BTreeSet::from([String::from("out")]);
        let mut folders = taken.clone();
        for (name, path) in &self.files {
            check_file("file", path)?;
            if !is_stick_name(name) {
                return Err(Error::usage(format!(
                    "{name:?}: is no name for a file on the stick; mend: use letters, digits, '.', '_', '-', and '/' between folders"
                )));
            }
            let name = name.to_ascii_lowercase();
            for (at, _) in name.match_indices('/') {
                let folder = name[..at].to_owned();
                if taken.contains(&folder) && !folders.contains(&folder) {
                    return Err(Error::usage(format!("{folder}: is a file and a folder on the stick")));
                }
                taken.insert(folder.clone());
                folders.insert(folder);
            }
            if !taken.insert(name.clone()) {
                return Err(Error::usage(format!(
                    "{name}: is on the stick twice; mend: give it another name"
                )));
            }
        }
        Ok(())
    }

    fn check_image(&self, image: &Path) -> Result<(), Error> {
        let made = Self::default();
        if !self.files.is_empty() || self.partitioned || self.label != made.label {
            return Err(Error::usage(format!(
                "{}: an image is the stick as it is, nothing is added to it",
                image.display()
            )));
        }
        let meta = file_or_other(image).map_err(|error| unreadable("stick image", image, &error))?;
        let shown = image.display();
        if !meta.is_file() {
            return Err(Error::usage(format!("{shown}: is not a file; mend: name the stick's raw image")));
        }
        if !(512..=limits::STICK_IMAGE_BYTES).contains(&meta.len()) {
            return Err(Error::usage(format!(
                "{shown}: has {} bytes; a stick's image has 512 to {}",
                meta.len(),
                limits::STICK_IMAGE_BYTES
            )));
        }
        Ok(())
    }

    /// Puts in more files for `aegis/`.
    pub(crate) fn add(&mut self, files: impl IntoIterator<Item = (String, PathBuf)>) {
        self.files.extend(files);
    }

    pub(crate) const fn throttled(&self) -> Throttle {
        self.throttle
    }

    /// Whether it was made here.
    pub(crate) const fn is_made(&self) -> bool {
        self.image.is_none()
    }

    /// Whether a guest can't write to the image at `path` that this stick became.
    pub(crate) fn is_read_only(&self, path: &Path) -> bool {
        let iso = || File::open(path).and_then(|file| read::detect(&file));
        self.write_protected || matches!(iso(), Ok(Some((StickFs::Iso9660, _))))
    }
}

/// A readable file of a size that a stick takes.
pub(crate) fn check_file(what: &str, path: &Path) -> Result<(), Error> {
    let meta = file_or_other(path).map_err(|error| unreadable(what, path, &error))?;
    if !meta.is_file() {
        return Err(Error::usage(format!("{}: is not a file; mend: name one", path.display())));
    }
    if meta.len() > limits::STICK_FILE_BYTES {
        return Err(Error::usage(format!(
            "{}: is larger than {} bytes, the most for one file on the stick",
            path.display(),
            limits::STICK_FILE_BYTES
        )));
    }
    Ok(())
}

/// A path below `aegis/` that every file system keeps as it is.
fn is_stick_name(name: &str) -> bool {
    name.len() <= limits::STICK_NAME_BYTES
        && name.split('/').count() <= limits::STICK_NAME_FOLDERS
        && name.split('/').all(|part| is_plain_name(part) && !part.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_a_stick() {
        for name in ["a.aegis", "roots/2.cbor", "break-glass/00ff.cbor", "a/b/c/d"] {
            assert!(is_stick_name(name), "{name}");
        }
        for name in ["", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "a./b", "a b", "a\nb", "a/b/c/d/e", "ä"]
        {
            assert!(!is_stick_name(name), "{name}");
        }
    }

    #[test]
    fn what_can_be_no_stick_is_refused_before_it_is_made() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (file, empty) = (folder.path().join("file"), folder.path().join("empty"));
        fs::write(&file, [0; 512]).expect("written");
        fs::write(&empty, []).expect("written");
        let new = Stick::default;
        let cases = [
            (new().file("a b", &file), "is no name"),
            (new().file("a", &file).file("A", &file), "twice"),
            (new().file("a", &file).file("a/b", &file), "a file and a folder"),
            (new().file("a/b", &file).file("A", &file), "twice"),
            (new().file("out", &file), "twice"),
            (new().file("a", folder.path()), "is not a file"),
            (new().file("a", folder.path().join("no")), "can't read"),
            (new().label(""), "is no label"),
            (new().label("TWELVE-CHARS"), "is no label"),
            (Stick::new(StickFs::Iso9660).partitioned(), "no partitioned form"),
            (Stick::image(&file).file("a", &file), "as it is"),
            (Stick::image(&file).label("OTHER"), "as it is"),
            (Stick::image(&empty), "has 0 bytes"),
            (Stick::image(folder.path()), "is not a file"),
            (Stick::image(folder.path().join("no")), "can't read"),
        ];
        for (stick, part) in cases {
            let error = stick.check().expect_err(part);
            assert!(matches!(error, Error::Usage(_)) && error.to_string().contains(part), "{error}");
        }
        let good = new().file("a/b", &file).file("a/c", &file).file("out/old.cbor", &file);
        good.check().expect("good");
        Stick::image(&file).write_protected().check().expect("good");
        assert!(Stick::image(&file).make(&empty).is_err(), "made already");
    }
}
