//! Kernel uevents (`lib/kobject_uevent.c`), as a bell: they say that block devices came or went. Which ones, and what they
//! are, is read from sysfs: a message that was missed, or made up, does no harm.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};

/// Multicast group of the kernel's own messages; udev's are another.
const KERNEL_GROUP: u32 = 1;
/// Port id of the kernel. A process that sends to the group has its own.
const KERNEL_PORT: u32 = 0;
/// Longer than any message: `UEVENT_BUFFER_SIZE`, and the path before it.
const MESSAGE_BYTES: usize = 8192;
/// Messages that are taken at once; there may be a flood of them.
const MOST: usize = 1024;

/// The socket.
pub(super) struct Uevents(OwnedFd);

impl Uevents {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// Takes what has come; true when it is worth a look at the block devices.
    pub(super) fn drain(&self) -> io::Result<bool> {
        let mut worth = false;
        let mut message = [0; MESSAGE_BYTES];
        for _ in 0..MOST {
            match recvfrom(&self.0, &mut message, RecvFlags::DONTWAIT) {
                Ok((length, _, sender)) => {
                    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                    let kernel = sender.is_some_and(|sender| sender.pid() == KERNEL_PORT);
                    worth |= kernel && is_of_block(&message[..length]);
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(worth),
                Err(rustix::io::Errno::INTR) => {}
                // Overrun: messages were lost.
                Err(rustix::io::Errno::NOBUFS) => worth = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `ACTION@PATH`, then `KEY=VALUE`, each ended by NUL.
fn is_of_block(message: &[u8]) -> bool {
    message.split(|byte| *byte == 0).any(|line| line == b"SUBSYSTEM=block")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_devices_ring() {
        for (message, rings) in [
            (&b"add@/devices/x/block/sda\0ACTION=add\0SUBSYSTEM=block\0SEQNUM=7\0"[..], true),
            (b"change@/x\0SUBSYSTEM=block", true),
            (b"add@/x\0SUBSYSTEM=usb\0DEVTYPE=SUBSYSTEM=block\0", false),
            (b"add@/x\0SUBSYSTEM=blocks\0", false),
            (b"", false),
            (b"\0\0\xff", false),
        ] {
            assert_eq!(is_of_block(message), rings, "{}", message.escape_ascii());
        }
    }
}
