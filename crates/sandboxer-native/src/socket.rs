//! Sockets with a path. The kernel allows 108 bytes for it, so it is always given relative to an open directory.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Listens on `<dir>/<name>`.
pub(crate) fn listen(dir: &Path, name: &str) -> Result<OwnedFd, Errno> {
    with_short_path(dir, name, |address| {
        let socket = new_socket()?;
        rustix::net::bind(&socket, address)?;
        rustix::net::listen(&socket, 64)?;
        Ok(socket)
    })
}

/// Connects to `<dir>/<name>`.
pub(crate) fn connect(dir: &Path, name: &str) -> Result<OwnedFd, Errno> {
    with_short_path(dir, name, |address| {
        let socket = new_socket()?;
        rustix::net::connect(&socket, address)?;
        Ok(socket)
    })
}

/// The same, but fails instead of waiting when nobody takes callers in.
pub(crate) fn connect_now(dir: &Path, name: &str) -> Result<OwnedFd, Errno> {
    with_short_path(dir, name, |address| {
        let socket = new_socket()?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        rustix::net::connect(&socket, address)?;
        rustix::io::ioctl_fionbio(&socket, false)?;
        Ok(socket)
    })
}

fn new_socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

fn with_short_path<T>(
    dir: &Path,
    name: &str,
    call: impl FnOnce(&SocketAddrUnix) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))?;
    call(&address)
}
