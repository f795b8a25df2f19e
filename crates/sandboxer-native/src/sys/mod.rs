//! The few system calls that no safe library wraps the way we need them. All of the crate's `unsafe` is here.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

mod descriptor;
mod mount;
mod namespace;
mod process;
mod rights;
mod signal;

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) use descriptor::*;
pub(crate) use mount::*;
pub(crate) use namespace::*;
pub(crate) use process::*;
pub(crate) use rights::*;
pub(crate) use signal::*;

/// Makes a C string of a path or text.
pub(crate) fn cstring(text: impl AsRef<[u8]>) -> io::Result<CString> {
    CString::new(text.as_ref()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Makes a C string of a path.
pub(crate) fn cpath(path: &Path) -> io::Result<CString> {
    cstring(path.as_os_str().as_bytes())
}

fn check(ret: i64) -> io::Result<i64> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}
