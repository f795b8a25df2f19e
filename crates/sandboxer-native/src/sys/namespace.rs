//! What belongs to a namespace as a whole.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// `sethostname`.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length belong together.
    check(i64::from(unsafe {
        libc::sethostname(name.as_ptr().cast(), name.len())
    }))?;
    Ok(())
}

/// Leaves the current namespaces of these kinds.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(i64::from(unsafe { libc::unshare(flags) }))?;
    Ok(())
}

/// Brings a network interface up.
pub(crate) fn interface_up(socket: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is valid; the name is shorter than its field; the kernel reads the struct.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (slot, byte) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
            *slot = byte.cast_signed();
        }
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
        check(i64::from(libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )))?;
    }
    Ok(())
}
