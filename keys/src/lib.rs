//! The key ceremony: secret keys as text files, root metadata made from them.
//!
//! A secret key is kept in memory that is wiped when it is dropped. Nothing here touches a file: the caller reads and
//! writes the text, with permissions that suit it.
#![forbid(unsafe_code)]

mod root;
mod secret;

pub use root::sign_root;
pub use secret::{KeyError, KeyRole, SecretFile};
