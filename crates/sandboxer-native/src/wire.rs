//! Messages over unix SEQPACKET sockets: one packet is one message, with file descriptors beside it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest message that travels inside a packet. (The kernel's default send buffer is 208 KiB.)
pub(crate) const MAX_PACKET: usize = 128 * 1024;
/// Most descriptors beside one message.
const MAX_FDS: usize = 8;

/// A connected pair.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends one message and copies of these descriptors.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other.map(|_| ()),
        }
    }
}

/// A received message.
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Receives one message; `None` when the other side is gone.
pub(crate) fn recv(socket: BorrowedFd<'_>) -> Result<Option<Packet>, Errno> {
    let length = next_length(socket)?.min(MAX_PACKET);
    if length == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            // A reset that came since the look: the message is there all the same.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(Errno::PIPE) => return Ok(None),
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(got.bytes);
    Ok(Some(Packet { bytes, fds }))
}

/// The length of the message that comes next.
fn next_length(socket: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut nothing = [0u8; 0];
    let mut reset = false;
    loop {
        match rustix::net::recv(socket, &mut nothing[..], RecvFlags::PEEK | RecvFlags::TRUNC) {
            Err(Errno::INTR) => {}
            // The other side left with a message of ours unread. That is told once, before what it said last.
            Err(Errno::CONNRESET) if !reset => reset = true,
            Err(Errno::CONNRESET | Errno::PIPE) => return Ok(0),
            other => return other.map(|(_, length)| length),
        }
    }
}

/// Sends a value as JSON.
pub(crate) fn send_json<T: Serialize>(socket: BorrowedFd<'_>, value: &T) -> Result<(), Errno> {
    let bytes = serde_json::to_vec(value).map_err(|_| Errno::INVAL)?;
    send(socket, &bytes, &[])
}

/// Receives a value as JSON; `None` when the other side is gone or talks nonsense.
pub(crate) fn recv_json<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> Result<Option<T>, Errno> {
    Ok(recv(socket)?.and_then(|packet| serde_json::from_slice(&packet.bytes).ok()))
}

/// Waits until `socket` can be read, at most `timeout`; whether it can.
pub(crate) fn wait_readable(socket: BorrowedFd<'_>, timeout: std::time::Duration) -> Result<bool, Errno> {
    use rustix::event::{PollFd, PollFlags, poll};
    let deadline = crate::identity::monotonic() + timeout;
    loop {
        let left = deadline.saturating_sub(crate::identity::monotonic());
        let spec = rustix::event::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&spec)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}
