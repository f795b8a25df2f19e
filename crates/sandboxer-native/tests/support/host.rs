//! Probes that need something beside the sandbox: a service of the host, a second sandbox, a look from outside.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandboxer_model::isolation::{EnforcedBy, Resource};
use sandboxer_native::runtime::{CommandIo, Exit};
use sandboxer_native::spec::{Access, How};

use super::outcome::{Outcome, all, check};
use super::raw;
use super::trial::{Mode, SECRET_VARIABLE};
use super::world::{PATIENCE, Start, World, probe_argv, wait_until};

fn word(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name}={value}")
}

fn unclear(result: Result<Outcome, String>) -> Outcome {
    result.unwrap_or_else(Outcome::Unclear)
}

/// Tells the neighbours of this trial from those of another.
fn token(world: &World) -> &str {
    &world.secret
}

pub(crate) fn fork_bomb(world: &World) -> Outcome {
    const LIMIT: u64 = 32;
    let mut spec = world.spec();
    spec.limits.pids = Some(LIMIT);
    let inside = world.probe_in(&spec, "fork_bomb_inside", &[word("limit", LIMIT)]);
    let here = raw::in_child(|| 0);
    let gone = Instant::now();
    let destroyed = world.destroy(&spec.id, 1);
    all([
        inside,
        check(here == Ok(raw::Ended::Code(0)), "the host can still fork"),
        check(
            destroyed.is_ok() && gone.elapsed() < Duration::from_secs(2),
            format!("destroyed: {destroyed:?}"),
        ),
    ])
}

pub(crate) fn memory_bomb(world: &World) -> Outcome {
    let mut spec = world.spec();
    spec.limits.memory_mb = Some(96);
    let launched = match world.launch(&spec, Start::Program) {
        Ok(launched) => launched,
        Err(error) => return Outcome::Unclear(error),
    };
    let by = launched
        .limits
        .iter()
        .find(|limit| limit.resource == Resource::MemoryMb)
        .map(|limit| limit.enforced_by);
    let watched = by == Some(EnforcedBy::Watchdog);
    let hold = if watched { 3000 } else { 0 };
    let ran = world.run(
        &spec.id,
        &probe_argv("memory_bomb_inside", world.weak, &[word("hold_ms", hold)]),
    );
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => return Outcome::Unclear(error),
    };
    match (Outcome::in_text(&ran.output), watched) {
        (Some(outcome), _) => {
            let alive = world.runtime.observe(&spec.id).alive;
            all([outcome, check(alive, "the sandbox lives on")])
        }
        (None, true) => {
            let ended = wait_until("a note of the end", PATIENCE, || {
                world.runtime.observe(&spec.id).ended.is_some()
            });
            let how = world.runtime.observe(&spec.id).ended;
            check(
                ended.is_ok() && how == Some(How::OutOfMemory) && ran.exit == Exit::SandboxGone,
                format!("the keeper ended the sandbox: {how:?}"),
            )
        }
        (None, false) => Outcome::Unclear(format!("{:?} {}", ran.exit, ran.output)),
    }
}

pub(crate) fn disk_fill(world: &World) -> Outcome {
    let mut spec = world.spec();
    spec.limits.disk_mb = Some(32);
    world.probe_in(&spec, "disk_fill_inside", &[word("limit", 32)])
}

pub(crate) fn inode_fill(world: &World) -> Outcome {
    let mut spec = world.spec();
    spec.limits.disk_mb = Some(8);
    // The tree's own copies need no room of it.
    world.probe_in(&spec, "inode_fill_inside", &[])
}

pub(crate) fn cpu(world: &World) -> Outcome {
    let mut spec = world.spec();
    spec.limits.cpu = Some(0.2);
    let by = |limits: &[sandboxer_model::isolation::Limit]| {
        limits
            .iter()
            .find(|limit| limit.resource == Resource::Cpu)
            .map(|limit| limit.enforced_by)
    };
    let can_share = world
        .runtime
        .check(&spec)
        .is_ok_and(|limits| by(&limits) != Some(EnforcedBy::None));
    if can_share {
        return world.probe_in(&spec, "cpu_quota_inside", &[]);
    }
    // Without a controller whole CPUs are held, by what the process may run on.
    spec.limits.cpu = Some(1.0);
    world.probe_in(&spec, "cpu_affinity_inside", &[])
}

/// Services of the host on its loopback interface, IPv4 and IPv6.
pub(crate) fn loopback(world: &World) -> Outcome {
    let listeners: Vec<_> = ["127.0.0.1:0", "[::1]:0"]
        .iter()
        .filter_map(|at| std::net::TcpListener::bind(at).ok())
        .collect();
    let targets: Vec<String> = listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .map(|address| address.to_string())
        .collect();
    world.probe("loopback_inside", &[word("targets", targets.join(","))])
}

pub(crate) fn public_addresses(world: &World) -> Outcome {
    // TEST-NET-3 and the documentation prefix stand for the internet.
    world.probe(
        "unreachable_inside",
        &[word("targets", "203.0.113.1:443,203.0.113.1:53")],
    )
}

pub(crate) fn public_ipv6(world: &World) -> Outcome {
    world.probe(
        "unreachable_inside",
        &[word("targets", "[2001:db8::1]:443,[fd00:ec2::254]:80")],
    )
}

pub(crate) fn metadata(world: &World) -> Outcome {
    world.probe(
        "unreachable_inside",
        &[word("targets", "169.254.169.254:80,169.254.170.2:80")],
    )
}

pub(crate) fn private_ranges(world: &World) -> Outcome {
    world.probe(
        "unreachable_inside",
        &[word(
            "targets",
            "10.0.0.1:22,172.16.0.1:22,192.168.0.1:22,100.64.0.1:80",
        )],
    )
}

pub(crate) fn host_abstract_socket(world: &World) -> Outcome {
    let name = format!("sbx-probe-{}", token(world));
    let listener =
        std::os::unix::net::SocketAddr::from_abstract_name(&name).and_then(|at| UnixListener::bind_addr(&at));
    match listener {
        Ok(_listener) => world.probe("abstract_socket_inside", &[word("name", name)]),
        Err(error) => Outcome::Unclear(format!("listen: {error}")),
    }
}

fn listen(path: &Path) -> Result<UnixListener, String> {
    let listener = UnixListener::bind(path).map_err(|error| format!("listen at {}: {error}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).map_err(|error| error.to_string())?;
    Ok(listener)
}

pub(crate) fn host_path_sockets(world: &World) -> Outcome {
    let open = world.dir.join("data");
    let _ = std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755));
    let path = open.join("host.sock");
    unclear(listen(&path).map(|_listener| {
        let paths = [
            path.to_string_lossy().into_owned(),
            "/run/docker.sock".into(),
            "/run/dbus/system_bus_socket".into(),
        ];
        world.probe("path_sockets_inside", &[word("paths", paths.join(","))])
    }))
}

/// Both ways to show a tree: with a writable layer over it, and as it is.
fn in_both_kinds_of_tree(world: &World, name: &str, words: &[String]) -> Outcome {
    all([Access::Rw, Access::Ro].map(|access| {
        let mut spec = world.spec();
        spec.workspace.access = access;
        world.probe_in(&spec, name, words)
    }))
}

pub(crate) fn socket_in_tree(world: &World) -> Outcome {
    unclear(
        listen(&world.repo.join("host.sock")).map(|_listener| {
            in_both_kinds_of_tree(world, "path_sockets_inside", &[word("paths", "/workspace/host.sock")])
        }),
    )
}

pub(crate) fn pipe_in_tree(world: &World) -> Outcome {
    let pipe = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(world.repo.join("pipe"));
    let mut pipe = match pipe {
        Ok(pipe) => pipe,
        Err(error) => return Outcome::Unclear(error.to_string()),
    };
    let inside = in_both_kinds_of_tree(world, "pipe_in_tree_inside", &[]);
    let got = pipe.read(&mut [0; 8]).unwrap_or(0);
    all([inside, check(got == 0, format!("{got} bytes came out"))])
}

pub(crate) fn device_in_tree(world: &World) -> Outcome {
    if !world.repo.join("zero").exists() {
        // Only root makes one; the same user's tree cannot have any.
        return Outcome::Held("no device can be made".to_owned());
    }
    in_both_kinds_of_tree(world, "device_in_tree_inside", &[])
}

/// Every name, kind, mode and content below a directory.
fn portrait(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        entries.sort();
        for path in entries {
            let Ok(meta) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            let content = if meta.is_file() && meta.len() < 1024 {
                std::fs::read(&path).unwrap_or_default()
            } else {
                Vec::new()
            };
            lines.push(format!(
                "{} {:o} {} {} {content:?}",
                path.display(),
                meta.mode(),
                meta.uid(),
                meta.mtime_nsec()
            ));
            if meta.is_dir() {
                todo.push(path);
            }
        }
    }
    lines
}

pub(crate) fn tree_untouched(world: &World) -> Outcome {
    let before = portrait(&world.repo);
    let inside = world.probe("scribble_inside", &[]);
    let after = portrait(&world.repo);
    let changed = after.iter().filter(|line| !before.contains(line)).count() + before.len().abs_diff(after.len());
    all([
        inside,
        check(changed == 0, format!("{changed} entries of the caller's tree changed")),
    ])
}

pub(crate) fn tree_read_only(world: &World) -> Outcome {
    let mut spec = world.spec();
    spec.workspace.access = Access::Ro;
    let before = portrait(&world.repo);
    let inside = world.probe_in(&spec, "read_only_tree_inside", &[]);
    all([
        inside,
        check(portrait(&world.repo) == before, "the caller's tree is as it was"),
    ])
}

pub(crate) fn links(world: &World) -> Outcome {
    in_both_kinds_of_tree(world, "links_inside", &[])
}

pub(crate) fn leave_root(world: &World) -> Outcome {
    world.probe(
        "leave_root_inside",
        &[word("secret", world.dir.join("secret.txt").display())],
    )
}

pub(crate) fn host_name(world: &World) -> Outcome {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    world.probe("host_name_inside", &[word("host", host)])
}

/// The host's number of the user that commands run as.
fn user_of(world: &World, pid: i32) -> Result<u32, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
    let _ = world;
    text.lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| "no user".to_owned())
}

fn with_canary(world: &World, probe: &str) -> Outcome {
    let spec = world.spec();
    unclear((|| {
        let launched = world.launch(&spec, Start::Program)?;
        let user = match world.mode {
            // Its own user on the host: only then is the process namespace what holds it.
            Mode::Rootful => Some(user_of(world, launched.init_pid())?),
            Mode::Rootless => None,
        };
        let canary = world.canary(user)?;
        let inside = world.probe_at(&spec.id, probe, &[word("pid", canary.pid())]);
        let lived = canary.lived();
        let sandbox = world.runtime.observe(&spec.id).alive;
        Ok(all([
            inside,
            check(lived, format!("the host's process lived: {lived}")),
            check(sandbox, format!("the sandbox lives: {sandbox}")),
        ]))
    })())
}

pub(crate) fn kill_host_process(world: &World) -> Outcome {
    with_canary(world, "kill_one_inside")
}

pub(crate) fn kill_everything(world: &World) -> Outcome {
    with_canary(world, "kill_everything_inside")
}

pub(crate) fn kill_pid1(world: &World) -> Outcome {
    let spec = world.spec();
    unclear((|| {
        let launched = world.launch(&spec, Start::Program)?;
        // Where it has no namespace of its own, it is known by its number on the host.
        let number = if world.weak { launched.init_pid() } else { 1 };
        let ran = world.run(
            &spec.id,
            &probe_argv("kill_pid1_inside", world.weak, &[word("init", number)]),
        );
        let Ok(ran) = ran else {
            // No answer comes from one that is dying.
            wait_until("its end", PATIENCE, || !world.runtime.observe(&spec.id).alive)?;
            return Ok(Outcome::Broken("the sandbox is gone".to_owned()));
        };
        let answers = world.runtime.deadline(&spec.id).is_ok();
        if ran.exit == Exit::SandboxGone || !answers {
            return Ok(Outcome::Broken(format!("the sandbox is gone: {:?}", ran.exit)));
        }
        Ok(Outcome::in_text(&ran.output).unwrap_or(Outcome::Unclear(ran.output)))
    })())
}

/// Two sandboxes, the second with somebody in it; then a probe in the first.
fn beside_a_neighbour(world: &World, probe: &str, words: impl Fn(&str, i32) -> Vec<String>) -> Outcome {
    let (one, other) = (world.spec(), world.spec());
    unclear((|| {
        world.launch(&one, Start::Program)?;
        let launched = world.launch(&other, Start::Program)?;
        let name = format!("sbx-neighbour-{}", token(world));
        let key = 0x5b00_0000 + (std::process::id() & 0xff_ffff);
        let resident = world.resident(&other.id, "neighbour", &[word("name", &name), word("key", key)])?;
        if !resident.line.contains("true true true") {
            return Err(format!("the neighbour could not settle: {}", resident.line));
        }
        let mut words = words(&name, launched.init_pid());
        words.push(word("key", key));
        words.push(word("name", &name));
        let outcome = world.probe_at(&one.id, probe, &words);
        resident.end();
        Ok(outcome)
    })())
}

pub(crate) fn other_sandbox_processes(world: &World) -> Outcome {
    beside_a_neighbour(world, "other_sandbox_inside", |_, pid| vec![word("pid", pid)])
}

pub(crate) fn other_sandbox_sockets(world: &World) -> Outcome {
    beside_a_neighbour(world, "abstract_socket_inside", |_, _| Vec::new())
}

pub(crate) fn other_sandbox_memory(world: &World) -> Outcome {
    beside_a_neighbour(world, "shared_memory_inside", |_, _| Vec::new())
}

pub(crate) fn other_sandbox_files(world: &World) -> Outcome {
    let root = world.root.display().to_string();
    beside_a_neighbour(world, "absent_inside", |name, _| {
        let mut paths = vec![
            format!("/tmp/{name}"),
            format!("/dev/shm/{name}"),
            format!("{root}/sb"),
            format!("{root}/trash"),
        ];
        for entry in std::fs::read_dir(world.root.join("sb")).into_iter().flatten().flatten() {
            for file in ["state.json", "intent.json", "init.sock", "shim.sock", "disk"] {
                paths.push(entry.path().join(file).display().to_string());
            }
        }
        vec![word("paths", paths.join(","))]
    })
}

/// Descriptors of the caller, one way of starting a keeper and the other.
pub(crate) fn descriptors(world: &World) -> Outcome {
    use std::os::fd::AsRawFd;
    let secret = match std::fs::File::open(world.dir.join("secret.txt")) {
        Ok(file) => file,
        Err(error) => return Outcome::Unclear(error.to_string()),
    };
    for number in 40..60 {
        raw::inherit(secret.as_raw_fd(), number);
    }
    both_starts(world, |id| world.probe_at(id, "descriptors_inside", &[]))
}

fn both_starts(world: &World, look: impl Fn(&str) -> Outcome) -> Outcome {
    all([Start::Program, Start::Copy].map(|start| {
        let spec = world.spec();
        match world.launch(&spec, start) {
            Ok(_) => look(&spec.id),
            Err(error) => Outcome::Unclear(format!("{start:?}: {error}")),
        }
    }))
}

/// The caller's environment and arguments: not in what anybody can read of keeper and first process, nor on disk.
pub(crate) fn secrets(world: &World) -> Outcome {
    all([Start::Program, Start::Copy].map(|start| {
        let spec = world.spec();
        unclear((|| {
            let launched = world.launch(&spec, start)?;
            let argument = format!("{}-argument", world.secret);
            let variable = format!("{}-variable", world.secret);
            // Larger than a packet: it takes the other way in, through a file in memory.
            let large = "x".repeat(100_000);
            let (null, pipe) = (
                std::fs::File::open("/dev/null").map_err(|e| e.to_string())?,
                rustix::pipe::pipe().map_err(|e| e.to_string())?,
            );
            let mut argv = probe_argv("environment_inside", world.weak, &[word("secret", SECRET_VARIABLE)]);
            argv.push(argument.clone().into_bytes());
            let command = sandboxer_native::runtime::Command {
                last: false,
                argv,
                env: vec![
                    ("CALLERS_CHOICE".into(), variable.clone()),
                    ("ONE".into(), large.clone()),
                    ("TWO".into(), large),
                ],
                cwd: None,
                io: CommandIo::Pipes([null.as_fd(), pipe.1.as_fd(), pipe.1.as_fd()]),
            };
            let mut running = world
                .runtime
                .exec(&spec.id, command)
                .map_err(|error| error.to_string())?;
            let exit = running.wait();
            drop(pipe.1);
            let mut said = String::new();
            let _ = std::fs::File::from(pipe.0).read_to_string(&mut said);
            let mut outcomes =
                vec![Outcome::in_text(&said).unwrap_or_else(|| Outcome::Unclear(format!("{exit:?} {said}")))];
            for (who, pid) in [("keeper", launched.shim_pid()), ("pid 1", launched.init_pid())] {
                for file in ["environ", "cmdline"] {
                    let text = world.eye(&format!("/proc/{pid}/{file}"));
                    outcomes.push(check(
                        !contains(&text, &world.secret),
                        format!("{start:?}: {file} of the {who}"),
                    ));
                }
            }
            let mut files = Vec::new();
            files_below(&world.root, &mut files);
            for path in files {
                let text = world.eye(&path.to_string_lossy());
                let clean = [&world.secret, &argument, &variable]
                    .iter()
                    .all(|secret| !contains(&text, secret));
                outcomes.push(check(
                    clean,
                    path.file_name()
                        .map(|name| name.to_string_lossy().into_owned())
                        .unwrap_or_default(),
                ));
            }
            Ok(all(outcomes))
        })())
    }))
}

fn contains(text: &[u8], secret: &str) -> bool {
    text.windows(secret.len()).any(|window| window == secret.as_bytes())
}

fn files_below(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// Output that nobody reads, and output that nobody can stop.
pub(crate) fn flood(world: &World) -> Outcome {
    const MOST_KIB: u64 = 16 << 10;
    let mut spec = world.spec();
    spec.limits.disk_mb = Some(16);
    unclear((|| {
        let launched = world.launch(&spec, Start::Program)?;
        let argv = probe_argv("flood_inside", world.weak, &[]);
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let null = std::fs::File::open("/dev/null").map_err(|error| error.to_string())?;
        let stuck = world.start(
            &spec.id,
            &argv,
            CommandIo::Pipes([null.as_fd(), write.as_fd(), write.as_fd()]),
        )?;
        drop(write);
        let mut detached = world.start(&spec.id, &argv, CommandIo::Detached)?;
        let pid = detached.pid();
        // Its log is the largest file in /tmp; it ends when the space does, or when it printed all.
        let script = format!(
            "while kill -0 {pid} 2>/dev/null; do :; done; ls -s --block-size=1024 /tmp/exec-*.log | cut -d' ' -f1"
        );
        let ran = world.run(&spec.id, &["sh", "-c", &script].map(|word| word.as_bytes().to_vec()))?;
        let log: u64 = ran.output.trim().parse().unwrap_or(u64::MAX);
        let mut outcomes = vec![check(log <= MOST_KIB, format!("a log of {log} KiB"))];
        for (who, pid) in [("keeper", launched.shim_pid()), ("pid 1", launched.init_pid())] {
            let resident = world.status_of(pid, "VmRSS").unwrap_or(u64::MAX);
            outcomes.push(check(resident < MOST_KIB, format!("{who} {resident} KiB")));
        }
        drop((stuck, read));
        let _ = detached.take_terminal();
        Ok(all(outcomes))
    })())
}

const DEPTH: u32 = 1000;

/// How long this machine takes for as many directories without any of ours.
fn plain_removal(dir: &Path, count: u32) -> Result<Duration, String> {
    for number in 0..count {
        std::fs::create_dir_all(dir.join(number.to_string())).map_err(|error| error.to_string())?;
    }
    let start = Instant::now();
    std::fs::remove_dir_all(dir).map_err(|error| error.to_string())?;
    Ok(start.elapsed())
}

/// A payload that makes itself hard to remove, with its files in memory and on the host's disk.
pub(crate) fn stubborn(world: &World) -> Outcome {
    all([Some(64), None].map(|disk_mb| {
        let mut spec = world.spec();
        spec.limits.disk_mb = disk_mb;
        unclear((|| {
            world.launch(&spec, Start::Program)?;
            let _resident = world.resident(&spec.id, "stubborn", &[word("depth", DEPTH)])?;
            let allowed = if disk_mb.is_some() {
                Duration::from_secs(2)
            } else {
                // A disk that is slow to forget, on a machine that is busy, is slow for everybody.
                Duration::from_secs(2) + 3 * plain_removal(&world.dir.join("data/plain"), DEPTH)?
            };
            let start = Instant::now();
            let destroyed = world.destroy(&spec.id, 1);
            let took = start.elapsed();
            let graves = std::fs::read_dir(world.root.join("trash")).map_or(0, Iterator::count);
            Ok(check(
                destroyed.is_ok() && took < allowed && graves == 0,
                format!(
                    "files {}: {destroyed:?} in {} of {} ms, {graves} graves",
                    if disk_mb.is_some() { "in memory" } else { "on disk" },
                    took.as_millis(),
                    allowed.as_millis()
                ),
            ))
        })())
    }))
}

/// User ids on the host.
pub(crate) fn users(world: &World) -> Outcome {
    const FIRST: u32 = 0x7000_0000;
    let (one, other) = (world.spec(), world.spec());
    unclear((|| {
        let pids = [
            world.launch(&one, Start::Program)?.init_pid(),
            world.launch(&other, Start::Program)?.init_pid(),
        ];
        let users = [user_of(world, pids[0])?, user_of(world, pids[1])?];
        let inside = world.probe_at(&one.id, "identity_inside", &[]);
        let host = match world.mode {
            Mode::Rootful => check(
                users.iter().all(|user| *user >= FIRST) && users[0].abs_diff(users[1]) >= 65_536,
                format!("host ids {users:?}"),
            ),
            Mode::Rootless => {
                let own = rustix::process::geteuid().as_raw();
                let map = String::from_utf8_lossy(&world.eye(&format!("/proc/{}/uid_map", pids[0])))
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                check(map == format!("1000 {own} 1"), format!("id map {map}"))
            }
        };
        Ok(all([inside, host]))
    })())
}
