//! The kernel's options, where it tells them (`/proc/config.gz`, `CONFIG_IKCONFIG_PROC`).

use miniz_oxide::inflate::decompress_slice_iter_to_slice;

use crate::limits;

/// What Aegis can't do without, and why. `image/kernel/common.config` has them all.
pub(super) const REQUIRED: [(&str, &str); 12] = [
    ("CONFIG_BPF_SYSCALL", "bpf(2)"),
    ("CONFIG_BPF_JIT", "programs that LSM hooks can call"),
    ("CONFIG_BPF_LSM", "LSM hooks that programs can be attached to"),
    ("CONFIG_DEBUG_INFO_BTF", "the kernel's types"),
    ("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "functions that programs can be attached to"),
    ("CONFIG_SECURITYFS", "the list of LSMs"),
    ("CONFIG_SECURITY_NETWORK", "hooks of sockets"),
    ("CONFIG_SECURITY_PATH", "hooks of mounts"),
    ("CONFIG_CGROUPS", "workloads"),
    ("CONFIG_IMA", "rules by content"),
    ("CONFIG_DM_VERITY", "a root that is held against its hash"),
    ("CONFIG_EXT4_FS", "own storage"),
];

/// Of [`REQUIRED`], those that this configuration does not set. `None`: it is none.
pub(super) fn missing(config: &[u8]) -> Option<Vec<&'static str>> {
    let text = core::str::from_utf8(config).ok()?;
    // Any configuration of Linux says this of itself.
    if !text.lines().any(|line| line.starts_with("CONFIG_")) {
        return None;
    }
    let is_set = |name: &str| text.lines().any(|line| matches!(line.strip_prefix(name), Some("=y" | "=m")));
    Some(REQUIRED.iter().map(|(name, _)| *name).filter(|name| !is_set(name)).collect())
}

/// A gzip file (RFC 1952) of one member, inflated; `None` where it is none, or longer than it may be.
pub(super) fn inflate(gzip: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 10;
    const TAIL: usize = 8;
    const CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let [0x1f, 0x8b, 8, flags, ..] = *gzip else { return None };
    let (body, tail) = gzip.split_at_checked(gzip.len().checked_sub(TAIL)?)?;
    let mut rest = body.get(HEAD..)?;
    if flags & EXTRA != 0 {
        let length = usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?));
        rest = rest.get(2 + length..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & CRC != 0 {
        rest = rest.get(2..)?;
    }
    let length = u32::from_le_bytes(tail.get(4..)?.try_into().ok()?) as usize;
    if length > limits::KERNEL_CONFIG_TEXT_BYTES {
        return None;
    }
    let mut text = vec![0; length];
    let found = decompress_slice_iter_to_slice(&mut text, [rest].into_iter(), false, true).ok()?;
    (found == length).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `printf 'CONFIG_BPF_LSM=y\n' | gzip -n`, and the same with a name.
    const PLAIN: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x73, 0xf6, 0xf7, 0x73, 0xf3, 0x74, 0x8f,
        0x77, 0x0a, 0x70, 0x8b, 0xf7, 0x09, 0xf6, 0xb5, 0xad, 0xe4, 0x02, 0x00, 0xcd, 0x0b, 0x4f, 0xe2, 0x11,
        0x00, 0x00, 0x00,
    ];

    #[test]
    fn a_configuration_is_inflated_whatever_its_header_has() {
        assert_eq!(inflate(PLAIN).as_deref(), Some(&b"CONFIG_BPF_LSM=y\n"[..]));
        let mut named = PLAIN.to_vec();
        named[3] = 8 | 4 | 2;
        named.splice(10..10, *b"\x03\0abcconfig\0cc");
        assert_eq!(inflate(&named).as_deref(), Some(&b"CONFIG_BPF_LSM=y\n"[..]));
        for cut in 0..PLAIN.len() {
            assert_eq!(inflate(&PLAIN[..cut]), None, "{cut}");
        }
        let mut bomb = PLAIN.to_vec();
        let at = bomb.len() - 4;
        bomb[at..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(inflate(&bomb), None);
    }

    #[test]
    fn what_is_not_set_is_missing() {
        let all = REQUIRED.map(|(name, _)| format!("{name}=y")).join("\n");
        assert_eq!(missing(all.as_bytes()), Some(vec![]));
        for (old, new) in
            [("=y", "=n"), ("CONFIG_BPF_LSM=y", "# CONFIG_BPF_LSM is not set"), ("BPF_LSM=y", "BPF_LSM=yes")]
        {
            let less = all.replacen(old, new, 1);
            assert_eq!(missing(less.as_bytes()).map(|names| names.len()), Some(1), "{new}");
        }
        assert_eq!(missing(all.replace("IMA=y", "IMA=m").as_bytes()), Some(vec![]));
        assert_eq!((missing(b""), missing(b"\xff"), missing(b"text\n")), (None, None, None));
    }

    #[test]
    fn the_images_own_kernel_has_them_all() {
        let asked = include_bytes!("../../../../../image/kernel/common.config");
        assert_eq!(missing(asked), Some(vec![]));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_inflated_or_not(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
            is_one in any::<bool>(),
        ) {
            if is_one {
                for (to, byte) in bytes.iter_mut().zip([0x1f, 0x8b, 8]) {
                    *to = byte;
                }
            }
            let _ = inflate(&bytes).map(|text| missing(&text));
        }
    }
}
