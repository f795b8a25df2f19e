//! What callers ask of pid 1, and what it answers.
//!
//! A request to start a command may be larger than a packet: it then travels as a sealed memory file beside it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::wire::{self, MAX_PACKET, Packet};

/// Largest request: more than Linux lets arguments and environment be (2 MiB by default).
const MAX_REQUEST: usize = 4 << 20;

/// A command to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExecSpec {
    pub(crate) sandbox: String,
    pub(crate) argv: Vec<Bytes>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<String>,
    pub(crate) stdio: Stdio,
    /// Pid 1 ends when it ends.
    pub(crate) last: bool,
    /// Where a detached command's output goes, as seen inside.
    pub(crate) log: String,
}

/// Bytes that are nearly always text; JSON carries them as text then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Bytes {
    Text(String),
    Raw(Vec<u8>),
}

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Bytes {
        String::from_utf8(bytes).map_or_else(|error| Bytes::Raw(error.into_bytes()), Bytes::Text)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Bytes::Text(text) => text.as_bytes(),
            Bytes::Raw(raw) => raw,
        }
    }
}

/// Where input and output go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stdio {
    /// The three descriptors beside the request.
    Pipes,
    /// A terminal made inside.
    Terminal { rows: u16, columns: u16 },
    /// A file inside.
    Detached,
}

/// What callers ask.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    Exec(Box<ExecSpec>),
    /// The command of this connection gets a signal.
    Signal(u8),
    /// The deadline moves: seconds from now.
    Deadline {
        in_secs: u64,
    },
    /// Whether it is there, and when it ends.
    Ping,
    /// The request is in the memory file that comes first among the descriptors.
    Large {
        bytes: usize,
    },
}

/// What pid 1 answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ExecReply {
    Started {
        pid: i32,
    },
    /// No process could be made for it.
    CannotStart {
        errno: i32,
    },
    Exited {
        code: u8,
    },
    Signaled {
        signal: u8,
    },
    /// The deadline, in milliseconds since 1970.
    Alive {
        deadline_ms: i64,
    },
    /// The request makes no sense.
    Refused {
        why: String,
    },
}

/// Sends a request and copies of these descriptors.
pub(crate) fn send(socket: BorrowedFd<'_>, request: &ToInit, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let bytes = serde_json::to_vec(request).map_err(|_| Errno::INVAL)?;
    if bytes.len() <= MAX_PACKET / 2 {
        return wire::send(socket, &bytes, fds);
    }
    if bytes.len() > MAX_REQUEST {
        return Err(Errno::TOOBIG);
    }
    let memory = rustix::fs::memfd_create("request", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let written = rustix::io::write(&memory, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::fcntl_add_seals(
        &memory,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    let head = serde_json::to_vec(&ToInit::Large { bytes: bytes.len() }).map_err(|_| Errno::INVAL)?;
    let all: Vec<BorrowedFd<'_>> = std::iter::once(memory.as_fd()).chain(fds.iter().copied()).collect();
    wire::send(socket, &head, &all)
}

/// Reads a request; `None` when it makes no sense.
pub(crate) fn parse(packet: Packet) -> Option<(ToInit, Vec<OwnedFd>)> {
    let mut fds = packet.fds;
    match serde_json::from_slice(&packet.bytes).ok()? {
        ToInit::Large { bytes } if bytes <= MAX_REQUEST && !fds.is_empty() => {
            let memory = fds.remove(0);
            let mut text = vec![0; bytes];
            let mut offset = 0;
            while offset < bytes {
                match rustix::io::pread(&memory, &mut text[offset..], offset as u64) {
                    Ok(0) | Err(_) => return None,
                    Ok(got) => offset += got,
                }
            }
            match serde_json::from_slice(&text).ok()? {
                ToInit::Large { .. } => None,
                request => Some((request, fds)),
            }
        }
        ToInit::Large { .. } => None,
        request => Some((request, fds)),
    }
}
