//! Files: of the host, of the caller's tree, of the kernel.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::super::outcome::{Outcome, all, check, refused, refused_io};
use super::super::raw::{address, call};
use super::Args;

const NO_WRITE: &[i32] = &[libc::EROFS, libc::EACCES];

fn is_read_only(path: &str) -> Outcome {
    let flags = rustix::fs::statvfs(path).map(|stat| stat.f_flag);
    check(
        flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)),
        format!("{path} {flags:?}"),
    )
}

fn make(path: &str) -> Outcome {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    if made.is_ok() {
        let _ = fs::remove_file(path);
    }
    refused_io(&format!("make {path}"), made, NO_WRITE)
}

/// The host's programs.
pub(crate) fn usr(_: &Args) -> Outcome {
    let remove = refused_io(
        "remove /usr/bin/env",
        fs::metadata("/usr/bin/env").and_then(|_| OpenOptions::new().write(true).open("/usr/bin/env")),
        NO_WRITE,
    );
    all([
        is_read_only("/usr"),
        make("/usr/sandboxer-probe"),
        make("/bin/sandboxer-probe"),
        remove,
    ])
}

/// The sandbox's own root.
pub(crate) fn root(_: &Args) -> Outcome {
    all([
        is_read_only("/"),
        make("/probe"),
        make("/etc/probe"),
        make("/run/probe"),
        make("/var/probe"),
    ])
}

/// Settings of the kernel.
pub(crate) fn proc_sys(_: &Args) -> Outcome {
    let open = |path: &str| refused_io(path, OpenOptions::new().write(true).open(path), NO_WRITE);
    all([
        is_read_only("/proc/sys"),
        open("/proc/sys/kernel/core_pattern"),
        open("/proc/sys/vm/drop_caches"),
        open("/proc/sys/kernel/hostname"),
        open("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
    ])
}

/// Doors into the kernel that `/proc` has: each is covered by `/dev/null`, or not there.
pub(crate) fn proc_doors(_: &Args) -> Outcome {
    all(
        ["sysrq-trigger", "kcore", "keys", "kmsg", "kallsyms", "timer_list"].map(|name| {
            let path = Path::new("/proc").join(name);
            match fs::metadata(&path) {
                Err(_) => Outcome::Held(format!("{name}: absent")),
                Ok(meta) => check(
                    meta.file_type().is_char_device() && meta.rdev() == rustix::fs::makedev(1, 3),
                    format!("{name}: {:o}", meta.mode()),
                ),
            }
        }),
    )
}

/// Devices.
pub(crate) fn devices(_: &Args) -> Outcome {
    let known = [
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
    ];
    let mut names: Vec<String> = fs::read_dir("/dev")
        .map(|dir| {
            dir.flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    let absent = [
        "/dev/mem",
        "/dev/kmsg",
        "/dev/port",
        "/dev/kvm",
        "/dev/fuse",
        "/dev/vda",
        "/dev/sda",
    ]
    .map(|path| refused_io(path, fs::symlink_metadata(path), &[libc::ENOENT]));
    all([check(names == known, format!("/dev has {names:?}"))]
        .into_iter()
        .chain(absent))
}

/// Device files of one's own making. The one with number 0:0 any user may make where nothing forbids it.
pub(crate) fn make_device(_: &Args) -> Outcome {
    let path = c"/tmp/device";
    let at = path.as_ptr() as usize;
    let here = libc::AT_FDCWD as usize;
    let number = |major, minor| usize::try_from(rustix::fs::makedev(major, minor)).unwrap_or(0);
    all([
        ("char 0:0", libc::S_IFCHR, number(0, 0)),
        ("char 1:1", libc::S_IFCHR, number(1, 1)),
        ("block 7:0", libc::S_IFBLK, number(7, 0)),
    ]
    .map(|(name, kind, device)| {
        let result = call(libc::SYS_mknodat, &[here, at, (kind | 0o600) as usize, device]);
        let _ = fs::remove_file("/tmp/device");
        refused(name, result, &[libc::EPERM, libc::EACCES])
    }))
}

/// A device file in the caller's tree.
pub(crate) fn device_in_tree(_: &Args) -> Outcome {
    refused_io(
        "open the tree's device",
        fs::File::open("/workspace/zero"),
        &[libc::EACCES],
    )
}

/// Every way to put a set-user-id bit on a file; what counts is whether the bit is there.
pub(crate) fn set_user_id(_: &Args) -> Outcome {
    const FCHMODAT2: i64 = 452;
    const MODE: usize = 0o4755;
    let path = c"/tmp/program";
    let (at, here) = (path.as_ptr() as usize, libc::AT_FDCWD as usize);
    let create = (libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    let how = [create as u64, MODE as u64, 0];
    let try_one = |name: &str, exists: bool, attempt: &dyn Fn()| {
        let _ = fs::remove_file("/tmp/program");
        if exists && fs::write("/tmp/program", "x").is_err() {
            return Outcome::Unclear("cannot make a file".to_owned());
        }
        attempt();
        let mode = fs::metadata("/tmp/program").map_or(0, |meta| meta.mode() & 0o7777);
        let _ = fs::remove_file("/tmp/program");
        check(mode & 0o6000 == 0, format!("{name}: {mode:o}"))
    };
    let mut outcomes = vec![
        try_one("fchmodat", true, &|| _ = call(libc::SYS_fchmodat, &[here, at, MODE])),
        try_one("fchmodat2", true, &|| _ = call(FCHMODAT2, &[here, at, MODE, 0])),
        try_one("fchmod", true, &|| {
            if let Ok(file) = fs::File::open("/tmp/program") {
                let fd = std::os::fd::AsRawFd::as_raw_fd(&file).cast_unsigned() as usize;
                let _ = call(libc::SYS_fchmod, &[fd, MODE]);
            }
        }),
        try_one("openat", false, &|| {
            _ = call(libc::SYS_openat, &[here, at, create, MODE]);
        }),
        try_one("openat2", false, &|| {
            _ = call(libc::SYS_openat2, &[here, at, address(&how), size_of_val(&how)]);
        }),
        try_one("mknodat", false, &|| {
            _ = call(libc::SYS_mknodat, &[here, at, libc::S_IFREG as usize | MODE, 0]);
        }),
        try_one("set-group-id by fchmodat", true, &|| {
            _ = call(libc::SYS_fchmodat, &[here, at, 0o2755]);
        }),
    ];
    #[cfg(target_arch = "x86_64")]
    outcomes.extend([
        try_one("chmod", true, &|| _ = call(libc::SYS_chmod, &[at, MODE])),
        try_one("open", false, &|| _ = call(libc::SYS_open, &[at, create, MODE])),
        try_one("creat", false, &|| _ = call(libc::SYS_creat, &[at, MODE])),
        try_one("mknod", false, &|| {
            _ = call(libc::SYS_mknod, &[at, libc::S_IFREG as usize | MODE, 0]);
        }),
    ]);
    all(outcomes)
}

/// Set-user-id programs of the host and of the caller's tree.
pub(crate) fn set_user_id_programs(_: &Args) -> Outcome {
    let mut outcomes = vec![super::calls::status("NoNewPrivs", &["1"])];
    for path in ["/workspace", "/tmp", "/home/sandbox", "/dev/shm", "/usr"] {
        let flags = rustix::fs::statvfs(path).map(|stat| stat.f_flag);
        let nosuid = flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::NOSUID));
        outcomes.push(check(nosuid, format!("{path} nosuid: {nosuid}")));
    }
    let ran = std::process::Command::new("/workspace/setuid-id").arg("-u").output();
    let said = ran
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    outcomes.push(match said.as_str() {
        "" => Outcome::Unclear("the tree's program did not run".to_owned()),
        uid => check(uid == "1000", format!("the tree's set-user-id program runs as {uid}")),
    });
    all(outcomes)
}

/// Links in the caller's tree that lead out of it: they lead to the same names inside.
pub(crate) fn links(_: &Args) -> Outcome {
    let mut outcomes = Vec::new();
    for name in ["link-secret", "link-up", "link-dir/secret.txt", "link-shadow"] {
        outcomes.push(refused_io(
            name,
            fs::read(Path::new("/workspace").join(name)),
            &[libc::ENOENT, libc::EACCES],
        ));
    }
    let through_root = fs::read_link("/workspace/link-root").and_then(|_| fs::metadata("/workspace/link-root"));
    let same = through_root
        .is_ok_and(|meta| fs::metadata("/").is_ok_and(|root| root.ino() == meta.ino() && root.dev() == meta.dev()));
    outcomes.push(check(same, format!("the link to / leads to the sandbox's own: {same}")));
    all(outcomes)
}

/// Changes the tree in every way.
pub(crate) fn scribble(_: &Args) -> Outcome {
    let tree = Path::new("/workspace");
    let steps = [
        (
            "append",
            OpenOptions::new()
                .append(true)
                .open(tree.join("file.txt"))
                .and_then(|mut file| file.write_all(b"more")),
        ),
        ("make", fs::write(tree.join("new.txt"), "new")),
        ("rename", fs::rename(tree.join("sub/old"), tree.join("sub/new"))),
        ("remove", fs::remove_file(tree.join("sub/gone"))),
        (
            "mode",
            fs::set_permissions(tree.join("file.txt"), fs::Permissions::from_mode(0o777)),
        ),
        ("directory", fs::create_dir(tree.join("dir"))),
        ("link", std::os::unix::fs::symlink("/etc/passwd", tree.join("out"))),
    ];
    let failed: Vec<String> = steps
        .into_iter()
        .filter_map(|(name, result)| result.err().map(|error| format!("{name}: {error}")))
        .collect();
    if failed.is_empty() {
        Outcome::Held("changed".to_owned())
    } else {
        Outcome::Unclear(failed.join(", "))
    }
}

/// A tree that may only be read.
pub(crate) fn read_only_tree(_: &Args) -> Outcome {
    all([
        make("/workspace/new.txt"),
        refused_io(
            "append",
            OpenOptions::new().append(true).open("/workspace/file.txt"),
            NO_WRITE,
        ),
        refused_io("remove", fs::remove_file("/workspace/sub/gone"), NO_WRITE),
        check(fs::read("/workspace/file.txt").is_ok(), "it can be read"),
    ])
}

/// A pipe with a name in the tree: its other end is not the host's.
pub(crate) fn pipe_in_tree(_: &Args) -> Outcome {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/workspace/pipe");
    match opened {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Outcome::Held("nobody reads it".to_owned()),
        Err(error) => Outcome::Held(error.to_string()),
        Ok(mut pipe) => {
            let wrote = pipe.write_all(b"out");
            Outcome::Broken(format!("somebody reads it: {wrote:?}"))
        }
    }
}

/// Files that another sandbox or the host left, by path.
pub(crate) fn absent(args: &Args) -> Outcome {
    all(args
        .text("paths")
        .split(',')
        .map(|path| refused_io(path, fs::symlink_metadata(path), &[libc::ENOENT, libc::EACCES])))
}

/// Control groups: nothing of them can be seen or mounted.
pub(crate) fn control_groups(_: &Args) -> Outcome {
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as usize;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |kind: &'static std::ffi::CStr, data: &'static std::ffi::CStr| {
        let result = call(
            libc::SYS_mount,
            &[text(c"none"), text(c"/tmp"), text(kind), 0, text(data)],
        );
        refused(&format!("mount {}", kind.to_string_lossy()), result, &[libc::EPERM])
    };
    all([
        check(!mounts.contains("cgroup"), "no control group is mounted"),
        check(!Path::new("/sys/fs/cgroup").exists(), "/sys/fs/cgroup is not there"),
        mount(c"cgroup2", c""),
        mount(c"cgroup", c"memory"),
    ])
}

/// The names of the control groups one is in: as if each were the root.
pub(crate) fn group_names(_: &Args) -> Outcome {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let paths: Vec<&str> = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    check(
        !paths.is_empty() && paths.iter().all(|path| *path == "/"),
        format!("groups {paths:?}"),
    )
}

/// The old way out of a changed root.
pub(crate) fn leave_root(args: &Args) -> Outcome {
    let _ = fs::create_dir("/tmp/jail");
    let jail = call(libc::SYS_chroot, &[c"/tmp/jail".as_ptr() as usize]);
    // Our directory stays outside the new root, so the way up is open.
    for _ in 0..64 {
        let _ = rustix::process::chdir("..");
    }
    let secret = args.text("secret").trim_start_matches('/').to_owned();
    all([
        refused("chroot", jail, &[libc::EPERM]),
        refused_io("the host's file", fs::metadata(&secret), &[libc::ENOENT, libc::EACCES]),
    ])
}

/// The machine's name.
pub(crate) fn host_name(args: &Args) -> Outcome {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    check(name == "sandbox" && name != args.text("host"), format!("name {name}"))
}
