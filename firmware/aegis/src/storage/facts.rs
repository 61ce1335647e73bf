//! What this device is, to a bundle's selectors, and how late it is at least.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;

use aegis_bundle::{Context, Root, TrustState, Version};
use sha2::{Digest, Sha256};

use super::device::{Identity, wall_clock};
use super::{IMAGE, atomic, groups};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// Longest BTF of a kernel, bytes. Those of distributions have 5 to 10 MiB.
const KERNEL_BTF_BYTES: u64 = 64 * 1024 * 1024;
/// When the image was built: decimal Unix seconds.
const BUILT: &str = "built";
const BUILT_BYTES: u64 = 32;
/// Which image this is: `production`, `debug`.
const VARIANT: &str = "variant";
const VARIANT_BYTES: u64 = 32;

/// What this device is.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Its id; none when it has no key yet.
    pub(crate) device: Option<[u8; 16]>,
    /// The groups it is in.
    pub(crate) groups: Vec<String>,
    /// SHA-256 of the kernel's BTF; zeros, which is no kernel's, when that can't be read.
    pub(crate) kernel: [u8; 32],
}

impl Facts {
    /// Of the device with this identity.
    pub(crate) fn of(identity: &Identity) -> Self {
        Self::read(Some(identity.id()))
    }

    /// Of the device with this id. What can't be read is said, and selects nothing.
    pub(crate) fn read(device: Option<[u8; 16]>) -> Self {
        Self { device, groups: groups::read(), kernel: kernel() }
    }

    /// Who asks, for [`aegis_bundle::open`].
    pub(super) fn context<'a>(
        &'a self,
        root: &'a Root,
        groups: &'a [&'a str],
        state: &TrustState,
        insist: bool,
    ) -> Context<'a> {
        Context {
            root,
            device: self.device,
            architecture: Some(std::env::consts::ARCH),
            agent: Some(version()),
            groups: Some(groups),
            kernel: Some(self.kernel),
            state: *state,
            insist,
        }
    }
}

/// How late it is at least, Unix seconds: no clock is trusted, the latest of those that there are counts.
pub(crate) fn now(state: &TrustState) -> u64 {
    built().max(state.time).max(wall_clock())
}

/// The agent's version, as manifests compare it.
pub(crate) fn version() -> Version {
    let mut parts = env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().unwrap_or(0));
    core::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// It does not change while this process runs.
fn kernel() -> [u8; 32] {
    static KERNEL: OnceLock<[u8; 32]> = OnceLock::new();
    *KERNEL.get_or_init(|| {
        File::open(KERNEL_BTF).and_then(|file| hash(file, KERNEL_BTF_BYTES)).unwrap_or_else(|error| {
            log::warn!("{KERNEL_BTF}: {error} (bundles for certain kernels are refused)");
            [0; 32]
        })
    })
}

/// SHA-256 of what there is to read, which is at most so long.
fn hash(mut from: impl Read, most: u64) -> io::Result<[u8; 32]> {
    let (mut sum, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(sum.finalize().into()),
            Ok(read) => {
                length += read as u64;
                if length > most {
                    return Err(io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        format!("longer than {most} bytes"),
                    ));
                }
                sum.update(&buffer[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// When the image was built, Unix seconds; 0 when that is not known.
pub(crate) fn built() -> u64 {
    let path = Path::new(IMAGE).join(BUILT);
    let text = atomic::read_bounded(&path, BUILT_BYTES);
    text.map(|bytes| seconds(&bytes)).ok().flatten().unwrap_or_else(|| {
        log::warn!("{}: no build time of the image (a stale policy may be noticed late)", path.display());
        0
    })
}

/// The image has a shell and tools: its variant is `debug`, or it does not say which.
pub(crate) fn is_debug() -> bool {
    let told = atomic::read_bounded(&Path::new(IMAGE).join(VARIANT), VARIANT_BYTES);
    !told.is_ok_and(|variant| variant.trim_ascii_end() == b"production")
}

fn seconds(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_hashed_in_pieces_has_the_hash_of_the_whole() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        assert_eq!(hash(&bytes[..], 200_000).unwrap(), aegis_bundle::hash(&bytes));
        assert_eq!(hash(&bytes[..], 199_999).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_build_time_is_decimal_seconds() {
        assert_eq!(seconds(b"1800000000\n"), Some(1_800_000_000));
        for bad in [&b""[..], b"-1", b"1e9", b" 1", b"0x10", b"\xff"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn now_is_the_latest_of_what_is_known() {
        let state = |time| TrustState { time, ..TrustState::default() };
        let late = u64::MAX / 2;
        assert_eq!(now(&state(late)), late);
        assert!((1_700_000_000..late).contains(&now(&state(0))), "the clock of this machine");
    }
}
