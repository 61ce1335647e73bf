//! A checkpoint: where a ring stood at the end of an epoch.

use aegis_cose::{CoseError, Domain, KeyPair, PublicKey, Sign1, sign1};
use aegis_ring::{Books, Closed, Leaves};
use minicbor::Decoder;

use crate::cbor::{Canonical, Unread, Writer, Written, array, exactly, key, optional, put_optional};
use crate::error::RecordError;
use crate::{Hash, Id, limits};

/// `type` of a checkpoint (key 0).
pub const CHECKPOINT: &str = "checkpoint";
const FORMAT: u64 = 1;

/// The segment that was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its number.
    pub segment: u64,
    /// The first sequence in it.
    pub first: u64,
    /// Its events so far.
    pub leaves: Leaves,
}

/// What the key of an epoch says of the ring at its end (`docs/formats/export.cddl`, `checkpoint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Device id.
    pub device: Id,
    /// Ring id.
    pub ring: Id,
    /// The boot that sealed.
    pub boot: Id,
    /// The epoch that ends here.
    pub epoch: u64,
    /// Its public key.
    pub key: [u8; 32],
    /// The public key of the next epoch.
    pub next_key: [u8; 32],
    /// SHA-256 of the record before: of the checkpoint of the epoch before, or of the certificate.
    pub previous: Hash,
    /// Sequence of the last event; 0 when there was none.
    pub sequence: u64,
    /// Head of the chain after it.
    pub head: Hash,
    /// The segment that was being written.
    pub open: Open,
    /// The segments closed since the record before.
    pub closed: Closed,
    /// First sequence that could be read.
    pub retained: u64,
    /// What left the ring in time and what did not.
    pub books: Books,
    /// `CLOCK_BOOTTIME`, ns.
    pub boottime: u64,
    /// The longest that an epoch is to last while the agent runs, seconds; 0: no promise.
    pub period: u32,
}

impl Checkpoint {
    /// Signs it with the epoch's key; returns the length of the record at the front of `out`.
    pub(crate) fn sign(&self, key: &KeyPair, out: &mut [u8]) -> Result<usize, CoseError> {
        let mut payload = [0; limits::PAYLOAD_BYTES];
        let length = self.encode_to(&mut payload).ok_or(CoseError::NoRoom)?;
        sign1(&payload[..length], Domain::Seal, &key.sk, out)
    }

    /// Reads a record and verifies it **by the key that it names itself**: it is whole. Whether that key is the right one is
    /// for [`Chain::follow`](crate::Chain::follow) to say.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open(record: &[u8]) -> Result<Self, RecordError> {
        let checkpoint = Self::peek(record)?;
        let key: PublicKey = aegis_cose::public_key(&checkpoint.key).map_err(RecordError::Signature)?;
        aegis_cose::open_sign1(record, Domain::Seal, &key).map_err(RecordError::Signature)?;
        Ok(checkpoint)
    }

    /// Reads a record **without checking its signature**.
    ///
    /// # Errors
    /// [`RecordError::NotARecord`], [`RecordError::Payload`].
    pub fn peek(record: &[u8]) -> Result<Self, RecordError> {
        let (message, rest) = Sign1::take(record).map_err(|_| RecordError::NotARecord)?;
        if !rest.is_empty() {
            return Err(RecordError::NotARecord);
        }
        let checkpoint = Self::decode_from(message.unverified_payload(), &mut [0; limits::PAYLOAD_BYTES])
            .ok_or(RecordError::Payload)?;
        if checkpoint.consistent() { Ok(checkpoint) } else { Err(RecordError::Payload) }
    }

    /// What it says goes together.
    fn consistent(&self) -> bool {
        let books = &self.books;
        let (first, last) = books.overwritten_range;
        let range = if books.overwritten == 0 {
            (first, last) == (0, 0)
        } else {
            first >= 1 && first <= last && last - first < books.overwritten && last <= self.sequence
        };
        range
            && self.epoch < u64::MAX
            && self.sequence < u64::MAX
            && (1..=self.sequence + 1).contains(&self.retained)
            && (1..=self.sequence + 1).contains(&self.open.first)
            && self.open.leaves.events == self.sequence + 1 - self.open.first
            && self.closed.first.checked_add(self.closed.count) == Some(self.open.segment)
            && books.exported <= self.sequence
            && books.overwritten <= self.sequence
            && books.cut_at <= self.sequence
    }
}

impl Canonical<'_> for Checkpoint {
    fn write(&self, out: &mut Writer<'_>) -> Written {
        out.map(20)?.u8(0)?.str(CHECKPOINT)?.u8(1)?.u64(FORMAT)?;
        out.u8(2)?.bytes(&self.device)?.u8(3)?.bytes(&self.ring)?.u8(4)?.bytes(&self.boot)?;
        out.u8(5)?.u64(self.epoch)?.u8(6)?.bytes(&self.key)?.u8(7)?.bytes(&self.next_key)?;
        out.u8(8)?.bytes(&self.previous)?.u8(9)?.u64(self.sequence)?.u8(10)?.bytes(&self.head)?;
        let Open { segment, first, leaves } = &self.open;
        out.u8(11)?.array(4)?.u64(*segment)?.u64(*first)?.u64(leaves.events)?.bytes(&leaves.root)?;
        out.u8(12)?.array(3)?.u64(self.closed.first)?.u64(self.closed.count)?;
        put_optional(out, self.closed.root.as_ref())?;
        let Books { exported, overwritten, overwritten_range: (first, last), cuts, cut_at, damaged } =
            self.books;
        out.u8(13)?.u64(self.retained)?.u8(14)?.u64(exported)?;
        out.u8(15)?.array(3)?.u64(overwritten)?.u64(first)?.u64(last)?;
        out.u8(16)?.array(2)?.u64(cuts)?.u64(cut_at)?.u8(17)?.u64(damaged)?;
        out.u8(18)?.u64(self.boottime)?.u8(19)?.u32(self.period)?;
        Ok(())
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Unread> {
        fn uint(input: &mut Decoder<'_>, number: u8) -> Result<u64, Unread> {
            key(input, number)?;
            input.u64()
        }
        fn bytes<const N: usize>(input: &mut Decoder<'_>, number: u8) -> Result<[u8; N], Unread> {
            key(input, number)?;
            array(input)
        }
        fn list(input: &mut Decoder<'_>, number: u8, length: u64) -> Result<(), Unread> {
            key(input, number)?;
            exactly(input.array()?, length)
        }
        exactly(input.map()?, 20)?;
        key(input, 0)?;
        // Type and format are held by writing it again.
        input.str()?;
        uint(input, 1)?;
        let (device, ring, boot) = (bytes(input, 2)?, bytes(input, 3)?, bytes(input, 4)?);
        let epoch = uint(input, 5)?;
        let (key, next_key, previous) = (bytes(input, 6)?, bytes(input, 7)?, bytes(input, 8)?);
        let (sequence, head) = (uint(input, 9)?, bytes(input, 10)?);
        list(input, 11, 4)?;
        let (segment, first) = (input.u64()?, input.u64()?);
        let leaves = Leaves { events: input.u64()?, root: array(input)? };
        list(input, 12, 3)?;
        let closed = Closed { first: input.u64()?, count: input.u64()?, root: optional(input)? };
        let (retained, exported) = (uint(input, 13)?, uint(input, 14)?);
        list(input, 15, 3)?;
        let (overwritten, overwritten_range) = (input.u64()?, (input.u64()?, input.u64()?));
        list(input, 16, 2)?;
        let (cuts, cut_at) = (input.u64()?, input.u64()?);
        let damaged = uint(input, 17)?;
        let boottime = uint(input, 18)?;
        let period = u32::try_from(uint(input, 19)?).map_err(|_| Unread::message("too long"))?;
        Ok(Self {
            device,
            ring,
            boot,
            epoch,
            key,
            next_key,
            previous,
            sequence,
            head,
            open: Open { segment, first, leaves },
            closed,
            retained,
            books: Books { exported, overwritten, overwritten_range, cuts, cut_at, damaged },
            boottime,
            period,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number as long as can be, less what makes it inconsistent.
    fn largest() -> Checkpoint {
        const MOST: u64 = u64::MAX - 1;
        Checkpoint {
            device: [1; 16],
            ring: [2; 16],
            boot: [3; 16],
            epoch: MOST,
            key: [4; 32],
            next_key: [5; 32],
            previous: [6; 32],
            sequence: MOST,
            head: [7; 32],
            open: Open {
                segment: u64::MAX,
                first: MOST / 2,
                leaves: Leaves { events: MOST - MOST / 2 + 1, root: [8; 32] },
            },
            closed: Closed { first: u64::MAX / 2, count: u64::MAX - u64::MAX / 2, root: Some([9; 32]) },
            retained: u64::MAX,
            books: Books {
                exported: MOST,
                overwritten: MOST,
                overwritten_range: (MOST - 9, MOST),
                cuts: u64::MAX,
                cut_at: MOST,
                damaged: u64::MAX,
            },
            boottime: u64::MAX,
            period: u32::MAX,
        }
    }

    #[test]
    fn the_longest_checkpoint_fits() {
        let key = KeyPair::from_seed(aegis_cose::Seed::new([1; 32]));
        let mut out = [0; limits::RECORD_BYTES];
        let checkpoint = Checkpoint { key: *key.pk, ..largest() };
        let length = checkpoint.sign(&key, &mut out).expect("fits");
        assert_eq!(Checkpoint::open(&out[..length]), Ok(checkpoint));
    }

    #[test]
    fn a_checkpoint_adds_up_or_is_not_read() {
        type Change = fn(&mut Checkpoint);
        let cases: &[(&str, Change, bool)] = &[
            ("as it is", |_| (), true),
            ("an event too many in the open segment", |c| c.open.leaves.events += 1, false),
            ("an event too few in the open segment", |c| c.open.leaves.events -= 1, false),
            ("the open segment begins at nothing", |c| c.open.first = 0, false),
            ("the closed segments do not reach the open one", |c| c.closed.count -= 1, false),
            ("the closed segments overflow", |c| c.closed.first = u64::MAX, false),
            ("a root that is not known", |c| c.closed.root = None, true),
            ("nothing can be read yet", |c| c.retained = c.sequence + 1, true),
            ("nothing was ever retained", |c| c.retained = 0, false),
            ("exported what never was", |c| c.books.exported = c.sequence + 1, false),
            ("overwritten what never was", |c| c.books.overwritten = c.sequence + 1, false),
            ("a range and no count", |c| c.books.overwritten = 0, false),
            ("no range, no count", |c| (c.books.overwritten, c.books.overwritten_range) = (0, (0, 0)), true),
            ("a range larger than the count", |c| c.books.overwritten = 9, false),
            ("a range turned round", |c| c.books.overwritten_range = (5, 4), false),
            ("a cut behind the end", |c| c.books.cut_at = c.sequence + 1, false),
            ("the last number there is", |c| c.epoch = u64::MAX, false),
        ];
        for (name, change, good) in cases {
            let mut checkpoint = largest();
            change(&mut checkpoint);
            assert_eq!(checkpoint.consistent(), *good, "{name}");
        }
    }
}
