//! The line between keeper and server: a pair of unix sockets that keep messages apart.
//!
//! ```text
//! keeper -> server, once   offer length (4) | offer | key (PKCS#8)
//! server -> keeper, once   0: it listens; 1, text: it can't, and why
//! server -> keeper         question (1) | since (8)
//! keeper -> server         0 and the reading end of a pipe: what the command prints; 1: not now
//! ```
//! Integers are little-endian. One question at a time.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

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
