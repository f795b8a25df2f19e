//! User ids: which host ids a sandbox's processes have, and how a caller's tree appears as their own inside.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::{Kind, NativeError, Tried};
use crate::files;
use crate::layout::Layout;
use crate::sys::{self, Cloned, Recursive};
use crate::weaken;

/// The user that commands run as, inside.
pub(crate) const INSIDE_UID: u32 = 1000;

/// First host id of our blocks, each of 65,536. Above what distributions hand out through /etc/subuid (they start at
/// 100,000 and systemd-nspawn ends at 1,879,048,191) and below 2^31.
const FIRST_ID: u32 = 0x7000_0000;
const BLOCK: u32 = 65_536;
const BLOCKS: u32 = 4096;

/// A block of host ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block(u32);

impl Block {
    /// Any block; most are free, and the lease tells.
    pub(crate) fn any() -> Block {
        let noise = crate::identity::monotonic().subsec_nanos()
            ^ rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
        if weaken::is_off("ids") {
            return Block(0);
        }
        Block(noise.wrapping_mul(0x9E37_79B9) % BLOCKS)
    }

    /// First host id of the block.
    pub(crate) fn first(self) -> u32 {
        FIRST_ID + self.0 * BLOCK
    }
}

/// A block of host ids that one sandbox has to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) path: PathBuf,
    pub(crate) block: Block,
}

/// Leases any free block.
pub(crate) fn lease(layout: &Layout, id: &str) -> Result<Lease, NativeError> {
    let start = Block::any().0;
    for wish in 0..BLOCKS {
        if let Some(lease) = lease_block(layout, id, Block((start + wish) % BLOCKS))? {
            return Ok(lease);
        }
    }
    Err(
        NativeError::new(Kind::Failed, format!("all {BLOCKS} blocks of user ids are leased"))
            .hint("destroy sandboxes that are no longer needed: sandboxer list"),
    )
}

/// Leases this block, if it is free: the link is made in one step, and names its owner.
pub(crate) fn lease_block(layout: &Layout, id: &str, block: Block) -> Result<Option<Lease>, NativeError> {
    let path = layout.uid_leases().join(block.0.to_string());
    match symlink(id, &path) {
        Ok(()) => Ok(Some(Lease { path, block })),
        Err(_) if weaken::is_off("ids") => Ok(Some(Lease { path, block })),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(NativeError::io("lease a block of user ids", error)),
    }
}

/// The leases of a sandbox, found without its record.
pub(crate) fn leases_of(layout: &Layout, id: &str) -> io::Result<Vec<PathBuf>> {
    let dir = layout.uid_leases();
    Ok(files::names(&dir)?
        .into_iter()
        .map(|name| dir.join(name))
        .filter(|path| owner(path).as_deref() == Some(id))
        .collect())
}

/// The sandbox a lease belongs to.
pub(crate) fn owner(path: &Path) -> Option<String> {
    std::fs::read_link(path)
        .ok()
        .map(|target| target.to_string_lossy().into_owned())
}

/// Ends a lease; only its owner's. Whether there was one.
pub(crate) fn release(path: &Path, id: &str) -> io::Result<bool> {
    if owner(path).as_deref() != Some(id) {
        return Ok(false);
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}

/// Writes the id maps of a new process.
pub(crate) fn write_maps(pid: i32, block: Option<Block>) -> Result<(), NativeError> {
    let write = |file: &str, text: &str| {
        files::write_control(format!("/proc/{pid}/{file}"), text).map_err(|error| {
            NativeError::new(
                Kind::MissingPrerequisite,
                format!("cannot write {file} of a new user namespace: {error}"),
            )
            .hint("run `sandboxer doctor`: it says what forbids user namespaces here and how to allow them")
        })
    };
    match block {
        Some(block) => {
            let map = format!("0 {} {BLOCK}\n", block.first());
            write("uid_map", &map)?;
            write("gid_map", &map)
        }
        None => {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            write("setgroups", "deny")?;
            let inside = if weaken::is_off("ids") { 0 } else { INSIDE_UID };
            write("uid_map", &format!("{inside} {uid} 1\n"))?;
            write("gid_map", &format!("{inside} {gid} 1\n"))
        }
    }
}

/// A detached copy of `source` in which its owner's files belong to the sandbox's user. Root only.
pub(crate) fn mapped_tree(source: &Path, lease: &Lease) -> Result<OwnedFd, NativeError> {
    let path = sys::cpath(source).tried("read the workspace path")?;
    let tree = sys::clone_tree(&path, Recursive::No).tried(&format!("open the workspace {}", source.display()))?;
    let owner = std::fs::metadata(source).tried(&format!("read the owner of {}", source.display()))?;
    let namespace = mapping_namespace((owner.uid(), owner.gid()), lease)?;
    sys::mount_idmap(tree.as_fd(), namespace.as_fd()).map_err(|error| {
        NativeError::new(
            Kind::CannotEnforce,
            format!("cannot map the owners of {} into a sandbox: {error}", source.display()),
        )
        .hint("the file system does not support id-mapped mounts; copy the tree to ext4, xfs, btrfs or tmpfs")
    })?;
    Ok(tree)
}

/// A user namespace that maps one owner to the sandbox's user.
fn mapping_namespace(owner: (u32, u32), lease: &Lease) -> Result<OwnedFd, NativeError> {
    let (ours, theirs) = crate::wire::pair().tried("make a socket pair")?;
    match sys::clone_process(libc::CLONE_NEWUSER as u64, None).tried("make a user namespace")? {
        Cloned::Child => {
            // Lives until the parent has its namespace open and goes away.
            drop(ours);
            let _ = crate::wire::recv(theirs.as_fd());
            sys::exit_now(0)
        }
        Cloned::Parent(pid, _) => {
            drop(theirs);
            let inside = lease.block.first() + INSIDE_UID;
            let result = files::write_control(format!("/proc/{pid}/uid_map"), &format!("{} {inside} 1\n", owner.0))
                .and_then(|()| {
                    files::write_control(format!("/proc/{pid}/gid_map"), &format!("{} {inside} 1\n", owner.1))
                })
                .and_then(|()| {
                    #[expect(clippy::disallowed_methods, reason = "a descriptor of a namespace")]
                    std::fs::OpenOptions::new()
                        .read(true)
                        .open(format!("/proc/{pid}/ns/user"))
                });
            drop(ours);
            let _ = sys::reap(pid, true);
            result.map(OwnedFd::from).tried("map the owner of the workspace")
        }
    }
}
