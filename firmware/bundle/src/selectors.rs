//! Which devices an image or a workload is for.

use heapless::Vec;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{ANY, Reader, Written};
use crate::limits::{ARCHITECTURE_BYTES, DEVICES, GROUP_BYTES, GROUPS};
use crate::manifest::{Version, agent, is_group, is_selector, list, write_agent, write_list};
use crate::open::{check_agent, check_device, check_groups};
use crate::refusal::Reason;

/// Keys of the map (`image-selectors` in `docs/formats/bundle.cddl`).
mod key {
    pub(super) const DEVICES: u8 = 1;
    pub(super) const ARCHITECTURE: u8 = 2;
    pub(super) const AGENT: u8 = 3;
    pub(super) const GROUPS: u8 = 4;
}

/// The devices that something with programs in it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selectors<'a> {
    /// Device ids it is for, strictly ascending; `None` for any.
    pub devices: Option<Vec<[u8; 16], DEVICES>>,
    /// The architecture it is for, as Rust names it.
    pub architecture: &'a str,
    /// Lowest version of the agent that takes it; `None` for any.
    pub agent: Option<Version>,
    /// Groups of devices it is for, strictly ascending; `None` for any. One that the device is in suffices.
    pub groups: Option<Vec<&'a str, GROUPS>>,
}

/// Who asks, as far as it is known: what is `None` is not looked at.
pub(crate) struct Asked<'a> {
    pub(crate) device: Option<[u8; 16]>,
    pub(crate) architecture: Option<&'a str>,
    pub(crate) agent: Option<Version>,
    pub(crate) groups: Option<&'a [&'a str]>,
}

impl<'a> Selectors<'a> {
    pub(crate) fn is_possible(&self) -> bool {
        is_selector(self.devices.as_deref(), |_| true)
            && is_selector(self.groups.as_deref(), |name| is_group(name))
            && (1..=ARCHITECTURE_BYTES).contains(&self.architecture.len())
            && self.architecture != ANY
    }

    pub(crate) fn check(&self, asked: &Asked<'_>) -> Result<(), Reason> {
        check_device(self.devices.as_deref(), asked.device)?;
        check_groups(self.groups.as_deref(), asked.groups)?;
        if asked.architecture.is_some_and(|mine| mine != self.architecture) {
            return Err(Reason::WrongArchitecture);
        }
        check_agent(self.agent, asked.agent)
    }

    pub(crate) fn read(input: &mut Reader<'a>) -> Result<Self, Reason> {
        input.map(4)?;
        input.key(key::DEVICES)?;
        let devices = list(input, Reader::fixed)?;
        input.key(key::ARCHITECTURE)?;
        let architecture = input.str(ARCHITECTURE_BYTES)?;
        input.key(key::AGENT)?;
        let agent = agent(input)?;
        input.key(key::GROUPS)?;
        let groups = list(input, |input| input.str(GROUP_BYTES))?;
        Ok(Self { devices, architecture, agent, groups })
    }

    pub(crate) fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(4)?.u8(key::DEVICES)?;
        write_list(out, self.devices.as_deref(), |out, id| out.bytes(id).map(drop))?;
        out.u8(key::ARCHITECTURE)?.str(self.architecture)?;
        out.u8(key::AGENT)?;
        write_agent(out, self.agent.as_ref())?;
        out.u8(key::GROUPS)?;
        write_list(out, self.groups.as_deref(), |out, name| out.str(name).map(drop))
    }
}
