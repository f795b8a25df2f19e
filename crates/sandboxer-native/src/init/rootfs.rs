//! The root of a sandbox: a small read-only tree made for it, the host's programs, and one place to write.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::error::{Kind, NativeError, Tried};
use crate::files;
use crate::idmap::INSIDE_UID;
use crate::spec::{Access, LaunchSpec};
use crate::sys::{self, MOUNT_NODEV, MOUNT_NOEXEC, MOUNT_NOSUID, MOUNT_RDONLY, Recursive};
use crate::weaken;

/// Where the workspace is, as seen inside.
pub(crate) const WORKSPACE: &str = "/workspace";
/// The home directory, as seen inside.
pub(crate) const HOME: &str = "/home/sandbox";
/// What will be writable is put together here: exists everywhere, is not needed once the new root has its own, is covered
/// in our mount namespace only, and goes with the old root.
const SCRATCH: &str = "/proc";
/// Where the new root is built: exists everywhere, is covered in our mount namespace only, and is nobody's workspace.
const BASE: &str = "/sys";

/// Trees that had to be opened with the shim's rights.
#[derive(Default)]
pub(crate) struct Sources {
    /// The caller's tree, with its owner mapped.
    pub(crate) workspace: Option<OwnedFd>,
    /// Where writable files go, when not in memory.
    pub(crate) disk: Option<OwnedFd>,
    /// The same, to be opened by the new process itself.
    pub(crate) disk_path: Option<PathBuf>,
    /// MiB of memory for writable files, when they go there.
    pub(crate) tmpfs_mb: Option<u64>,
}

struct Builder<'a> {
    spec: &'a LaunchSpec,
    sources: &'a Sources,
    rootful: bool,
}

/// Builds what is the same for every sandbox.
pub(crate) fn prepare() -> Result<(), NativeError> {
    mount(c"none", Path::new("/"), c"", libc::MS_REC | libc::MS_PRIVATE, "").tried("make mounts private")?;
    mount(
        c"tmpfs",
        Path::new(BASE),
        c"tmpfs",
        NOSUID_NODEV,
        "size=4m,nr_inodes=2k,mode=755",
    )
    .tried("mount the new root")?;
    system()?;
    etc()?;
    dev()?;
    proc()
}

/// Adds what is this sandbox's own, and moves into the root.
pub(crate) fn finish(spec: &LaunchSpec, sources: &Sources, rootful: bool) -> Result<(), NativeError> {
    let builder = Builder { spec, sources, rootful };
    let workspace = builder.open_workspace()?;
    let disk = builder.open_disk()?;
    builder.writable(workspace, disk)?;
    if !weaken::is_off("readonly_root") {
        let root = sys::cpath(Path::new(BASE)).and_then(|path| remount_read_only(&path));
        root.tried("make the new root read-only")?;
    }
    rustix::process::chdir(BASE).tried("enter the new root")?;
    #[cfg(feature = "weaken")]
    if weaken::is_off("pivot_root") {
        return sys::chroot_here().tried("switch to the new root");
    }
    sys::pivot_root_here().tried("switch to the new root")?;
    rustix::process::chdir("/").tried("enter the new root")
}

const NOSUID_NODEV: u64 = libc::MS_NOSUID | libc::MS_NODEV;

fn at(path: &str) -> PathBuf {
    Path::new(BASE).join(path.trim_start_matches('/'))
}

fn mount(source: &std::ffi::CStr, target: &Path, kind: &std::ffi::CStr, flags: u64, data: &str) -> io::Result<()> {
    sys::mount(source, &sys::cpath(target)?, kind, flags, &sys::cstring(data)?)
}

fn remount_read_only(path: &CString) -> io::Result<()> {
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
    sys::mount(c"none", path, c"", flags, c"")
}

fn make_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Shows `source` at `target` with these attributes.
fn bind(source: &Path, target: &Path, attributes: u64, recursive: Recursive) -> io::Result<()> {
    let tree = sys::clone_tree(&sys::cpath(source)?, recursive)?;
    sys::mount_set(tree.as_fd(), attributes)?;
    sys::attach(tree.as_fd(), &sys::cpath(target)?)
}

/// The host's programs and libraries, read-only.
fn system() -> Result<(), NativeError> {
    make_dir(&at("usr")).tried("make /usr")?;
    let read_only = if weaken::is_off("readonly_usr") {
        0
    } else {
        MOUNT_RDONLY | MOUNT_NOSUID | MOUNT_NODEV
    };
    bind(Path::new("/usr"), &at("usr"), read_only, Recursive::Yes).tried("show /usr")?;
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let host = Path::new("/").join(name);
        let target = at(name);
        if let Ok(link) = std::fs::read_link(&host) {
            symlink(link, target).tried("link a system directory")?;
        } else if host.is_dir() {
            make_dir(&target).tried("make a system directory")?;
            bind(&host, &target, read_only, Recursive::Yes).tried(&format!("show {}", host.display()))?;
        }
    }
    // Where some distributions keep their programs.
    let nix = Path::new("/nix");
    if nix.is_dir() {
        make_dir(&at("nix")).tried("make a system directory")?;
        bind(nix, &at("nix"), read_only, Recursive::Yes).tried("show /nix")?;
    }
    for name in ["run", "var", "home", "opt", "srv", "mnt"] {
        make_dir(&at(name)).tried("make a directory")?;
    }
    symlink("/tmp", at("var/tmp")).tried("link /var/tmp")?;
    symlink("/run", at("var/run")).tried("link /var/run")
}

/// A made-up /etc, with the few files of the host that programs need to start.
fn etc() -> Result<(), NativeError> {
    make_dir(&at("etc")).tried("make /etc")?;
    let own = [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/usr/sbin/nologin\nsandbox:x:{INSIDE_UID}:{INSIDE_UID}:sandbox:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
            ),
        ),
        (
            "group",
            format!("root:x:0:\nsandbox:x:{INSIDE_UID}:\nnogroup:x:65534:\n"),
        ),
        (
            "hosts",
            "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n".to_owned(),
        ),
        ("hostname", "sandbox\n".to_owned()),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n".to_owned(),
        ),
        ("resolv.conf", "# this sandbox has no network\n".to_owned()),
    ];
    for (name, text) in own {
        files::write_new(at("etc").join(name), text.as_bytes(), 0o644).tried(&format!("write /etc/{name}"))?;
    }
    for name in [
        "ld.so.cache",
        "alternatives",
        "ssl/certs",
        "ssl/openssl.cnf",
        "localtime",
        "pki/tls/certs",
    ] {
        let host = Path::new("/etc").join(name);
        // `localtime` is a link into /usr, which is shown whole.
        let Ok(kind) = std::fs::symlink_metadata(&host) else {
            continue;
        };
        let target = at("etc").join(name);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).tried("make a directory in /etc")?;
        }
        if kind.is_symlink() {
            if let Ok(link) = std::fs::read_link(&host) {
                symlink(link, target).tried("link a file in /etc")?;
            }
            continue;
        }
        if kind.is_dir() {
            make_dir(&target)
        } else {
            files::write_new(&target, b"", 0o644)
        }
        .tried("make a file in /etc")?;
        bind(&host, &target, MOUNT_RDONLY | MOUNT_NOSUID | MOUNT_NODEV, Recursive::No)
            .tried(&format!("show {}", host.display()))?;
    }
    Ok(())
}

fn dev() -> Result<(), NativeError> {
    make_dir(&at("dev")).tried("make /dev")?;
    let devices = [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ];
    let more = weaken::is_off("devices").then_some(("kmsg", 1, 11));
    for (name, major, minor) in devices.into_iter().chain(more) {
        let tree = sys::cpath(&Path::new("/dev").join(name)).and_then(|path| sys::clone_tree(&path, Recursive::No));
        let tree = tree.tried(&format!("open /dev/{name}"))?;
        // The thing itself is checked, through the descriptor that gets mounted, so a link or a swapped node is
        // refused (CVE-2025-31133).
        let stat = rustix::fs::fstat(&tree).tried("check a device")?;
        let expected = rustix::fs::makedev(major, minor);
        if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != expected {
            return Err(NativeError::new(
                Kind::Failed,
                format!("/dev/{name} of this machine is not the device it should be"),
            ));
        }
        let target = at("dev").join(name);
        files::write_new(&target, b"", 0o666).tried("make a device")?;
        sys::mount_set(tree.as_fd(), MOUNT_NOSUID | MOUNT_NOEXEC).tried("show a device")?;
        sys::cpath(&target)
            .and_then(|path| sys::attach(tree.as_fd(), &path))
            .tried("show a device")?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, at("dev").join(link)).tried("link a device")?;
    }
    make_dir(&at("dev/pts")).tried("make /dev/pts")?;
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    mount(
        c"devpts",
        &at("dev/pts"),
        c"devpts",
        flags,
        "newinstance,ptmxmode=0666,mode=620",
    )
    .tried("mount /dev/pts")
}

fn proc() -> Result<(), NativeError> {
    make_dir(&at("proc")).tried("make /proc")?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    if weaken::is_off("pid_namespace") {
        return bind(Path::new("/proc"), &at("proc"), 0, Recursive::Yes).tried("show the host's /proc");
    }
    mount(c"proc", &at("proc"), c"proc", flags, "").map_err(|error| {
        NativeError::new(Kind::MissingPrerequisite, format!("cannot mount /proc: {error}"))
            .hint("inside another container /proc is often partly covered, and the kernel then refuses a fresh one; run sandboxer on the host, or give the outer container an uncovered /proc")
    })?;
    if weaken::is_off("proc_masks") {
        return Ok(());
    }
    for name in ["sys", "irq", "bus", "fs"] {
        let path = at("proc").join(name);
        if path.is_dir() {
            bind(
                &path,
                &path,
                MOUNT_RDONLY | MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC,
                Recursive::No,
            )
            .tried(&format!("make /proc/{name} read-only"))?;
        }
    }
    // Covered by our own /dev/null, which was checked above.
    for name in [
        "kcore",
        "keys",
        "kmsg",
        "timer_list",
        "sysrq-trigger",
        "kallsyms",
        "sched_debug",
        "latency_stats",
    ] {
        let path = at("proc").join(name);
        if path.exists() {
            bind(
                &at("dev/null"),
                &path,
                MOUNT_RDONLY | MOUNT_NOSUID | MOUNT_NOEXEC,
                Recursive::No,
            )
            .tried(&format!("hide /proc/{name}"))?;
        }
    }
    Ok(())
}

impl Builder<'_> {
    fn open_workspace(&self) -> Result<Option<OwnedFd>, NativeError> {
        let Some(source) = self.spec.workspace.source.as_deref() else {
            return Ok(None);
        };
        if self.rootful || self.spec.workspace.access == Access::None {
            return Ok(None);
        }
        let path = sys::cpath(source).tried("read the workspace path")?;
        sys::clone_tree(&path, Recursive::No).map(Some).map_err(|error| {
            NativeError::new(
                Kind::Invalid,
                format!("cannot open the workspace {}: {error}", source.display()),
            )
            .hint("the directory must be readable by you and must not contain mount points")
        })
    }

    fn open_disk(&self) -> Result<Option<OwnedFd>, NativeError> {
        let open = |path: &PathBuf| sys::cpath(path).and_then(|path| sys::clone_tree(&path, Recursive::No));
        self.sources
            .disk_path
            .as_ref()
            .map(open)
            .transpose()
            .tried("open the writable directory")
    }

    /// Everything that can be written: one file system with one size, seen at several places.
    fn writable(&self, workspace: Option<OwnedFd>, disk: Option<OwnedFd>) -> Result<(), NativeError> {
        let scratch = PathBuf::from(SCRATCH);
        match (disk.as_ref().or(self.sources.disk.as_ref()), self.sources.tmpfs_mb) {
            (Some(disk), _) => {
                sys::mount_set(disk.as_fd(), MOUNT_NOSUID | MOUNT_NODEV).tried("show the writable directory")?;
                sys::cpath(&scratch)
                    .and_then(|path| sys::attach(disk.as_fd(), &path))
                    .tried("show the writable directory")?;
            }
            (None, size) => {
                // One inode for each 8 KiB keeps a flood of empty files from eating kernel memory.
                let options = size.map_or_else(
                    || "mode=755".to_owned(),
                    |mb| format!("size={mb}m,nr_inodes={},mode=755", (mb * 128).clamp(1024, 4 << 20)),
                );
                mount(c"tmpfs", &scratch, c"tmpfs", NOSUID_NODEV, &options).tried("mount the writable directory")?;
            }
        }
        for (name, mode) in [
            ("lower", 0o700),
            ("upper", 0o755),
            ("work", 0o755),
            ("tmp", 0o1777),
            ("home", 0o700),
            ("shm", 0o1777),
        ] {
            let path = scratch.join(name);
            make_dir(&path).tried("make a writable directory")?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
                .tried("open a writable directory")?;
            if self.rootful {
                chown(&path, Some(INSIDE_UID), Some(INSIDE_UID)).tried("hand over a writable directory")?;
            }
        }
        self.workspace(workspace.as_ref().or(self.sources.workspace.as_ref()), &scratch)?;
        for (name, target) in [("tmp", "tmp"), ("home", HOME), ("shm", "dev/shm")] {
            make_dir(&at(target)).tried("make a writable directory")?;
            let no_programs = if name == "shm" { MOUNT_NOEXEC } else { 0 };
            if weaken::is_off("private_tmp") && name != "home" {
                let host = Path::new("/").join(target);
                bind(&host, &at(target), 0, Recursive::No).tried("show the host's directory")?;
                continue;
            }
            bind(
                &scratch.join(name),
                &at(target),
                MOUNT_NOSUID | MOUNT_NODEV | no_programs,
                Recursive::No,
            )
            .tried("show a writable directory")?;
        }
        Ok(())
    }

    fn workspace(&self, source: Option<&OwnedFd>, scratch: &Path) -> Result<(), NativeError> {
        let lower = scratch.join("lower");
        let target = at(WORKSPACE);
        let read_only = MOUNT_RDONLY | MOUNT_NOSUID | MOUNT_NODEV;
        match (self.spec.workspace.access, source) {
            (Access::None, _) => return Ok(()),
            _ => make_dir(&target).tried("make the workspace")?,
        }
        match (self.spec.workspace.access, source) {
            (_, Some(tree)) if weaken::is_off("overlay") => sys::cpath(&target)
                .and_then(|path| sys::attach(tree.as_fd(), &path))
                .tried("show the workspace"),
            (access, Some(tree)) => {
                sys::mount_set(tree.as_fd(), read_only).tried("open the workspace")?;
                sys::cpath(&lower)
                    .and_then(|path| sys::attach(tree.as_fd(), &path))
                    .tried("open the workspace")?;
                let upper = scratch.join("upper");
                let (flags, layers) = if access == Access::Ro {
                    // An overlay also where nothing is written: shown as it is, a socket or named pipe in the tree
                    // would lead to whatever process of the host has its other end.
                    let layers = format!("lowerdir={}:{}", lower.display(), upper.display());
                    (NOSUID_NODEV | libc::MS_RDONLY, layers)
                } else {
                    // `volatile`: nothing of this survives the machine, so nothing needs to be synced when it ends.
                    let (lower, work) = (lower.display(), scratch.join("work"));
                    let layers = format!(
                        "lowerdir={lower},upperdir={},workdir={},volatile",
                        upper.display(),
                        work.display()
                    );
                    (NOSUID_NODEV, layers)
                };
                mount(c"overlay", &target, c"overlay", flags, &format!("{layers},userxattr")).map_err(|error| {
                    NativeError::new(
                        Kind::CannotEnforce,
                        format!("cannot lay a layer over the workspace: {error}"),
                    )
                    .hint("overlayfs does not work on this file system; use a repo on ext4, xfs, btrfs or tmpfs")
                })
            }
            (access, None) => {
                let attributes = if access == Access::Ro {
                    read_only
                } else {
                    MOUNT_NOSUID | MOUNT_NODEV
                };
                bind(&scratch.join("upper"), &target, attributes, Recursive::No).tried("show the workspace")
            }
        }
    }
}
