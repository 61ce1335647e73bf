//! The key ceremony: secret keys as (encrypted) text files, public halves that travel, root metadata made, rotated and
//! revoked, and signatures added one at a time.
//!
//! A secret key is kept in memory that is wiped when it is dropped. Nothing here touches a file, a terminal or a clock:
//! the caller reads and writes the text, with permissions that suit it.
#![forbid(unsafe_code)]

mod change;
mod document;
mod hex;
mod identity;
pub mod limits;
mod passphrase;
mod public;
mod role;
mod sealed;
mod secret;

pub use change::{Change, ChangeError, KeyName, Seats, first_root};
pub use document::{Document, DocumentError, Kind, SignError, Standing};
pub use identity::{IdentityError, identity_text, is_identity_file, new_identity, read_identities};
pub use passphrase::{Weak, check_passphrase};
pub use public::PublicKeyFile;
pub use role::KeyRole;
pub use sealed::{SealError, is_sealed, seal, unseal, work_factor};
pub use secret::{KeyError, SecretFile};
