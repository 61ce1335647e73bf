//! The lines from the keeper to server and pusher: each a pair of unix sockets that keep messages apart.
//!
//! ```text
//! keeper -> both, once     offer length (4) | offer | key (PKCS#8)
//! server -> keeper, once   0: it listens; 1 | text: it can't, and why
//! server -> keeper         question (1) | since (8)
//! keeper -> server         0 | text, and the reading end of a pipe: what the command prints, and behind it the text
//!                          1: not now
//!                          2 | text, and a regular file: the same of what is in it
//! pusher -> keeper, once   0: the collector is there; else a failure
//! keeper -> pusher         length (8) | name, and a regular file: to be taken by the collector under that name
//! pusher -> keeper         0: it took it; else a failure
//! failure                  1 | reason (1) | seconds, after which the collector wants to be asked again (4) | text
//! ```
//! Integers are little-endian. One question, one file at a time.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::figures::Reason;
use crate::limits;
use crate::offer::Offer;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// What server and pusher are given, once.
pub(crate) struct Setup {
    pub(crate) offer: Offer,
    /// PKCS#8.
    pub(crate) key: Zeroizing<Vec<u8>>,
}

impl Setup {
    /// As a message.
    pub(crate) fn encode(offer: &Offer, key: &[u8]) -> Zeroizing<Vec<u8>> {
        let offer = offer.bytes();
        Zeroizing::new([&(offer.len() as u32).to_le_bytes()[..], offer, key].concat())
    }

    /// Waits for it.
    pub(crate) fn receive(line: &OwnedFd) -> io::Result<Self> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let mut bytes = Zeroizing::new(vec![0; limits::MESSAGE_BYTES]);
        let (length, _) = receive(line, &mut bytes)?;
        let (head, rest) = bytes[..length].split_first_chunk::<4>().ok_or_else(damaged)?;
        let (offer, key) = rest.split_at_checked(u32::from_le_bytes(*head) as usize).ok_or_else(damaged)?;
        let offer = Offer::decode(offer.to_vec()).ok_or_else(damaged)?;
        Ok(Self { offer, key: Zeroizing::new(key.to_vec()) })
    }
}

/// Why the collector did not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// It is not to be asked before.
    pub(crate) after: Duration,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, text: impl std::fmt::Display) -> Self {
        Self { reason, after: Duration::ZERO, text: format!("{text}") }
    }

    /// As a message.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let seconds = u32::try_from(self.after.as_secs()).unwrap_or(u32::MAX);
        [&[1, self.reason as u8], &seconds.to_le_bytes()[..], short(&self.text)].concat()
    }

    /// Of an answer of the pusher's: it is none, or this one.
    pub(crate) fn decode(message: &[u8]) -> Option<Result<(), Self>> {
        if message == [0] {
            return Some(Ok(()));
        }
        let (reason, rest) = message.strip_prefix(&[1])?.split_first()?;
        let (seconds, text) = rest.split_first_chunk::<4>()?;
        let after = Duration::from_secs(u32::from_le_bytes(*seconds).into());
        let reason = Reason::ALL.into_iter().find(|known| *known as u8 == *reason)?;
        Some(Err(Self { reason, after, text: String::from_utf8_lossy(text).into_owned() }))
    }
}

/// As much of a text as a message has room for.
pub(crate) fn short(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(limits::WHY_BYTES)]
}

/// What the keeper put in place of standard input and output.
pub(crate) fn stdio() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok((io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?))
}

/// What the server asks for: one of the agent's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Question {
    Health = 1,
    Live = 2,
    Ready = 3,
    Stats = 4,
    Metrics = 5,
    Events = 6,
    EventsCbor = 7,
}

impl Question {
    pub(crate) const ALL: [Self; 7] =
        [Self::Health, Self::Live, Self::Ready, Self::Stats, Self::Metrics, Self::Events, Self::EventsCbor];

    /// As a message.
    pub(crate) fn encode(self, since: u64) -> [u8; 9] {
        let mut message = [self as u8; 9];
        message[1..].copy_from_slice(&since.to_le_bytes());
        message
    }

    /// Of a message; `None` when it is none.
    pub(crate) fn decode(message: &[u8]) -> Option<(Self, u64)> {
        let (first, since) = message.split_first()?;
        let since = u64::from_le_bytes(since.try_into().ok()?);
        Self::ALL.into_iter().find(|question| *question as u8 == *first).map(|question| (question, since))
    }
}

/// Sends one message, and with it a descriptor.
pub(crate) fn send(line: impl AsFd, bytes: &[u8], with: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let with = with.as_slice();
    if !with.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(with));
    }
    rustix::net::sendmsg(line, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message, no longer than `bytes`, and a descriptor that came with it. Nothing: the other end is gone.
pub(crate) fn receive(line: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got =
        rustix::net::recvmsg(line, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let with = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((got.bytes, with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_as_they_were_told_and_nothing_else_is() {
        for reason in Reason::ALL {
            let failure = Failure { after: Duration::from_secs(7), ..Failure::new(reason, "wh\u{e4}t") };
            assert_eq!(Failure::decode(&failure.encode()), Some(Err(failure)));
        }
        assert_eq!(Failure::decode(&[0]), Some(Ok(())));
        let long = Failure::new(Reason::Cut, "\u{e4}".repeat(limits::WHY_BYTES));
        assert!(long.encode().len() <= 6 + limits::WHY_BYTES);
        for message in [&[][..], &[0, 0], &[1], &[1, 99, 0, 0, 0, 0], &[1, 1, 0, 0, 0], &[2, 1, 0, 0, 0, 0]] {
            assert_eq!(Failure::decode(message), None, "{message:?}");
        }
    }

    #[test]
    fn questions_are_read_as_they_were_asked_and_nothing_else_is() {
        for question in Question::ALL {
            for since in [0, 1, u64::MAX] {
                assert_eq!(Question::decode(&question.encode(since)), Some((question, since)));
            }
        }
        for message in [&[][..], &[1], &[0; 9], &[8; 9], &[1; 8], &[1; 10]] {
            assert_eq!(Question::decode(message), None, "{message:?}");
        }
    }
}
