//! Whether the trust state is the last that there was: it carries the value of a counter in the TPM, which only rises.
//!
//! ```text
//! commit   1  the state, with the counter's value and one more, in both copies, flushed
//!          2  the counter is incremented
//! start    state = counter          good
//!          state = counter + 1      the power went between 1 and 2: the counter is incremented
//!          state < counter          an older copy
//! ```
//! A state that was counted is vouched for under the storage key ([`aegis_seal::StorageKey::vouch`]): who has the disk alone could
//! write any value into an older one.
//!
//! A new counter has no value that is known before its first increment. So it counts from the moment that a mark is set in the TPM,
//! when a state with its value is durable:
//! ```text
//! begin    1  the counter is defined    2  incremented    3  the state, with its value, flushed    4  the mark
//! ```
//! Until 4 whatever the state says is as good as without a TPM; from then on no state is an older one, too.
//!
//! A state that was counted is held where no TPM answers: else to switch it off would be the way to put an older copy in. Who vouches for
//! such a device ends the counting: the state says 0 from then on.

use core::fmt::Display;
use std::io;

use aegis_seal::StorageKey;
use aegis_tpm::{Counter, Error, Tpm, Transport};

use super::copies::Copies;
use super::disk::Disk;
use crate::workloads::books::Books;

/// What can tell own storage from an older copy of it.
pub(crate) trait Witness {
    /// The lock of the trust state, for who does not hold it; `None` where there is one process.
    fn lock(&self) -> io::Result<Option<std::fs::File>>;

    /// What trust states are vouched for under.
    fn key(&self) -> Option<StorageKey>;

    /// The counter's value; `None` where nothing is counted.
    fn value(&self) -> io::Result<Option<u64>>;

    /// Counts.
    fn increment(&self) -> io::Result<()>;

    /// The trust state was found to be an older copy, or not this device's, and nobody has vouched for the device since.
    fn is_held(&self) -> bool;

    /// Somebody has.
    fn release(&self) -> io::Result<()>;

    /// There is no TPM that could ever count.
    fn is_alone(&self) -> bool;
}

/// The TPM's side.
pub(crate) trait Nv {
    /// Why it can't.
    type Error: Display;

    fn counter(&mut self) -> Result<Counter, Self::Error>;
    fn define(&mut self) -> Result<(), Self::Error>;
    fn increment(&mut self) -> Result<(), Self::Error>;
    fn is_marked(&mut self) -> Result<bool, Self::Error>;
    fn mark(&mut self) -> Result<(), Self::Error>;
}

impl<T: Transport<Error = io::Error>> Nv for Tpm<T> {
    type Error = Error<io::Error>;

    fn counter(&mut self) -> Result<Counter, Self::Error> {
        Self::counter(self)
    }

    fn define(&mut self) -> Result<(), Self::Error> {
        self.define_counter()
    }

    fn increment(&mut self) -> Result<(), Self::Error> {
        Self::increment(self)
    }

    fn is_marked(&mut self) -> Result<bool, Self::Error> {
        Self::is_marked(self)
    }

    fn mark(&mut self) -> Result<(), Self::Error> {
        Self::mark(self)
    }
}

/// What came of it. The trust state is counted from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the last one.
    Good,
    /// Another TPM counted it, or nobody remembers: it counts as the last one.
    OtherTpm,
    /// It is not the last one, or nobody vouches for it: why.
    Held(String),
}

impl Verdict {
    /// What is remembered of workloads is held against the trust state, too, where that is the last one.
    pub(crate) fn with_books(self, disk: &impl Disk) -> io::Result<Self> {
        let rolled_back = self == Self::Good && Books::read(disk)?.rolled_back;
        let why = "what was accepted of workloads is an older copy, gone, or not this device's";
        Ok(if rolled_back { Self::Held(why.into()) } else { self })
    }
}

/// Holds the trust state against the counter. The caller holds the lock of trust.
///
/// # Errors
/// Own storage's, and the TPM's: nothing is counted then.
#[inline(never)]
pub(crate) fn settle(disk: &impl Disk, nv: &mut impl Nv) -> io::Result<Verdict> {
    let mut copies = Copies::read(disk)?;
    let found = nv.counter().map_err(refused)?;
    let value = match found {
        Counter::At(value) => value,
        Counter::Undefined | Counter::Unwritten => {
            if found == Counter::Undefined {
                nv.define().map_err(refused)?;
            }
            nv.increment().map_err(refused)?;
            match nv.counter().map_err(refused)? {
                Counter::At(value) => value,
                _ => return Err(io::Error::other("the TPM does not count")),
            }
        }
    };
    let said = copies.state.counter;
    if !nv.is_marked().map_err(refused)? {
        let good = said == 0 || said == value && copies.vouched;
        if said != value || !copies.vouched {
            copies.begin(disk, value)?;
        }
        nv.mark().map_err(refused)?;
        return Ok(if good { Verdict::Good } else { Verdict::OtherTpm });
    }
    if said == 0 {
        return Ok(Verdict::Held(format!("there is no trust state that was counted, and {value} was one")));
    }
    if !copies.vouched {
        return Ok(Verdict::Held(
            "the trust state is not vouched for under this device's storage key".into(),
        ));
    }
    if said < value {
        return Ok(Verdict::Held(format!(
            "the trust state is an older copy: it is {said}, the last one {value}"
        )));
    }
    if said == value {
        return Ok(Verdict::Good);
    }
    if said - value == 1 {
        nv.increment().map_err(refused)?;
        return Ok(Verdict::Good);
    }
    copies.begin(disk, value)?;
    Ok(Verdict::OtherTpm)
}

/// The state was counted once. Without a TPM that answers nobody knows whether it is the last one; nor is it known where own storage can't
/// be read.
pub(crate) fn was_counted(disk: &impl Disk) -> bool {
    Copies::read(disk).map_or(true, |copies| copies.state.counter > 0)
}

fn refused(error: impl Display) -> io::Error {
    io::Error::other(error.to_string())
}
