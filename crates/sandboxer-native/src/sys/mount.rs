//! Mounts, by descriptor wherever the kernel allows it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Read-only.
pub(crate) const MOUNT_RDONLY: u64 = 0x1;

/// No set-user-id.
pub(crate) const MOUNT_NOSUID: u64 = 0x2;

/// No devices.
pub(crate) const MOUNT_NODEV: u64 = 0x4;

/// No programs.
pub(crate) const MOUNT_NOEXEC: u64 = 0x8;

const MOUNT_IDMAP: u64 = 0x0010_0000;

fn mount_setattr(fd: BorrowedFd<'_>, path: &CStr, flags: i32, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the struct is a valid mount_attr of the size given and outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Sets attributes of the mount behind `fd`, and of those below it.
pub(crate) fn mount_set(fd: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: attributes,
        ..MountAttr::default()
    };
    mount_setattr(fd, c"", libc::AT_EMPTY_PATH | libc::AT_RECURSIVE, &attr)
}

/// Maps the owners of a detached mount through a user namespace.
pub(crate) fn mount_idmap(fd: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: MOUNT_IDMAP,
        userns_fd: user_namespace.as_raw_fd() as u64,
        ..MountAttr::default()
    };
    mount_setattr(fd, c"", libc::AT_EMPTY_PATH, &attr)
}

/// `open_tree` that copies a mount: detached, not visible anywhere yet.
pub(crate) fn clone_tree(path: &CStr, recursive: Recursive) -> io::Result<OwnedFd> {
    let mut flags = 1 | libc::O_CLOEXEC as u32 | libc::AT_NO_AUTOMOUNT as u32;
    if recursive == Recursive::Yes {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: the path is a valid C string.
    let fd = check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

/// Whether mounts below are copied too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursive {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// Attaches a detached mount at a path.
pub(crate) fn attach(fd: BorrowedFd<'_>, target: &CStr) -> io::Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
    // SAFETY: both paths are valid C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })?;
    Ok(())
}

/// `mount(2)`.
pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64, data: &CStr) -> io::Result<()> {
    // SAFETY: all pointers are valid C strings.
    check(i64::from(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    }))?;
    Ok(())
}

/// `umount2` with `MNT_DETACH`.
pub(crate) fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: the path is a valid C string.
    check(i64::from(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }))?;
    Ok(())
}

/// Makes the current directory the root and forgets the old one.
pub(crate) fn pivot_root_here() -> io::Result<()> {
    // SAFETY: both paths are valid C strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    unmount(c".")
}

/// Makes the current directory the root, with the old one still in reach of those who may change theirs.
#[cfg(feature = "weaken")]
pub(crate) fn chroot_here() -> io::Result<()> {
    // SAFETY: the path is a valid C string.
    check(i64::from(unsafe { libc::chroot(c".".as_ptr()) }))?;
    Ok(())
}
