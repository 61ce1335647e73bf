//! Open a signed bundle: bounds first, signatures over raw bytes, then a strict parse, then the rules of trust.
//!
//! ```text
//! header 64 bytes | manifest (CBOR) | signatures (COSE_Sign over the manifest) | contents
//! ```
//!
//! The order in [`open`] is the point: nothing is parsed before its length is bounded, nothing means anything before
//! enough distinct keys of the [`Root`] signed it, and nothing is believed that is not in its one encoding. The
//! formats are in `docs/formats/bundle.md` and `bundle.cddl`.
//!
//! An image of the system ([`open_image`]) and a workload ([`open_workload`]) are the same container, by keys of other roles,
//! whose contents are too long for memory: they are decided by their fronts, and the contents are hashed by whoever reads them.
//!
//! Who may sign is [`Root`] metadata, which changes only by [`Root::next`]. A [`Token`] breaks the glass. What trust leaves
//! behind is [`TrustState`], kept twice on the device against rollback, and [`Receipt`], the device's signed answer.
#![no_std]
#![forbid(unsafe_code)]

mod armor;
mod cbor;
mod container;
mod image;
mod image_state;
pub mod limits;
mod manifest;
mod open;
mod receipt;
mod refusal;
mod root;
mod selectors;
mod site;
mod state;
mod token;
mod workload;
mod workload_state;

/// What a workload may be called.
pub use aegis_policy::names::is_kept_workload_name as is_workload_name;
pub use armor::{ArmorBytes, ArmorError, ArmorLine, armor, unarmor};
pub use container::{Container, FrontSections, Sections, split, split_front};
#[cfg(feature = "build")]
pub use container::{assemble, assemble_front, manifest_of};
pub use image::{AcceptedImage, BOOT, ImageContext, ImageManifest, ROOT, open_image};
pub use image_state::{ImageState, Trial};
pub use manifest::{Content, Manifest, POLICY, SOURCE, Version, is_group};
pub use open::{Accepted, Bundle, Context, Files, contents, hash, open, open_hashed, open_kept};
pub use receipt::{Answer, Receipt, ReceiptError, What, encode_receipt, open_receipt};
pub use refusal::{Reason, Refusal};
pub use root::{Role, Root, RootError};
pub use selectors::Selectors;
pub use site::{
    Certificate, Chain, Clients, Collector, SITE, Site, is_host, is_interface, is_site_name, is_site_path,
};
pub use state::{StateCopy, TrustState};
pub use token::{Token, TokenError, open_token};
pub use workload::{
    Bounds, CONTENTS, Restart, Run, When, Workload, WorkloadContext, WorkloadManifest, is_variable, is_word,
    is_writable, open_kept_workload, open_workload,
};
pub use workload_state::{Rank, Remembered, WorkloadState};
