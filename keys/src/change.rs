//! How root metadata comes to be, and how it changes from one version to the next.

use aegis_bundle::limits::{KEYS, REVOKED, REVOKED_KEYS};
use aegis_bundle::{Role, Root};
use aegis_cose::{KeyId, fingerprint, key_id, public_key};
use heapless::Vec as List;

use crate::role::KeyRole;

/// How people name a key that they do not have the file of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// Its id, 8 bytes.
    Id(KeyId),
    /// Its fingerprint, 32 bytes.
    Fingerprint([u8; 32]),
}

impl KeyName {
    /// Reads 16 or 64 hex digits; spaces in between do not matter, since fingerprints are copied from paper.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        match digits.len() {
            16 => crate::hex::take(&digits).map(|id| Self::Id(*id)),
            64 => crate::hex::take(&digits).map(|hash| Self::Fingerprint(*hash)),
            _ => None,
        }
    }

    fn names(self, key: &[u8; 32]) -> bool {
        match self {
            Self::Id(id) => key_id(key) == id,
            Self::Fingerprint(hash) => fingerprint(key) == hash,
        }
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: &[u8] = match self {
            Self::Id(id) => id,
            Self::Fingerprint(hash) => hash,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why root metadata can't change that way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// Nothing would change.
    Nothing,
    /// A public key that must never be trusted.
    BadKey(KeyRole),
    /// The key is revoked, and revoked keys stay so.
    Revoked(KeyId),
    /// The role has it already.
    Have(KeyRole, KeyId),
    /// Another role has it.
    OtherRole(KeyRole, KeyId),
    /// The role has no such key.
    NoSuchKey(KeyRole, KeyName),
    /// No role has a key with this id: without its fingerprint it can't be named.
    NoFingerprint(KeyId),
    /// Two keys have this id.
    Ambiguous(KeyId),
    /// More keys than a role may have.
    TooMany(KeyRole),
    /// A threshold that its keys can't meet: role, keys, threshold.
    Threshold(KeyRole, usize, u8),
    /// A threshold for a role that nobody has.
    NoRole(KeyRole),
    /// Keys for a role, and the role taken away.
    RoleBoth(KeyRole),
    /// More than the list of revoked manifests holds.
    RevokedFull,
    /// More than the list of revoked keys holds.
    RevokedKeysFull,
    /// The highest version or epoch there is.
    Counter,
}

impl std::fmt::Display for ChangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = |id: &KeyId| KeyName::Id(*id);
        match self {
            Self::Nothing => f.write_str("nothing would change; say what to add, remove, revoke or raise"),
            Self::BadKey(role) => write!(
                f,
                "{role}: not a usable Ed25519 public key (not canonical, or of small order); make one with `keys new`"
            ),
            Self::Revoked(key) => {
                write!(f, "key {} is revoked, and stays so; make another with `keys new`", id(key))
            }
            Self::Have(role, key) => write!(f, "{role} has key {} already; leave it out", id(key)),
            Self::OtherRole(role, key) => {
                write!(f, "key {} is a {role} key; one key, one role: make another with `keys new`", id(key))
            }
            Self::NoSuchKey(role, name) => {
                write!(f, "{role} has no key {name}; `keys show` lists those it has")
            }
            Self::NoFingerprint(key) => write!(
                f,
                "no role has a key {}; to revoke it all the same, give its whole fingerprint (64 hex digits)",
                id(key)
            ),
            Self::Ambiguous(key) => write!(f, "two keys have the id {}; give the fingerprint", id(key)),
            Self::TooMany(role) => write!(f, "{role}: more than {KEYS} keys; remove some"),
            Self::Threshold(role, 0, _) => {
                write!(f, "{role} would have no key left; add one (--add-{role} PUB)")?;
                if role.is_optional() { write!(f, " or take the role away (--no-{role})") } else { Ok(()) }
            }
            Self::Threshold(role, keys, 0) => write!(f, "--{role}-threshold 0: 1 to {keys} is possible"),
            Self::Threshold(role, keys, threshold) => write!(
                f,
                "{role}: {threshold} signatures needed of {keys} key{}: never met; add keys (--add-{role} PUB) or lower it (--{role}-threshold {keys})",
                if *keys == 1 { "" } else { "s" }
            ),
            Self::NoRole(role) => {
                write!(f, "nobody has the {role} role; add a key to it (--add-{role} PUB)")
            }
            Self::RoleBoth(role) => {
                write!(f, "--no-{role} takes the role away; leave out its keys and threshold")
            }
            Self::RevokedFull => write!(
                f,
                "more than {REVOKED} revoked bundles; raise the epoch (--raise-epoch), which shuts out every bundle of before"
            ),
            Self::RevokedKeysFull => {
                write!(f, "more than {REVOKED_KEYS} revoked keys; begin with a new root in a new image")
            }
            Self::Counter => {
                f.write_str("the highest version or epoch there is; begin with a new root in a new image")
            }
        }
    }
}

impl std::error::Error for ChangeError {}

/// Keys and threshold of a role at the beginning. No keys: nobody has the role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// Public keys.
    pub keys: Vec<[u8; 32]>,
    /// Distinct keys needed.
    pub threshold: u8,
}

/// The first root metadata: version 1, epoch 1. Roles in the order of [`KeyRole::ALL`].
///
/// # Errors
/// [`ChangeError::Threshold`], [`ChangeError::TooMany`], [`ChangeError::BadKey`], [`ChangeError::Have`],
/// [`ChangeError::OtherRole`].
pub fn first_root(roles: [Seats; KeyRole::ALL.len()]) -> Result<Root, ChangeError> {
    let held = KeyRole::ALL.map(|role| !role.is_optional() || roles[role as usize] != Seats::default());
    let mut draft =
        Draft { roles, held, version: 1, epoch: 1, revoked: Vec::new(), revoked_keys: Vec::new() };
    let offered = draft.roles.each_mut().map(|role| std::mem::take(&mut role.keys));
    for (role, keys) in KeyRole::ALL.into_iter().zip(offered) {
        keys.into_iter().try_for_each(|key| draft.add(role, key))?;
    }
    draft.finish()
}

/// What is to be different in the next version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Keys that join a role.
    pub add: Vec<(KeyRole, [u8; 32])>,
    /// Keys that leave a role. What they signed before stays good.
    pub remove: Vec<(KeyRole, KeyName)>,
    /// New thresholds.
    pub thresholds: Vec<(KeyRole, u8)>,
    /// Roles that nobody has any more, of those that nobody needs to have.
    pub vacate: Vec<KeyRole>,
    /// Shut out every bundle of before: sequences start again, and revoked manifests can be forgotten.
    pub raise_epoch: bool,
    /// Keys that are worth nothing any more; they leave their roles.
    pub revoke_keys: Vec<KeyName>,
    /// SHA-256 of manifests that are not let in any more.
    pub revoke_manifests: Vec<[u8; 32]>,
}

impl Change {
    /// The root metadata after `root`, for [`crate::Document::of_root`] to be signed by enough keys of both.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn apply(&self, root: &Root) -> Result<Root, ChangeError> {
        if *self == Self::default() {
            return Err(ChangeError::Nothing);
        }
        let mut draft = Draft::after(root)?;
        for name in &self.revoke_keys {
            draft.revoke(*name)?;
        }
        for (role, name) in &self.remove {
            draft.remove(*role, *name)?;
        }
        for (role, key) in &self.add {
            draft.add(*role, *key)?;
        }
        for role in self.vacate.iter().copied().filter(|role| role.is_optional()) {
            if self.add.iter().any(|(of, _)| *of == role) || self.thresholds.iter().any(|(of, _)| *of == role)
            {
                return Err(ChangeError::RoleBoth(role));
            }
            draft.held[role as usize] = false;
        }
        for (role, threshold) in &self.thresholds {
            if !draft.held[*role as usize] {
                return Err(ChangeError::NoRole(*role));
            }
            draft.roles[*role as usize].threshold = *threshold;
        }
        if self.raise_epoch {
            draft.epoch = draft.epoch.checked_add(1).ok_or(ChangeError::Counter)?;
            draft.revoked.clear();
        }
        draft.revoked.extend(&self.revoke_manifests);
        let next = draft.finish()?;
        let same = Root { version: root.version, ..next.clone() } == *root;
        if same { Err(ChangeError::Nothing) } else { Ok(next) }
    }
}

/// Root metadata in the making.
struct Draft {
    /// By [`KeyRole`].
    roles: [Seats; KeyRole::ALL.len()],
    /// By [`KeyRole`]: somebody has it.
    held: [bool; KeyRole::ALL.len()],
    version: u64,
    epoch: u64,
    revoked: Vec<[u8; 32]>,
    revoked_keys: Vec<[u8; 32]>,
}

impl Draft {
    fn after(root: &Root) -> Result<Self, ChangeError> {
        let seats = |role: Option<&Role>| {
            role.map_or_else(Seats::default, |role| Seats {
                keys: role.keys.to_vec(),
                threshold: role.threshold,
            })
        };
        Ok(Self {
            roles: KeyRole::ALL.map(|role| seats(role.of(root))),
            held: KeyRole::ALL.map(|role| role.of(root).is_some()),
            version: root.version.checked_add(1).ok_or(ChangeError::Counter)?,
            epoch: root.epoch,
            revoked: root.revoked.to_vec(),
            revoked_keys: root.revoked_keys.to_vec(),
        })
    }

    fn add(&mut self, role: KeyRole, key: [u8; 32]) -> Result<(), ChangeError> {
        public_key(&key).map_err(|_| ChangeError::BadKey(role))?;
        let id = key_id(&key);
        if self.revoked_keys.contains(&fingerprint(&key)) {
            return Err(ChangeError::Revoked(id));
        }
        for other in KeyRole::ALL {
            if self.roles[other as usize].keys.contains(&key) {
                return Err(if other == role {
                    ChangeError::Have(role, id)
                } else {
                    ChangeError::OtherRole(other, id)
                });
            }
        }
        if !self.held[role as usize] {
            self.held[role as usize] = true;
            self.roles[role as usize].threshold = 1;
        }
        self.roles[role as usize].keys.push(key);
        Ok(())
    }

    fn remove(&mut self, role: KeyRole, name: KeyName) -> Result<(), ChangeError> {
        let keys = &mut self.roles[role as usize].keys;
        match keys.iter().filter(|key| name.names(key)).count() {
            0 => return Err(ChangeError::NoSuchKey(role, name)),
            1 => keys.retain(|key| !name.names(key)),
            _ => return Err(ambiguous(name)),
        }
        Ok(())
    }

    fn revoke(&mut self, name: KeyName) -> Result<(), ChangeError> {
        let all: Vec<[u8; 32]> = self.roles.iter().flat_map(|role| role.keys.iter().copied()).collect();
        let named: Vec<&[u8; 32]> = all.iter().filter(|key| name.names(key)).collect();
        let hash = match (name, &named[..]) {
            (_, [key]) => fingerprint(key),
            (KeyName::Fingerprint(hash), _) => hash,
            (KeyName::Id(id), []) => return Err(ChangeError::NoFingerprint(id)),
            (KeyName::Id(_), _) => return Err(ambiguous(name)),
        };
        for role in &mut self.roles {
            role.keys.retain(|key| fingerprint(key) != hash);
        }
        self.revoked_keys.push(hash);
        Ok(())
    }

    fn finish(mut self) -> Result<Root, ChangeError> {
        self.revoked.sort_unstable();
        self.revoked.dedup();
        self.revoked_keys.sort_unstable();
        self.revoked_keys.dedup();
        let role = |role: KeyRole| {
            let seats = &self.roles[role as usize];
            let mut keys = seats.keys.clone();
            keys.sort_unstable();
            let able = (1..=keys.len()).contains(&usize::from(seats.threshold));
            match List::from_slice(&keys).ok() {
                None => Err(ChangeError::TooMany(role)),
                Some(_) if !able => Err(ChangeError::Threshold(role, keys.len(), seats.threshold)),
                Some(keys) => Ok(Role { threshold: seats.threshold, keys }),
            }
        };
        let maybe = |of: KeyRole| if self.held[of as usize] { role(of).map(Some) } else { Ok(None) };
        Ok(Root {
            version: self.version,
            epoch: self.epoch,
            root: role(KeyRole::Root)?,
            policy: role(KeyRole::Policy)?,
            break_glass: maybe(KeyRole::BreakGlass)?,
            image: maybe(KeyRole::Image)?,
            workload: maybe(KeyRole::Workload)?,
            revoked: List::from_slice(&self.revoked).map_err(|_| ChangeError::RevokedFull)?,
            revoked_keys: List::from_slice(&self.revoked_keys).map_err(|_| ChangeError::RevokedKeysFull)?,
        })
    }
}

fn ambiguous(name: KeyName) -> ChangeError {
    match name {
        KeyName::Id(id) => ChangeError::Ambiguous(id),
        KeyName::Fingerprint(hash) => ChangeError::Ambiguous(key_id(&hash)),
    }
}
