//! Numbers of TCG's *Trusted Platform Module Library*, part 2 (structures), revision 1.59.

// Tags, 6.9.
pub(crate) const ST_NO_SESSIONS: u16 = 0x8001;
pub(crate) const ST_SESSIONS: u16 = 0x8002;

// Command codes, 6.5.2.
pub(crate) const CC_NV_DEFINE_SPACE: u32 = 0x0000_012a;
pub(crate) const CC_CREATE_PRIMARY: u32 = 0x0000_0131;
pub(crate) const CC_NV_INCREMENT: u32 = 0x0000_0134;
pub(crate) const CC_NV_READ: u32 = 0x0000_014e;
pub(crate) const CC_CREATE: u32 = 0x0000_0153;
pub(crate) const CC_LOAD: u32 = 0x0000_0157;
pub(crate) const CC_UNSEAL: u32 = 0x0000_015e;
pub(crate) const CC_FLUSH_CONTEXT: u32 = 0x0000_0165;
pub(crate) const CC_NV_READ_PUBLIC: u32 = 0x0000_0169;
pub(crate) const CC_START_AUTH_SESSION: u32 = 0x0000_0176;
pub(crate) const CC_PCR_READ: u32 = 0x0000_017e;
pub(crate) const CC_POLICY_PCR: u32 = 0x0000_017f;

// Response codes, 6.6: of format 1 without the number of the handle, parameter or session.
const RC_FORMAT_1: u32 = 0x080;
/// Of format 1: bits 6 (a parameter's) and 8 to 11 (its number, or a handle's or session's) are not the code's.
const RC_FORMAT_1_CODE: u32 = 0x0bf;
/// A handle is not there.
pub(crate) const RC_HANDLE: u32 = 0x08b;
pub(crate) const RC_AUTH_FAIL: u32 = 0x08e;
/// A policy asks for other PCRs.
pub(crate) const RC_POLICY_FAIL: u32 = 0x09d;
/// What was to be loaded was not made by this parent.
pub(crate) const RC_INTEGRITY: u32 = 0x09f;
pub(crate) const RC_BAD_AUTH: u32 = 0x0a2;

/// Of a handle, parameter or session.
pub(crate) const fn is_of_format_1(code: u32) -> bool {
    code & RC_FORMAT_1 != 0
}

/// The code without the place that it speaks of.
pub(crate) const fn rc(code: u32) -> u32 {
    if is_of_format_1(code) { code & RC_FORMAT_1_CODE } else { code }
}

// Permanent handles, 7.4.
pub(crate) const RH_OWNER: u32 = 0x4000_0001;
pub(crate) const RH_NULL: u32 = 0x4000_0007;
pub(crate) const RS_PASSWORD: u32 = 0x4000_0009;

// Algorithms, 6.3; the curve, 6.4.
pub(crate) const ALG_AES: u16 = 0x0006;
pub(crate) const ALG_KEYED_HASH: u16 = 0x0008;
pub(crate) const ALG_SHA256: u16 = 0x000b;
pub(crate) const ALG_NULL: u16 = 0x0010;
pub(crate) const ALG_ECC: u16 = 0x0023;
pub(crate) const ALG_CFB: u16 = 0x0043;
pub(crate) const ECC_NIST_P256: u16 = 0x0003;

// Attributes of an object, 8.3.
pub(crate) const OBJECT_FIXED_TPM: u32 = 1 << 1;
pub(crate) const OBJECT_FIXED_PARENT: u32 = 1 << 4;
pub(crate) const OBJECT_SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
pub(crate) const OBJECT_USER_WITH_AUTH: u32 = 1 << 6;
pub(crate) const OBJECT_NO_DA: u32 = 1 << 10;
pub(crate) const OBJECT_RESTRICTED: u32 = 1 << 16;
pub(crate) const OBJECT_DECRYPT: u32 = 1 << 17;

// Attributes of a session, 8.4.
pub(crate) const SESSION_CONTINUE: u8 = 1;
/// Type of a session, 6.11.
pub(crate) const SE_POLICY: u8 = 1;

// Attributes of an NV index, 13.4.
pub(crate) const NV_OWNER_WRITE: u32 = 1 << 1;
pub(crate) const NV_COUNTER: u32 = 1 << 4;
pub(crate) const NV_OWNER_READ: u32 = 1 << 17;
pub(crate) const NV_NO_DA: u32 = 1 << 25;
pub(crate) const NV_WRITTEN: u32 = 1 << 29;
