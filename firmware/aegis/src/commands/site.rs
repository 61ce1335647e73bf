//! `aegis site`: how it stands with the endpoint on the site network, and what the policy in force says of it. The endpoint is a program
//! of its own, `aegis-site`, which asks by `--section` and tells by `/run/aegis/site`.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;

use super::in_force;
use crate::outcome::{Failure, Outcome, say};
use crate::storage::device::{Identity, hex};
use crate::storage::trust::Trust;
use crate::storage::{DATA, RUN, atomic, facts};

const FILE: &str = "site";
const MOST: u64 = 1024;
/// Of `aegis-site`'s own storage.
const REQUEST: &str = "site/request.csr";
const REQUEST_BYTES: u64 = 4096;

/// What was told last: state (`off`, `up`, `down`), code, detail. Of a boot in which nothing was told it is off.
pub(super) struct Told {
    state: String,
    code: String,
    detail: String,
}

impl Told {
    pub(super) fn load() -> Option<Self> {
        atomic::read_or_default(&Path::new(RUN).join(FILE), MOST, |bytes| {
            let mut words = str::from_utf8(bytes).ok()?.trim_end().splitn(3, ' ').map(str::to_owned);
            Some(Some(Self { state: words.next()?, code: words.next()?, detail: words.next()? }))
        })
    }

    /// The policy asks for one, and there is none: why.
    pub(super) fn down(self) -> Option<String> {
        (self.state == "down").then(|| format!("{}: {}", self.code, self.detail))
    }
}

/// Exit 0 when it is as the policy asks, 1 when it asks for an endpoint and there is none. With `section` nothing but what the policy
/// in force says, as `firmware/site/src/offer.rs` reads it; nothing when it says nothing.
pub(crate) fn run(section: bool, json: bool) -> Outcome {
    if section {
        return self::section();
    }
    let told = Told::load().unwrap_or_else(|| Told {
        state: "off".to_owned(),
        code: "no-site".to_owned(),
        detail: "nothing was told of it in this boot".to_owned(),
    });
    say(&if json {
        json!({ "state": told.state, "code": told.code, "detail": told.detail }).to_string()
    } else {
        format!("{}: {}: {}", told.state.to_ascii_uppercase(), told.code, told.detail)
    })?;
    told.down().map_or(Ok(()), |why| Err(Failure::refused(format!("site network: {why}"))))
}

/// The request for a certificate goes to the office by stick, as long as there is one.
pub(super) fn carry_out(out: &Path, identity: &Identity) -> io::Result<()> {
    match atomic::read_bounded(&Path::new(DATA).join(REQUEST), REQUEST_BYTES) {
        Ok(request) => {
            let name = format!("site-{}.csr", hex(&identity.id()));
            atomic::replace(out, &name, &request, 0o644).map(drop)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn section() -> Outcome {
    let trust = Trust::open()?;
    let Some(section) = in_force::site(&trust)? else { return Ok(()) };
    let identity =
        Identity::open_or_create().map_err(|error| Failure::error(format!("device key: {error}")))?;
    let now = facts::now(trust.state()).to_le_bytes();
    let all = [&now[..], &identity.id(), &section].concat();
    let mut out = io::stdout();
    out.write_all(&all).and_then(|()| out.flush()).map_err(|error| Failure::error(format!("stdout: {error}")))
}
