//! `aegis stick verify`: what a stick brings, and what would become of it. Nothing is taken, written or remembered.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::path::Path;

use aegis_bundle::{Refusal, limits as bounds};
use serde_json::{Value, json};

use super::answers::{ROOTS, TOKENS, c_string, is_bundle, read_bundle, shown};
use super::{Stick, one_take};
use crate::commands::image::{self, Offer};
use crate::commands::{break_glass, policy, workload};
use crate::outcome::{Failure, Outcome, say};
use crate::stick::directory::{Directory, Unread};
use crate::stick::mount::{self, Mounted};
use crate::stick::{DIRECTORY, privileges};
use crate::storage::device::{Identity, hex};
use crate::storage::facts::Facts;
use crate::storage::trust::Trust;

/// Exit 1 when something would be refused.
pub(crate) fn run(node: Option<&Path>, as_json: bool) -> Outcome {
    let _one = one_take()?;
    let stick = Stick::there(node)?;
    privileges::keep_few().map_err(|error| Failure::error(format!("capabilities: {error}")))?;
    mount::private_namespace().map_err(|error| Failure::error(format!("mount namespace: {error}")))?;
    let name = &stick.device.name;
    let failed = |error: std::io::Error| Failure::refused(format!("stick {name}: {error}"));
    let mounted = Mounted::to_read(&stick.device, stick.kind).map_err(failed)?;
    let directory = Directory::open(mounted.path(), DIRECTORY).map_err(failed)?;
    let directory = directory.ok_or_else(|| {
        Failure::refused(format!("stick {name}: there is no {DIRECTORY:?} on it (see docs/keys.md)"))
    })?;
    let mut offers = Offers::new()?;
    offers.all(&directory)?;
    drop(directory);
    drop(mounted);
    say(&if as_json {
        json!({ "device": name, "filesystem": stick.kind.to_string(), "offers": offers.list.iter().map(Told::to_json).collect::<Vec<_>>() })
            .to_string()
    } else {
        let mut lines = vec![format!("stick {name}: {}, {} offered", stick.kind, offers.list.len())];
        lines.extend(offers.list.iter().map(Told::line));
        lines.join("\n")
    })?;
    match offers.list.iter().filter(|told| !told.accepted).count() {
        0 => Ok(()),
        count => Err(Failure::refused(format!("stick {name}: {count} of it would be refused"))),
    }
}

/// A code and a detail, either way.
type Judged = Result<(&'static str, String), (&'static str, String)>;
/// Epoch and sequence, by the front.
type Ranked = Result<Result<(u64, u64), Refusal>, Failure>;

/// What would become of one.
struct Told {
    what: &'static str,
    name: String,
    accepted: bool,
    code: &'static str,
    detail: String,
}

impl Told {
    fn to_json(&self) -> Value {
        let Self { what, name, accepted, code, detail } = self;
        json!({ "what": what, "name": name, "accepted": accepted, "code": code, "detail": detail })
    }

    fn line(&self) -> String {
        let word = if self.accepted { "ok" } else { "!!" };
        let space = if self.detail.is_empty() { "" } else { ": " };
        format!("{word} {} {}: {}{space}{}", self.what, self.name, self.code, self.detail)
    }
}

struct Offers {
    trust: Trust,
    identity: Identity,
    facts: Facts,
    list: Vec<Told>,
}

impl Offers {
    fn new() -> Result<Self, Failure> {
        // Who asks changes nothing.
        let identity = Identity::open().map_err(|error| Failure::error(format!("device key: {error}")))?;
        let identity = identity.ok_or_else(|| {
            Failure::refused("the device has no key yet (the agent makes it when it starts)")
        })?;
        let facts = Facts::of(&identity);
        Ok(Self { trust: Trust::open()?, identity, facts, list: Vec::new() })
    }

    fn all(&mut self, directory: &Directory) -> Outcome {
        let unreadable = |error| Failure::refused(format!("{DIRECTORY}: {error}"));
        let found = directory.names().map_err(unreadable)?;
        let version = self.trust.root().version.saturating_add(1);
        if let Some(roots) = directory.below(ROOTS).map_err(unreadable)? {
            let name = format!("{version}.cbor");
            let read = roots.read(&c_string(&name), bounds::ROOT_BYTES as u64);
            self.read("root", format!("{ROOTS}/{name}"), read, |all, bytes| {
                let next = all.trust.next_root(bytes);
                next.map(|_| ("accepted", String::new())).map_err(|error| (error.code(), error.to_string()))
            });
        }
        for name in found.names.iter().filter(|name| is_bundle(name)) {
            self.read("bundle", shown(name), read_bundle(directory, name), |all, bytes| {
                let (accepted, code, detail) = policy::would_take(&all.trust, &all.facts, bytes);
                if accepted { Ok((code, detail)) } else { Err((code, detail)) }
            });
        }
        if let Some(tokens) = directory.below(TOKENS).map_err(unreadable)? {
            let name = format!("{}.cbor", hex(&self.identity.id()));
            let read = tokens.read(&c_string(&name), bounds::TOKEN_BYTES as u64);
            self.read("token", format!("{TOKENS}/{name}"), read, |all, bytes| {
                break_glass::would_take(bytes, &all.trust, &all.identity)
            });
        }
        for name in found.names.iter().filter(|name| image::is_image(name.to_bytes())) {
            let judged = |offer: &Offer<File>, all: &Self| image::judge(offer, &all.identity);
            self.large("image", image::BYTES, directory, name, &judged)?;
        }
        for name in found.names.iter().filter(|name| workload::is_workload(name.to_bytes())) {
            let judged = |offer: &Offer<File>, all: &Self| {
                Ok(workload::judge(offer, &all.identity)?.map(|(_, rank)| rank))
            };
            self.large("workload", workload::BYTES, directory, name, &judged)?;
        }
        if found.more {
            self.add(
                "directory",
                DIRECTORY.to_owned(),
                Err(("too-many-entries", "the rest is not looked at".into())),
            );
        }
        Ok(())
    }

    fn add(&mut self, what: &'static str, name: String, told: Judged) {
        let accepted = told.is_ok();
        let (code, detail) = told.unwrap_or_else(|refused| refused);
        self.list.push(Told { what, name, accepted, code, detail });
    }

    fn read(
        &mut self,
        what: &'static str,
        name: String,
        read: Result<Option<Vec<u8>>, Unread>,
        judge: fn(&Self, &[u8]) -> Judged,
    ) {
        match read {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let told = judge(self, &bytes);
                self.add(what, name, told);
            }
            Err(unread) => self.add(what, name, Err((unread.code(), unread.to_string()))),
        }
    }

    /// By its front alone.
    fn large(
        &mut self,
        what: &'static str,
        most: u64,
        directory: &Directory,
        name: &CString,
        judge: &dyn Fn(&Offer<File>, &Self) -> Ranked,
    ) -> Outcome {
        let told = match offered(directory, name, most) {
            Ok(None) => return Ok(()),
            Ok(Some(offer)) => match judge(&offer, self)? {
                Ok((epoch, sequence)) => Ok(("accepted", format!("{epoch}.{sequence}, by its front"))),
                Err(refusal) => Err((refusal.code(), refusal.to_string())),
            },
            Err(unread) => Err((unread.code(), unread.to_string())),
        };
        self.add(what, shown(name), told);
        Ok(())
    }
}

fn offered(directory: &Directory, name: &CStr, most: u64) -> Result<Option<Offer<File>>, Unread> {
    directory.file(name, most).and_then(|found| match found {
        Some((file, _)) => Offer::of(file, false).map(Some).map_err(Unread::Io),
        None => Ok(None),
    })
}
