//! A secret that only this TPM gives back, and only in a start that was measured as the one that sealed it.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::codes::{
    ALG_AES, ALG_CFB, ALG_ECC, ALG_KEYED_HASH, ALG_NULL, ALG_SHA256, CC_CREATE, CC_CREATE_PRIMARY,
    CC_FLUSH_CONTEXT, CC_LOAD, CC_POLICY_PCR, CC_START_AUTH_SESSION, CC_UNSEAL, ECC_NIST_P256,
    OBJECT_DECRYPT, OBJECT_FIXED_PARENT, OBJECT_FIXED_TPM, OBJECT_NO_DA, OBJECT_RESTRICTED,
    OBJECT_SENSITIVE_DATA_ORIGIN, OBJECT_USER_WITH_AUTH, RH_NULL, RH_OWNER, SE_POLICY, SESSION_CONTINUE,
};
use crate::limits::{DIGEST_BYTES, PRIVATE_BYTES, PUBLIC_BYTES, SEALED_BYTES};
use crate::pcr::{Selection, put_selection, selection};
use crate::wire::{Command, Malformed, Reader};
use crate::{Digest, Error, Tpm, Transport};

/// The PCR whose value the secret is sealed to: the state of Secure Boot and who vouched for what was started. It is the same
/// for every image that the same keys vouch for, and another one when somebody else's program was started first.
pub const SEALED_TO: u8 = 7;

const MAGIC: &[u8; 8] = b"AEGISTPM";
const SECRET_BYTES: usize = 32;
/// Longest data on an object's making, bytes: nobody looks at it.
const CREATION_BYTES: usize = 256;
/// Longest public area of the storage root key, bytes: some 90.
const PRIMARY_BYTES: usize = 256;
/// A caller's nonce (part 3, 11.1: 16 bytes at least). No key is made of it, so it need be nobody's secret nor new.
const NONCE: [u8; 16] = [0; 16];

/// A sealed secret: what the TPM made of it, and takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    public: heapless::Vec<u8, PUBLIC_BYTES>,
    private: heapless::Vec<u8, PRIVATE_BYTES>,
}

impl Sealed {
    /// As it is kept: a magic, then public and private area, each behind its length (`u16`, big-endian).
    pub fn encode(&self) -> heapless::Vec<u8, SEALED_BYTES> {
        let mut out = heapless::Vec::from_array([0; SEALED_BYTES]);
        out.clear();
        let (public, private) = (self.public.len() as u16, self.private.len() as u16);
        for part in [&MAGIC[..], &public.to_be_bytes(), &self.public, &private.to_be_bytes(), &self.private] {
            // SEALED_BYTES hold the longest.
            let _ = out.extend_from_slice(part);
        }
        out
    }

    /// Reads what was kept; `None` when it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let read = || {
            let mut input = Reader::new(bytes);
            if input.take(MAGIC.len())? != MAGIC {
                return Err(Malformed);
            }
            let sealed = Self::read(&mut input)?;
            input.end(sealed)
        };
        read().ok()
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let public = input.sized(PUBLIC_BYTES)?.try_into().map_err(|_| Malformed)?;
        let private = input.sized(PRIVATE_BYTES)?.try_into().map_err(|_| Malformed)?;
        Ok(Self { public, private })
    }
}

impl<T: Transport> Tpm<T> {
    /// Seals a secret to this TPM, and to the value that the PCR [`SEALED_TO`] has now.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when the TPM made something else than was asked, or has no SHA-256 bank.
    pub fn seal(&mut self, secret: &[u8; SECRET_BYTES]) -> Result<Sealed, Error<T::Error>> {
        let policy = policy_of(&self.pcr(SEALED_TO)?);
        let primary = self.primary()?;
        let sealed = self.create(primary, &policy, secret);
        self.flush(primary);
        sealed
    }

    /// Gives the secret back.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is another TPM, its owner's hierarchy was cleared, or the PCR has another value.
    pub fn unseal(&mut self, sealed: &Sealed) -> Result<Zeroizing<[u8; SECRET_BYTES]>, Error<T::Error>> {
        let primary = self.primary()?;
        let loaded = self.load(primary, sealed);
        self.flush(primary);
        let object = loaded?;
        let secret = self.give_by_policy(object);
        self.flush(object);
        secret
    }

    /// The storage root key, which is the same whenever it is made (`TPM2_CreatePrimary`, part 3, 24.1; the template:
    /// *Provisioning Guidance* 7.5.1). To be flushed.
    fn primary(&mut self) -> Result<u32, Error<T::Error>> {
        const ATTRIBUTES: u32 = OBJECT_FIXED_TPM
            | OBJECT_FIXED_PARENT
            | OBJECT_SENSITIVE_DATA_ORIGIN
            | OBJECT_USER_WITH_AUTH
            | OBJECT_NO_DA
            | OBJECT_RESTRICTED
            | OBJECT_DECRYPT;
        let mut command = Command::by_owner(CC_CREATE_PRIMARY, &[RH_OWNER]);
        command.u16(4).sized(&[]).sized(&[]); // no password, no data
        command.u16(26).u16(ALG_ECC).u16(ALG_SHA256).u32(ATTRIBUTES).sized(&[]);
        command.u16(ALG_AES).u16(128).u16(ALG_CFB).u16(ALG_NULL).u16(ECC_NIST_P256).u16(ALG_NULL);
        command.sized(&[]).sized(&[]); // x and y are its to choose
        command.sized(&[]).u32(0); // no data of ours, no PCRs
        self.ask(&mut command, true, |input, handle| {
            input.sized(PRIMARY_BYTES)?;
            creation(input)?;
            input.sized(DIGEST_BYTES)?; // its name
            Ok(handle)
        })
    }

    /// `TPM2_Create`, part 3, 12.1: a sealed data object, which nothing opens but its policy.
    fn create(
        &mut self,
        parent: u32,
        policy: &Digest,
        secret: &[u8; SECRET_BYTES],
    ) -> Result<Sealed, Error<T::Error>> {
        const ATTRIBUTES: u32 = OBJECT_FIXED_TPM | OBJECT_FIXED_PARENT | OBJECT_NO_DA;
        /// All of the public area but the hash that the TPM puts behind it.
        const TEMPLATE: usize = 2 + 2 + 4 + 2 + 32 + 2;
        let mut template = heapless::Vec::<u8, TEMPLATE>::new();
        for part in [
            &ALG_KEYED_HASH.to_be_bytes()[..],
            &ALG_SHA256.to_be_bytes(),
            &ATTRIBUTES.to_be_bytes(),
            &[0, 32],
            policy,
            &ALG_NULL.to_be_bytes(),
        ] {
            // TEMPLATE is their sum.
            let _ = template.extend_from_slice(part);
        }
        let mut command = Command::by_owner(CC_CREATE, &[parent]);
        command.u16(4 + SECRET_BYTES as u16).sized(&[]).sized(secret);
        command.u16(TEMPLATE as u16 + 2).put(&template).sized(&[]);
        command.sized(&[]).u32(0);
        let sealed = self.ask(&mut command, false, |input, _| {
            let private = input.sized(PRIVATE_BYTES)?.try_into().map_err(|_| Malformed)?;
            let public = input.sized(PUBLIC_BYTES)?.try_into().map_err(|_| Malformed)?;
            creation(input)?;
            Ok(Sealed { public, private })
        });
        command.wipe();
        let sealed = sealed?;
        if sealed.public.starts_with(&template) { Ok(sealed) } else { Err(Error::Unexpected) }
    }

    /// `TPM2_Load`, part 3, 12.2.
    fn load(&mut self, parent: u32, sealed: &Sealed) -> Result<u32, Error<T::Error>> {
        let mut command = Command::by_owner(CC_LOAD, &[parent]);
        command.sized(&sealed.private).sized(&sealed.public);
        self.ask(&mut command, true, |input, handle| input.sized(DIGEST_BYTES).map(|_| handle))
    }

    /// By a policy session to which the PCR was shown (`TPM2_StartAuthSession`, part 3, 11.1; `TPM2_PolicyPCR`, 23.7).
    fn give_by_policy(&mut self, object: u32) -> Result<Zeroizing<[u8; SECRET_BYTES]>, Error<T::Error>> {
        let mut command = Command::new(CC_START_AUTH_SESSION, &[RH_NULL, RH_NULL], None);
        command.sized(&NONCE).sized(&[]).put(&[SE_POLICY]).u16(ALG_NULL).u16(ALG_SHA256);
        let session =
            self.ask(&mut command, true, |input, handle| input.sized(DIGEST_BYTES).map(|_| handle))?;
        let mut command = Command::new(CC_POLICY_PCR, &[session], None);
        put_selection(command.sized(&[]), sealed_to());
        let shown = self.ask(&mut command, false, |_, _| Ok(()));
        let secret = shown.and_then(|()| self.give(object, session));
        self.flush(session);
        secret
    }

    /// `TPM2_Unseal`, part 3, 12.7.
    fn give(&mut self, object: u32, session: u32) -> Result<Zeroizing<[u8; SECRET_BYTES]>, Error<T::Error>> {
        let mut command = Command::new(CC_UNSEAL, &[object], Some((session, SESSION_CONTINUE)));
        self.ask(&mut command, false, |input, _| {
            let mut secret = Zeroizing::new([0; SECRET_BYTES]);
            let bytes = input.sized(SECRET_BYTES)?;
            if bytes.len() != SECRET_BYTES {
                return Err(Malformed);
            }
            secret.copy_from_slice(bytes);
            Ok(secret)
        })
    }

    /// `TPM2_FlushContext`, part 3, 28.4. What can't be flushed is the kernel's to flush, when its device is closed.
    fn flush(&mut self, handle: u32) {
        let mut command = Command::new(CC_FLUSH_CONTEXT, &[handle], None);
        let _ = self.ask(&mut command, false, |_, _| Ok(()));
    }
}

/// Data on an object's making, its hash, and a ticket (part 2, 15.1, 10.4.2, 10.7.3): read past.
fn creation(input: &mut Reader<'_>) -> Result<(), Malformed> {
    input.sized(CREATION_BYTES)?;
    input.sized(DIGEST_BYTES)?;
    input.u16()?;
    input.u32()?;
    input.sized(DIGEST_BYTES).map(drop)
}

fn sealed_to() -> Selection {
    selection(SEALED_TO)
}

/// The policy "this PCR has this value" (part 3, 23.7: the policy of before, all zeros; the command; the selection; the hash of
/// the values).
fn policy_of(value: &Digest) -> Digest {
    let mut policy = [0; 32 + 4 + 4 + 2 + 1 + 3 + 32];
    policy[32..36].copy_from_slice(&CC_POLICY_PCR.to_be_bytes());
    policy[36..40].copy_from_slice(&1u32.to_be_bytes());
    policy[40..42].copy_from_slice(&ALG_SHA256.to_be_bytes());
    policy[42] = sealed_to().len() as u8;
    policy[43..46].copy_from_slice(&sealed_to());
    policy[46..].copy_from_slice(&Sha256::digest(value));
    Sha256::digest(policy).into()
}
