//! Every bound of bundles, images, workloads, root metadata, trust state and receipts.

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 64;
/// Longest bundle, bytes.
pub const BUNDLE_BYTES: usize = 4 * 1024 * 1024;
/// Longest manifest, bytes.
pub const MANIFEST_BYTES: usize = 4096;
/// Longest signatures section, bytes.
pub const SIGNATURES_BYTES: usize = aegis_cose::limits::SIGN_DETACHED_BYTES;
/// Most device ids that a manifest selects.
pub const DEVICES: usize = 64;
/// Most architectures that a manifest selects.
pub const ARCHITECTURES: usize = 4;
/// Longest name of an architecture, bytes.
pub const ARCHITECTURE_BYTES: usize = 16;
/// Most groups that a manifest selects, and that a device is in.
pub const GROUPS: usize = 16;
/// Longest name of a group, bytes.
pub const GROUP_BYTES: usize = 32;
/// Most kernels that a manifest selects.
pub const KERNELS: usize = 4;
/// No manifest is made later than this, Unix seconds (2100-01-01): devices remember the highest time that was ever signed.
pub const CREATED_BEFORE: u64 = 4_102_444_800;
/// Longest comment, bytes.
pub const COMMENT_BYTES: usize = 500;
/// Most keys of one role in root metadata.
pub const KEYS: usize = 16;
/// Most revoked manifests in root metadata.
pub const REVOKED: usize = 64;
/// Most revoked keys in root metadata.
pub const REVOKED_KEYS: usize = 64;
/// Longest root metadata, bytes.
pub const ROOT_BYTES: usize = 9216;
/// Most rotations between the root metadata of an image and the one in force. An image update brings a newer one.
pub const ROOT_CHAIN: usize = 256;
/// Most rotations that one stick brings.
pub const ROOT_STEPS: usize = 64;
/// Longest kernel image of a slot, bytes: two of them and the loader are on one file system of 64 MiB.
pub const IMAGE_BOOT_BYTES: u64 = 24 * 1024 * 1024;
/// Longest root file system with its tree of hashes, bytes: a slot's partition.
pub const IMAGE_ROOT_BYTES: u64 = 32 * 1024 * 1024;
/// What a root file system comes in, bytes.
pub const IMAGE_BLOCK_BYTES: u64 = 4096;
/// Bytes of an image or a workload that are enough to decide about it: header, manifest, signatures.
pub const FRONT_BYTES: usize = HEADER_BYTES + MANIFEST_BYTES + SIGNATURES_BYTES;
/// Longest image, bytes.
pub const IMAGE_BYTES: u64 = FRONT_BYTES as u64 + 2 * IMAGE_BOOT_BYTES + IMAGE_ROOT_BYTES;
/// Longest contents of a workload, bytes: one file system.
pub const WORKLOAD_CONTENTS_BYTES: u64 = 256 * 1024 * 1024;
/// What its file system comes in, bytes.
pub const WORKLOAD_BLOCK_BYTES: u64 = 4096;
/// Longest workload, bytes.
pub const WORKLOAD_BYTES: u64 = FRONT_BYTES as u64 + WORKLOAD_CONTENTS_BYTES;
/// Longest name of a workload, bytes.
pub const WORKLOAD_NAME_BYTES: usize = aegis_policy::limits::WORKLOAD_BYTES;
/// Most words of a workload's command.
pub const COMMAND_WORDS: usize = 32;
/// Longest word of it, and longest variable, bytes.
pub const WORD_BYTES: usize = 512;
/// Most variables of its environment.
pub const VARIABLES: usize = 32;
/// Most paths that it may write to.
pub const WRITABLE: usize = 8;
/// Longest of them, bytes: as the name of a directory it takes three times that.
pub const WRITABLE_BYTES: usize = 64;
/// Least and most memory that it is bounded to, bytes.
pub const WORKLOAD_MEMORY_BYTES: (u64, u64) = (1 << 20, 1 << 40);
/// Most processes and threads that it is bounded to: of all there can be on a small device (`pid_max`, 32,768) a thirty-second part.
pub const WORKLOAD_PIDS: u32 = 1024;
/// Least and most processor time that it is bounded to, thousandths of one processor: the kernel takes no less than a
/// millisecond of a tenth of a second.
pub const WORKLOAD_CPU: (u32, u32) = (10, 256_000);
/// Longest rest before it is started again, seconds.
pub const RESTART_SECONDS: u32 = 3600;
/// Longest time without a sign of its life after which it is ended, seconds.
pub const WATCHDOG_SECONDS: u32 = 3600;
/// Names of workloads that a device remembers.
pub const WORKLOAD_NAMES: usize = 64;
/// Longest copy of what is remembered of workloads, bytes.
pub const WORKLOAD_STATE_BYTES: usize = 12 * 1024;
/// Longest site section, bytes.
pub const SITE_BYTES: usize = 64 * 1024;
/// Longest name of a network card, bytes (`IFNAMSIZ` with the NUL is 16).
pub const SITE_INTERFACE_BYTES: usize = 15;
/// Longest name in a site section, bytes.
pub const SITE_NAME_BYTES: usize = 128;
/// Most names that a device's certificate is asked for.
pub const SITE_NAMES: usize = 4;
/// Most authorities that vouch for clients.
pub const SITE_AUTHORITIES: usize = 4;
/// Most devices whose certificates one section brings.
pub const SITE_CHAINS: usize = 8;
/// Most certificates of one device, its own first.
pub const SITE_CHAIN: usize = 3;
/// Longest certificate in a site section, bytes of DER.
pub const SITE_CERTIFICATE_BYTES: usize = 2048;
/// Most clients of one role.
pub const SITE_CLIENTS: usize = 32;
/// Longest path of a collector's, bytes.
pub const SITE_PATH_BYTES: usize = 128;
/// Most requests a minute that a section grants a client.
pub const SITE_RATE: u32 = 6000;
/// Longest copy of the trust state, bytes, what vouches for it not counted.
pub const STATE_BYTES: usize = 512;
/// How many trials may fail, over reboots, before bundles wait for a person or for something newer.
pub const TRIES: u8 = 3;
/// Longest break-glass token, bytes.
pub const TOKEN_BYTES: usize = 2048;
/// Longest reason in a break-glass token, bytes.
pub const TOKEN_REASON_BYTES: usize = 200;
/// Longest that a break-glass token may ask for, seconds: a day.
pub const TOKEN_SECONDS: u32 = 86_400;
/// Bytes of a token in one line of its text form.
pub const ARMOR_LINE_BYTES: usize = 20;
/// Most lines of a token's text form.
pub const ARMOR_LINES: usize = TOKEN_BYTES.div_ceil(ARMOR_LINE_BYTES);
/// Longest receipt, bytes.
pub const RECEIPT_BYTES: usize = 512;
/// Longest reason code in a receipt, bytes.
pub const CODE_BYTES: usize = 32;
