//! What keys sign: root metadata, bundles, break-glass tokens, images, workloads. Read, signed once more, written again.
//!
//! Signatures stand in the order of their key ids, so that the same keys give the same bytes in whatever order, and on
//! however many machines, they signed.

use aegis_bundle::limits::{HEADER_BYTES, ROOT_BYTES, SIGNATURES_BYTES, TOKEN_BYTES};
use aegis_bundle::{
    Container, ImageManifest, Manifest, Refusal, Role, Root, RootError, Token, TokenError, WorkloadManifest,
    assemble_front, split, split_front,
};
use aegis_cose::limits::{SIGN1_OVERHEAD, SIGNATURE_BYTES, SIGNERS};
use aegis_cose::{
    CoseError, Domain, KeyId, Sign, key_id, public_key, sign_detached, sign_embedded, signature,
};

use crate::role::KeyRole;
use crate::secret::SecretFile;

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Root metadata.
    Root,
    /// A bundle.
    Bundle,
    /// A break-glass token.
    Token,
    /// An image of the system.
    Image,
    /// A workload.
    Workload,
}

impl Kind {
    /// The word for people and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Bundle => "bundle",
            Self::Token => "token",
            Self::Image => "image",
            Self::Workload => "workload",
        }
    }

    /// Whose keys sign it.
    pub const fn role(self) -> KeyRole {
        match self {
            Self::Root => KeyRole::Root,
            Self::Bundle => KeyRole::Policy,
            Self::Token => KeyRole::BreakGlass,
            Self::Image => KeyRole::Image,
            Self::Workload => KeyRole::Workload,
        }
    }

    const fn domain(self) -> Domain {
        match self {
            Self::Root => Domain::Root,
            Self::Bundle => Domain::Bundle,
            Self::Token => Domain::BreakGlass,
            Self::Image => Domain::Image,
            Self::Workload => Domain::Workload,
        }
    }
}

/// Why bytes are nothing that keys sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// Neither a bundle, nor an image, nor a workload, nor root metadata, nor a token.
    Unknown,
    /// Root metadata that is no good.
    Root(RootError),
    /// A bundle, an image or a workload that is no good.
    Bundle(Refusal),
    /// A token that is no good.
    Token(TokenError),
}

impl DocumentError {
    /// The stable reason code (`docs/formats/reason-codes.md`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown-document",
            Self::Root(error) => error.code(),
            Self::Bundle(refusal) => refusal.code(),
            Self::Token(error) => error.code(),
        }
    }
}

impl std::fmt::Display for DocumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "neither a bundle, nor an image, nor a workload, nor root metadata, nor a break-glass token",
            ),
            Self::Root(error) => error.fmt(f),
            Self::Bundle(refusal) => refusal.fmt(f),
            Self::Token(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DocumentError {}

/// Why a signature is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignError {
    /// A key of this role does not sign what is to be signed: this one would.
    Role(KeyRole, KeyRole),
    /// The root does not list the key for the role.
    Unlisted,
    /// The root revokes the key.
    Revoked,
    /// It signed already.
    Twice,
    /// As many signatures as there can be.
    Full,
    /// It could not be written, or does not verify.
    Cose(CoseError),
}

impl std::fmt::Display for SignError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(is, wanted) => {
                let a = |role: KeyRole| if role == KeyRole::Image { "an" } else { "a" };
                write!(
                    f,
                    "{} {is} key, which signs {}; {} {wanted} key is wanted",
                    a(*is),
                    is.signs(),
                    a(*wanted)
                )
            }
            Self::Unlisted => f.write_str(
                "the root does not list this key for that; take one of those that `keys show` lists",
            ),
            Self::Revoked => f.write_str("the root revokes this key; take another"),
            Self::Twice => {
                f.write_str("this key signed it already; a threshold counts distinct keys, take another")
            }
            Self::Full => {
                write!(
                    f,
                    "it has {SIGNERS} signatures, which is the most; make it again with those that count"
                )
            }
            Self::Cose(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SignError {}

/// How far a role is with signing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Distinct keys needed.
    pub threshold: usize,
    /// Keys of the role that signed.
    pub signed: Vec<[u8; 32]>,
    /// Keys of the role that did not.
    pub missing: Vec<[u8; 32]>,
}

impl Standing {
    /// How many more are needed; 0 when it is enough.
    pub fn wanting(&self) -> usize {
        self.threshold.saturating_sub(self.signed.len())
    }
}

/// One signature: who claims to have made it, and its bytes.
type Signed = (KeyId, [u8; SIGNATURE_BYTES]);

/// Something that keys sign, with the signatures it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    kind: Kind,
    payload: Vec<u8>,
    /// A bundle's or an image's files.
    contents: Vec<u8>,
    signatures: Vec<Signed>,
}

impl Document {
    /// Root metadata that nobody signed yet.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn of_root(root: &Root) -> Result<Self, RootError> {
        let mut payload = vec![0; ROOT_BYTES];
        let length = root.encode(&mut payload)?;
        payload.truncate(length);
        Ok(Self { kind: Kind::Root, payload, contents: Vec::new(), signatures: Vec::new() })
    }

    /// A token that nobody signed yet.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn of_token(token: &Token<'_>) -> Result<Self, TokenError> {
        let mut payload = vec![0; TOKEN_BYTES];
        let length = token.encode(&mut payload)?;
        payload.truncate(length);
        Ok(Self { kind: Kind::Token, payload, contents: Vec::new(), signatures: Vec::new() })
    }

    /// A bundle that nobody signed yet, of a manifest's bytes and the files it lists.
    pub fn of_bundle(manifest: Vec<u8>, contents: &[&[u8]]) -> Self {
        Self { kind: Kind::Bundle, payload: manifest, contents: contents.concat(), signatures: Vec::new() }
    }

    /// An image that nobody signed yet, of a manifest's bytes and the files it lists.
    pub fn of_image(manifest: Vec<u8>, contents: Vec<u8>) -> Self {
        Self { kind: Kind::Image, payload: manifest, contents, signatures: Vec::new() }
    }

    /// A workload that nobody signed yet, of a manifest's bytes and the file that it lists.
    pub fn of_workload(manifest: Vec<u8>, contents: Vec<u8>) -> Self {
        Self { kind: Kind::Workload, payload: manifest, contents, signatures: Vec::new() }
    }

    /// Reads what may lack signatures. What they are worth is not looked at: [`Document::standing`] does.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        let kind = kind_of(bytes).ok_or(DocumentError::Unknown)?;
        let (payload, contents, message) = match kind {
            Kind::Root => {
                let (_, message) = Root::unverified(bytes).map_err(DocumentError::Root)?;
                (message.unverified_payload().unwrap_or_default(), &[][..], message)
            }
            Kind::Token => {
                let (_, message) = Token::unverified(bytes).map_err(DocumentError::Token)?;
                (message.unverified_payload().unwrap_or_default(), &[][..], message)
            }
            Kind::Bundle => {
                let refused = |reason| DocumentError::Bundle(Refusal::from(reason));
                let sections = split(bytes).map_err(refused)?;
                let message = Sign::parse(sections.signatures).map_err(|error| refused(error.into()))?;
                Manifest::decode(sections.manifest).map_err(refused)?;
                (sections.manifest, sections.contents, message)
            }
            Kind::Image | Kind::Workload => {
                let refused = |reason| DocumentError::Bundle(Refusal::from(reason));
                let container = if kind == Kind::Image { Container::Image } else { Container::Workload };
                let sections = split_front(container, bytes, bytes.len() as u64).map_err(refused)?;
                let message = Sign::parse(sections.signatures).map_err(|error| refused(error.into()))?;
                if kind == Kind::Image {
                    ImageManifest::decode(sections.manifest).map_err(refused)?;
                } else {
                    WorkloadManifest::decode(sections.manifest).map_err(refused)?;
                }
                (sections.manifest, &bytes[sections.contents_at as usize..], message)
            }
        };
        let signatures = message.signers().map(|signer| (signer.kid, *signer.signature())).collect();
        Ok(Self { kind, payload: payload.to_vec(), contents: contents.to_vec(), signatures })
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What is signed: a manifest, or the payload of root metadata or token.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Who claims to have signed.
    pub fn signers(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.signatures.iter().map(|(kid, _)| *kid)
    }

    /// How far a role is with signing it.
    ///
    /// # Errors
    /// [`CoseError::BadSignature`] when a signature that claims to be by a key of the role does not verify.
    pub fn standing(&self, role: &Role) -> Result<Standing, CoseError> {
        let (mut signed, mut missing) = (Vec::new(), Vec::new());
        for key in &role.keys {
            if self.is_signed_by(key)? { signed.push(*key) } else { missing.push(*key) }
        }
        Ok(Standing { threshold: usize::from(role.threshold), signed, missing })
    }

    /// True when this key signed it.
    ///
    /// # Errors
    /// [`CoseError::BadSignature`] when somebody else claims its id, [`CoseError::BadKey`].
    pub fn is_signed_by(&self, key: &[u8; 32]) -> Result<bool, CoseError> {
        let kid = key_id(key);
        let claims: Vec<Signed> =
            self.signatures.iter().filter(|(signer, _)| *signer == kid).copied().collect();
        if claims.is_empty() {
            return Ok(false);
        }
        let mut bytes = vec![0; SIGNATURES_BYTES];
        let length = sign_detached(&claims, &mut bytes)?;
        let message = Sign::parse(&bytes[..length])?;
        let key = public_key(key)?;
        message.signers().try_for_each(|signer| signer.verify(self.kind.domain(), &self.payload, &key))?;
        Ok(true)
    }

    /// Adds one signature. `roots` are those of which one must list the key; without any, only what the key is for is
    /// looked at.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(&mut self, key: &SecretFile, roots: &[&Root]) -> Result<(), SignError> {
        let role = self.kind.role();
        if key.role() != role {
            return Err(SignError::Role(key.role(), role));
        }
        if roots.iter().any(|root| root.revokes(key.public())) && self.kind != Kind::Root {
            return Err(SignError::Revoked);
        }
        let lists = |root: &&Root| role.of(root).is_some_and(|role| role.keys.contains(key.public()));
        if !roots.is_empty() && !roots.iter().any(lists) {
            let revoked = roots.iter().any(|root| root.revokes(key.public()));
            return Err(if revoked { SignError::Revoked } else { SignError::Unlisted });
        }
        if self.is_signed_by(key.public()).map_err(SignError::Cose)? {
            return Err(SignError::Twice);
        }
        if self.signatures.len() >= SIGNERS {
            return Err(SignError::Full);
        }
        let mut scratch = vec![0; self.payload.len() + SIGN1_OVERHEAD];
        let made = signature(&self.payload, self.kind.domain(), key.secret(), &mut scratch);
        let at = self.signatures.partition_point(|(kid, _)| *kid < key.id());
        self.signatures.insert(at, made.map_err(SignError::Cose)?);
        // A signature that does not verify must not leave: it would refuse the whole.
        match self.is_signed_by(key.public()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(SignError::Cose(CoseError::UnknownKey)),
            Err(error) => Err(SignError::Cose(error)),
        }
    }

    /// The file; `None` when it would be longer than it may be, or nobody signed.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let (container, limit) = match self.kind {
            Kind::Root => (None, ROOT_BYTES),
            Kind::Token => (None, TOKEN_BYTES),
            Kind::Bundle => (Some(Container::Policy), HEADER_BYTES + self.payload.len() + SIGNATURES_BYTES),
            Kind::Image => (Some(Container::Image), HEADER_BYTES + self.payload.len() + SIGNATURES_BYTES),
            Kind::Workload => {
                (Some(Container::Workload), HEADER_BYTES + self.payload.len() + SIGNATURES_BYTES)
            }
        };
        let mut out = vec![0; limit];
        let length = if let Some(container) = container {
            let mut signatures = vec![0; SIGNATURES_BYTES];
            let length = sign_detached(&self.signatures, &mut signatures).ok()?;
            let contents = self.contents.len() as u64;
            assemble_front(container, &self.payload, &signatures[..length], contents, &mut out)?
        } else {
            sign_embedded(&self.payload, &self.signatures, &mut out).ok()?
        };
        out.truncate(length);
        out.extend_from_slice(&self.contents);
        Some(out)
    }
}

/// What bytes are meant to be. A bundle, an image and a workload say so; root metadata and tokens are told apart by how many entries
/// their map has.
fn kind_of(bytes: &[u8]) -> Option<Kind> {
    match Container::of(bytes) {
        Some(Container::Policy) => return Some(Kind::Bundle),
        Some(Container::Image) => return Some(Kind::Image),
        Some(Container::Workload) => return Some(Kind::Workload),
        None => {}
    }
    match Sign::parse(bytes).ok()?.unverified_payload()?.first()? {
        0xa6 => Some(Kind::Root),
        0xa7 => Some(Kind::Token),
        _ => None,
    }
}
