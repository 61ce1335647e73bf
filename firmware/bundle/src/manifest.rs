//! The manifest: what is signed.

use aegis_policy::Mode;
use heapless::Vec;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{ANY, Canonical, Reader, Written};
use crate::limits::{
    ARCHITECTURE_BYTES, ARCHITECTURES, COMMENT_BYTES, CREATED_BEFORE, DEVICES, GROUP_BYTES, GROUPS, KERNELS,
};
use crate::refusal::Reason;
use crate::site::SITE;

/// Name of the compiled policy among the contents.
pub const POLICY: &str = "policy";
/// Name of the policy source among the contents.
pub const SOURCE: &str = "policy.toml";
const PRODUCT: &str = "aegis";
const FORMAT: u64 = 1;
/// Longest file name in a manifest, bytes.
pub(crate) const FILE_NAME_BYTES: usize = 32;

/// Keys of the manifest's map (`docs/formats/bundle.cddl`).
mod key {
    pub(super) const PRODUCT: u8 = 1;
    pub(super) const FORMAT: u8 = 2;
    pub(super) const EPOCH: u8 = 3;
    pub(super) const SEQUENCE: u8 = 4;
    pub(super) const CREATED: u8 = 5;
    pub(super) const EXPIRES: u8 = 6;
    pub(super) const SELECTORS: u8 = 7;
    pub(super) const CEILING: u8 = 8;
    pub(super) const CONTENTS: u8 = 9;
    pub(super) const COMMENT: u8 = 10;
    pub(super) const MARKER: u8 = 11;
    pub(super) const DEVICES: u8 = 1;
    pub(super) const ARCHITECTURES: u8 = 2;
    pub(super) const AGENT: u8 = 3;
    pub(super) const GROUPS: u8 = 4;
    pub(super) const KERNELS: u8 = 5;
}

/// A version: major, minor, patch.
pub type Version = [u16; 3];

/// What each manifest begins with: product, format, then this.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) created: u64,
}

impl Head {
    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, Reason> {
        input.key(key::PRODUCT)?;
        if input.str(ARCHITECTURE_BYTES)? != PRODUCT {
            return Err(Reason::WrongProduct);
        }
        if input.u64_at(key::FORMAT)? != FORMAT {
            return Err(Reason::UnsupportedFormat);
        }
        let epoch = input.u64_at(key::EPOCH)?;
        let sequence = input.u64_at(key::SEQUENCE)?;
        Ok(Self { epoch, sequence, created: input.u64_at(key::CREATED)? })
    }

    pub(crate) fn write<W: Write>(self, out: &mut Encoder<W>) -> Written<W> {
        out.u8(key::PRODUCT)?.str(PRODUCT)?;
        out.u8(key::FORMAT)?.u64(FORMAT)?;
        out.u8(key::EPOCH)?.u64(self.epoch)?;
        out.u8(key::SEQUENCE)?.u64(self.sequence)?;
        out.u8(key::CREATED)?.u64(self.created)?;
        Ok(())
    }

    pub(crate) const fn is_possible(self) -> bool {
        self.epoch > 0 && self.sequence > 0 && self.created < CREATED_BEFORE
    }
}

/// A file in the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub length: u64,
    /// SHA-256.
    pub hash: [u8; 32],
}

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// Raised only together with the root's.
    pub epoch: u64,
    /// Counts up from 1 within an epoch.
    pub sequence: u64,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// When it goes stale, Unix seconds; `None` for never. A stale policy stays in force and raises an alarm.
    pub expires: Option<u64>,
    /// Device ids it is for, strictly ascending; `None` for any.
    pub devices: Option<Vec<[u8; 16], DEVICES>>,
    /// Architectures it is for (as Rust names them: `x86_64`, `aarch64`), strictly ascending; `None` for any.
    pub architectures: Option<Vec<&'a str, ARCHITECTURES>>,
    /// Lowest agent version that it is for; `None` for any.
    pub agent: Option<Version>,
    /// Groups of devices it is for, strictly ascending; `None` for any. One that the device is in suffices.
    pub groups: Option<Vec<&'a str, GROUPS>>,
    /// Kernels it is for, by SHA-256 of `/sys/kernel/btf/vmlinux`, strictly ascending; `None` for any.
    pub kernels: Option<Vec<[u8; 32], KERNELS>>,
    /// The most that its policy may ask for.
    pub ceiling: Mode,
    /// The compiled policy, file [`POLICY`].
    pub policy: Content,
    /// The policy's source, file [`SOURCE`].
    pub source: Content,
    /// What it says of the site network, file [`crate::SITE`]; `None`: nothing.
    pub site: Option<Content>,
    /// For people.
    pub comment: &'a str,
    /// While it is in force, the marker file `/data/aegis/break_glass` breaks the glass.
    pub marker: bool,
}

impl<'a> Manifest<'a> {
    /// Reads the one manifest that `bytes` is. Strict: what would not be written is not read.
    ///
    /// # Errors
    /// The reasons that a manifest alone can give.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Reason> {
        strictly(bytes, read, Self::is_possible)
    }

    /// Writes the manifest to the front of `out` and returns how many bytes it took; `None` when there is no room, or
    /// it would not be read again.
    #[cfg(feature = "build")]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let length = self.write_to(out)?;
        Manifest::decode(&out[..length]).is_ok().then_some(length)
    }

    /// What the types leave open.
    fn is_possible(&self) -> bool {
        let is_architecture = |name: &&str| (1..=ARCHITECTURE_BYTES).contains(&name.len());
        is_selector(self.devices.as_deref(), |_| true)
            && is_selector(self.architectures.as_deref(), is_architecture)
            && is_selector(self.groups.as_deref(), |name| is_group(name))
            && is_selector(self.kernels.as_deref(), |_| true)
            && Head { epoch: self.epoch, sequence: self.sequence, created: self.created }.is_possible()
            && self.expires.is_none_or(|expires| expires > self.created)
            && is_comment(self.comment)
    }
}

/// True when `name` can be that of a group of devices: 1 to [`GROUP_BYTES`] lower-case letters, digits, `.`, `_`, `-`.
pub fn is_group(name: &str) -> bool {
    (1..=GROUP_BYTES).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

/// Any, or a set in order of what is possible.
pub(crate) fn is_selector<T: Ord>(items: Option<&[T]>, is_possible: impl Fn(&T) -> bool) -> bool {
    items.is_none_or(|items| {
        !items.is_empty() && items.is_sorted_by(|a, b| a < b) && items.iter().all(is_possible)
    })
}

pub(crate) fn is_comment(text: &str) -> bool {
    text.len() <= COMMENT_BYTES && !text.chars().any(char::is_control)
}

/// Reads the one manifest that `bytes` is: possible, and exactly what would be written.
pub(crate) fn strictly<'a, M: Canonical>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<M, Reason>,
    is_possible: impl FnOnce(&M) -> bool,
) -> Result<M, Reason> {
    let manifest = read(&mut Reader::new(bytes))?;
    if !is_possible(&manifest) {
        return Err(Reason::BadManifest);
    }
    if !manifest.is_exactly(bytes) {
        return Err(Reason::NotCanonical);
    }
    Ok(manifest)
}

fn read<'a>(input: &mut Reader<'a>) -> Result<Manifest<'a>, Reason> {
    input.map(11)?;
    let Head { epoch, sequence, created } = Head::read(input)?;
    input.key(key::EXPIRES)?;
    let expires = if input.null()? { None } else { Some(input.u64()?) };
    input.key(key::SELECTORS)?;
    input.map(5)?;
    input.key(key::DEVICES)?;
    let devices = list(input, Reader::fixed)?;
    input.key(key::ARCHITECTURES)?;
    let architectures = list(input, |input| input.str(ARCHITECTURE_BYTES))?;
    input.key(key::AGENT)?;
    let agent = agent(input)?;
    input.key(key::GROUPS)?;
    let groups = list(input, |input| input.str(GROUP_BYTES))?;
    input.key(key::KERNELS)?;
    let kernels = list(input, Reader::fixed)?;
    let ceiling = Mode::from_number(input.u8_at(key::CEILING)?).ok_or(Reason::BadManifest)?;
    input.key(key::CONTENTS)?;
    let (policy, source, site) = match input.array(usize::from(u8::MAX))? {
        count if count < 3 => {
            let [policy, source] = files(input, count, [POLICY, SOURCE])?;
            (policy, source, None)
        }
        count => {
            let [policy, source, site] = files(input, count, [POLICY, SOURCE, SITE])?;
            (policy, source, Some(site))
        }
    };
    input.key(key::COMMENT)?;
    let comment = input.str(COMMENT_BYTES)?;
    let marker = input.bool_at(key::MARKER)?;
    Ok(Manifest {
        epoch,
        sequence,
        created,
        expires,
        devices,
        architectures,
        agent,
        groups,
        kernels,
        ceiling,
        policy,
        source,
        site,
        comment,
        marker,
    })
}

/// `any`, or an array.
pub(crate) fn list<'a, T, const N: usize>(
    input: &mut Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, crate::cbor::Unread>,
) -> Result<Option<Vec<T, N>>, Reason> {
    if input.any()? {
        return Ok(None);
    }
    let mut items = Vec::new();
    for _ in 0..input.array(N)? {
        items.push(item(input)?).map_err(|_| Reason::BadManifest)?;
    }
    Ok(Some(items))
}

/// `any`, or the three numbers of a version.
pub(crate) fn agent(input: &mut Reader<'_>) -> Result<Option<Version>, Reason> {
    let numbers = list::<_, 3>(input, Reader::u16)?;
    numbers.map(|numbers| numbers.into_array().map_err(|_| Reason::BadManifest)).transpose()
}

/// Exactly these files, in this order.
pub(crate) fn contents<const N: usize>(
    input: &mut Reader<'_>,
    names: [&str; N],
) -> Result<[Content; N], Reason> {
    let count = input.array(usize::from(u8::MAX))?;
    files(input, count, names)
}

/// As [`contents`], of an array of so many items whose head was read.
fn files<const N: usize>(
    input: &mut Reader<'_>,
    mut left: usize,
    names: [&str; N],
) -> Result<[Content; N], Reason> {
    let mut files = [Content { length: 0, hash: [0; 32] }; N];
    for (name, file) in names.into_iter().zip(&mut files) {
        left = left.checked_sub(1).ok_or(Reason::ContentMissing)?;
        if input.array(3)? != 3 {
            return Err(Reason::BadManifest);
        }
        match input.str(FILE_NAME_BYTES)? {
            found if found == name => {}
            // Another one, or one again, in its place: then this one is what is missing.
            found if names.contains(&found) => return Err(Reason::ContentMissing),
            _ => return Err(Reason::ContentExtra),
        }
        *file = Content { length: input.u64()?, hash: input.fixed()? };
    }
    if left == 0 { Ok(files) } else { Err(Reason::ContentExtra) }
}

pub(crate) fn write_contents<W: Write>(out: &mut Encoder<W>, files: &[(&str, Content)]) -> Written<W> {
    out.array(files.len() as u64)?;
    for (name, file) in files {
        out.array(3)?.str(name)?.u64(file.length)?.bytes(&file.hash)?;
    }
    Ok(())
}

pub(crate) fn write_agent<W: Write>(out: &mut Encoder<W>, agent: Option<&Version>) -> Written<W> {
    write_list(out, agent.map(<[u16; 3]>::as_slice), |out, part| out.u16(*part).map(drop))
}

impl Canonical for Manifest<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(11)?;
        Head { epoch: self.epoch, sequence: self.sequence, created: self.created }.write(out)?;
        out.u8(key::EXPIRES)?;
        match self.expires {
            Some(expires) => out.u64(expires)?,
            None => out.null()?,
        };
        out.u8(key::SELECTORS)?.map(5)?;
        out.u8(key::DEVICES)?;
        write_list(out, self.devices.as_deref(), |out, id| out.bytes(id).map(drop))?;
        out.u8(key::ARCHITECTURES)?;
        write_list(out, self.architectures.as_deref(), |out, name| out.str(name).map(drop))?;
        out.u8(key::AGENT)?;
        write_agent(out, self.agent.as_ref())?;
        out.u8(key::GROUPS)?;
        write_list(out, self.groups.as_deref(), |out, name| out.str(name).map(drop))?;
        out.u8(key::KERNELS)?;
        write_list(out, self.kernels.as_deref(), |out, id| out.bytes(id).map(drop))?;
        out.u8(key::CEILING)?.u8(self.ceiling.number())?;
        out.u8(key::CONTENTS)?;
        match self.site {
            None => write_contents(out, &[(POLICY, self.policy), (SOURCE, self.source)])?,
            Some(site) => write_contents(out, &[(POLICY, self.policy), (SOURCE, self.source), (SITE, site)])?,
        }
        out.u8(key::COMMENT)?.str(self.comment)?;
        out.u8(key::MARKER)?.bool(self.marker)?;
        Ok(())
    }
}

pub(crate) fn write_list<T, W: Write>(
    out: &mut Encoder<W>,
    items: Option<&[T]>,
    mut item: impl FnMut(&mut Encoder<W>, &T) -> Written<W>,
) -> Written<W> {
    let Some(items) = items else {
        out.str(ANY)?;
        return Ok(());
    };
    out.array(items.len() as u64)?;
    items.iter().try_for_each(|one| item(out, one))
}
