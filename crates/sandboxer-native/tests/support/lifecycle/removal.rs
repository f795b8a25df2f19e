//! Making and removing: once, in order, from any half-made state, many at a time.

use std::path::Path;
use std::time::Duration;

use sandboxer_model::cleanup::Presence;
use sandboxer_native::Kind;
use sandboxer_native::runtime::{Runtime, Spare};
use sandboxer_native::spec::LaunchSpec;

use super::super::raw;
use super::super::trial::Mode;
use super::super::world::{PATIENCE, Start, World, start_quietly, wait_until};
use super::ensure;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn launch_twice_is_once(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let first = world.launch(&spec, Start::Program)?;
    let second = world.launch(&spec, Start::Copy)?;
    ensure(first == second, format!("{first:?} and {second:?}"))?;
    world.destroy(&spec.id, 1)?;
    world.destroy(&spec.id, 1)
}

pub(crate) fn older_epochs_are_fenced(world: &World) -> Result<(), String> {
    let mut spec = world.spec();
    let fenced = |result: Result<(), sandboxer_native::NativeError>| match result {
        Err(error) if error.kind == Kind::Fenced => Ok(()),
        other => Err(format!("not fenced: {other:?}")),
    };
    // A removal that comes before the launch it belongs to.
    world.destroy(&spec.id, 5)?;
    spec.epoch = 3;
    fenced(world.runtime.launch(&spec, None).map(|_| ()))?;
    spec.epoch = 6;
    world.launch(&spec, Start::Program)?;
    spec.epoch = 4;
    fenced(world.runtime.launch(&spec, None).map(|_| ()))?;
    fenced(world.runtime.destroy(&spec.id, 5, None, PATIENCE).map(|_| ()))?;
    fenced(world.runtime.set_deadline(&spec.id, 5, i64::MAX / 2).map(|_| ()))?;
    ensure(world.runtime.observe(&spec.id).alive, "it ended")?;
    world
        .runtime
        .set_deadline(&spec.id, 8, 4_000_000_000_000)
        .map_err(text)?;
    fenced(world.runtime.destroy(&spec.id, 7, None, PATIENCE).map(|_| ()))?;
    world.destroy(&spec.id, 9)?;
    spec.epoch = 8;
    fenced(world.runtime.launch(&spec, None).map(|_| ()))?;
    let left = std::fs::read_dir(world.root.join("sb")).map_or(0, Iterator::count);
    ensure(left == 0, "a refused launch left a directory")
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
}

/// The files of a real sandbox that is gone.
fn records(world: &World) -> Result<(String, String), String> {
    let spec = world.spec();
    world.launch(&spec, Start::Program)?;
    let home = world.root.join("sb").join(&spec.id);
    let records = (read(&home.join("intent.json"))?, read(&home.join("state.json"))?);
    world.destroy(&spec.id, 1)?;
    Ok((records.0.replace(&spec.id, "ID"), records.1.replace(&spec.id, "ID")))
}

/// Puts another value in place of each text of this name.
fn replace_all(json: &str, name: &str, value: &str) -> Result<String, String> {
    fn walk(json: &mut serde_json::Value, name: &str, value: &serde_json::Value) {
        match json {
            serde_json::Value::Object(map) => {
                for (key, inner) in map {
                    if key == name {
                        inner.clone_from(value)
                    } else {
                        walk(inner, name, value)
                    }
                }
            }
            serde_json::Value::Array(list) => list.iter_mut().for_each(|inner| walk(inner, name, value)),
            _ => {}
        }
    }
    let mut parsed = serde_json::from_str(json).map_err(text)?;
    walk(&mut parsed, name, &serde_json::from_str(value).map_err(text)?);
    Ok(parsed.to_string())
}

pub(crate) fn half_made_states_go(world: &World) -> Result<(), String> {
    let (intent, state) = records(world)?;
    let other_boot = replace_all(&state, "boot", "\"00000000-0000-0000-0000-000000000000\"")?;
    type Step<'a> = (&'a str, Vec<(&'a str, &'a str)>);
    let steps: [Step<'_>; 8] = [
        ("an empty directory", vec![]),
        ("a lock only", vec![("lock", "")]),
        ("an intent only", vec![("intent.json", &intent)]),
        ("half an intent", vec![("intent.json", &intent[..intent.len() / 2])]),
        ("a new intent not yet in place", vec![("intent.new", &intent)]),
        ("a state without an intent", vec![("state.json", &state)]),
        (
            "both, of another boot",
            vec![("intent.json", &intent), ("state.json", &other_boot)],
        ),
        (
            "nonsense",
            vec![
                ("intent.json", "[]"),
                ("state.json", "{}"),
                ("ended.json", "7"),
                ("epoch", "x"),
            ],
        ),
    ];
    for (what, files) in steps {
        let id = world.new_id();
        let home = world.root.join("sb").join(&id);
        std::fs::create_dir(&home).map_err(text)?;
        for (name, content) in files {
            write(&home.join(name), &content.replace("ID", &id))?;
        }
        std::fs::create_dir_all(home.join("disk/upper/deep")).map_err(text)?;
        let lease = world.root.join("uid/9999");
        if world.mode == Mode::Rootful && !intent.contains("uid/9999") {
            std::os::unix::fs::symlink(&id, &lease).map_err(text)?;
        }
        let observed = world.runtime.observe(&id);
        ensure(
            observed.presence == Presence::Present && !observed.alive,
            format!("{what}: {observed:?}"),
        )?;
        ensure(world.runtime.find(&id).is_none(), format!("{what}: it is found"))?;
        let listed = world.runtime.list().map_err(text)?;
        ensure(
            listed.iter().any(|listed| listed.id == id),
            format!("{what}: not listed"),
        )?;
        world.destroy(&id, 1).map_err(|error| format!("{what}: {error}"))?;
        let observed = world.runtime.observe(&id);
        ensure(observed.presence == Presence::Absent, format!("{what}: {observed:?}"))?;
        // Where the intent names the lease, that one is ended; where there is none, it is looked for.
        if std::fs::remove_file(&lease).is_ok() {
            ensure(
                what.contains("intent only") || what.contains("of another boot"),
                format!("{what}: the lease stayed"),
            )?;
        }
        // The same id can be made again.
        let mut spec = world.spec();
        spec.id.clone_from(&id);
        world
            .launch(&spec, Start::Program)
            .map_err(|error| format!("{what}, made again: {error}"))?;
        world.destroy(&id, 1)?;
    }
    Ok(())
}

/// A record whose process ended, and whose number another process got: that one is not touched.
pub(crate) fn reused_number(world: &World) -> Result<(), String> {
    let (intent, state) = records(world)?;
    // Start times are told apart by clock ticks of 10 ms; no number comes around as fast as that.
    let recorded = std::time::Instant::now();
    wait_until("some clock ticks", PATIENCE, || {
        recorded.elapsed() > Duration::from_millis(50)
    })?;
    let canary = world.canary(None)?;
    let number = canary.pid().to_string();
    let id = world.new_id();
    let home = world.root.join("sb").join(&id);
    std::fs::create_dir(&home).map_err(text)?;
    write(
        &home.join("intent.json"),
        &replace_all(&intent, "pid", &number)?.replace("ID", &id),
    )?;
    write(
        &home.join("state.json"),
        &replace_all(&state, "pid", &number)?.replace("ID", &id),
    )?;
    ensure(!world.runtime.observe(&id).alive, "it is said to live")?;
    world.destroy(&id, 1)?;
    ensure(canary.lived(), "a process of somebody else was killed")
}

pub(crate) fn unused_spares_leave_nothing(world: &World) -> Result<(), String> {
    for _ in 0..5 {
        drop(world.runtime.spare().map_err(text)?);
        drop(Spare::fork().map_err(text)?);
    }
    ensure(!world.root.exists(), "a spare wrote something")
}

pub(crate) fn refused_launches_leave_nothing(world: &World) -> Result<(), String> {
    let refused = |spec: &LaunchSpec, what: &str| match world.runtime.launch(spec, None) {
        Ok(_) => Err(format!("{what} was launched")),
        Err(error) => Ok(error.kind),
    };
    let mut spec = world.spec();
    spec.workspace.source = Some(world.dir.join("nowhere"));
    ensure(refused(&spec, "no tree")? == Kind::Invalid, "another kind of failure")?;
    spec.workspace.source = Some(world.dir.join("secret.txt"));
    ensure(
        refused(&spec, "a file for a tree")? == Kind::Invalid,
        "another kind of failure",
    )?;
    let mut spec = world.spec();
    // Less memory than pid 1 itself takes, or a controller that is not there.
    spec.strict = world.mode == Mode::Rootless;
    spec.limits.disk_mb = Some(0);
    spec.limits.memory_mb = Some(1);
    if let Ok(launch) = world.runtime.launch(&spec, None) {
        drop(launch);
        world.destroy(&spec.id, 1)?;
    }
    for dir in ["sb", "uid", "trash"] {
        let left = std::fs::read_dir(world.root.join(dir)).map_or(0, Iterator::count);
        ensure(left == 0, format!("{dir} is not empty"))?;
    }
    Ok(())
}

const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

fn namespaces(world: &World, pid: i32) -> Vec<String> {
    NAMESPACES
        .iter()
        .map(|name| String::from_utf8_lossy(&world.eye(&format!("/proc/{pid}/ns/{name}"))).into_owned())
        .filter(|link| !link.is_empty())
        .collect()
}

fn ticks_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let per_second = rustix::param::clock_ticks_per_second();
    now.tv_sec.cast_unsigned() * per_second + now.tv_nsec.cast_unsigned() * per_second / 1_000_000_000
}

fn start_of(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

fn groups(id: &str) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| format!("{point}/sandboxer/{id}"))
        .filter(|group| Path::new(group).exists())
        .collect()
}

pub(crate) fn namespaces_and_groups_end(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launched = world.launch(&spec, Start::Program)?;
    let resident = world.resident(&spec.id, "stay", &[])?;
    let own = namespaces(world, launched.init_pid());
    let host = namespaces(world, std::process::id().cast_signed());
    ensure(
        own.is_empty() || own.len() == NAMESPACES.len(),
        format!("namespaces {own:?}"),
    )?;
    ensure(own.iter().all(|link| !host.contains(link)), "a namespace is the host's")?;
    ensure(
        world.mode == Mode::Rootless || !groups(&spec.id).is_empty(),
        "it has no group",
    )?;
    let before = ticks_since_boot();
    world.destroy(&spec.id, 1)?;
    drop(resident);
    ensure(groups(&spec.id).is_empty(), "a group is left")?;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            // The numbers of namespaces are given again to new ones, such as those of another test.
            if start_of(pid).is_none_or(|start| start > before) {
                continue;
            }
            let left: Vec<String> = namespaces(world, pid)
                .into_iter()
                .filter(|link| own.contains(link))
                .collect();
            ensure(left.is_empty(), format!("process {pid} is in {left:?}"))?;
        }
    }
    Ok(())
}

fn make_use_remove(runtime: &Runtime, spec: &LaunchSpec) -> Result<(), String> {
    use sandboxer_native::runtime::Exit;
    runtime.launch(spec, None).map_err(|error| format!("launch: {error}"))?;
    let exit = start_quietly(runtime, &spec.id, vec![b"true".to_vec()], false)?.wait();
    ensure(exit == Exit::Code(0), format!("{exit:?}"))?;
    let report = runtime
        .destroy(&spec.id, 1, None, Duration::from_secs(30))
        .map_err(|error| format!("destroy: {error}"))?
        .report;
    ensure(report.leftovers().is_empty(), format!("{:?}", report.leftovers()))
}

pub(crate) fn twenty_at_once(world: &World) -> Result<(), String> {
    let specs: Vec<LaunchSpec> = (0..20).map(|_| world.spec()).collect();
    let runtime = &world.runtime;
    std::thread::scope(|scope| {
        let threads: Vec<_> = specs
            .iter()
            .map(|spec| scope.spawn(move || make_use_remove(runtime, spec)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
    })
}

/// Eight callers launch the same id at once: one sandbox, and nobody is told anything else.
pub(crate) fn eight_launches_of_one(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let (runtime, shared) = (&world.runtime, &spec);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(move || runtime.launch(shared, None)))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut pids = Vec::new();
    for result in results {
        match result {
            Ok(launch) => pids.push(launch.launched.init_pid()),
            Err(error) => ensure(error.kind == Kind::Busy, error.to_string())?,
        }
    }
    pids.dedup();
    ensure(pids.len() == 1, format!("first processes {pids:?}"))?;
    let found = world.runtime.find(&spec.id).ok_or("it is not found")?;
    ensure(found.init_pid() == pids[0], "another stands")?;
    world.destroy(&spec.id, 1)?;
    wait_until("its end", PATIENCE, || raw::kill(pids[0], 0) == Err(libc::ESRCH)).map(|_| ())
}

/// Whoever deletes a directory does not delete what runs: it is not called absent, and is removed.
pub(crate) fn directory_taken_away(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launched = world.launch(&spec, Start::Copy)?;
    std::fs::remove_dir_all(spec.root.join("sb").join(&spec.id)).map_err(|error| error.to_string())?;
    let observed = world.runtime.observe(&spec.id);
    if observed.presence == Presence::Absent {
        // Without control groups nothing on the machine bears its id.
        raw::kill(launched.init_pid(), libc::SIGKILL).map_err(|errno| format!("kill: errno {errno}"))?;
    }
    world.destroy(&spec.id, 1)?;
    wait_until("its end", PATIENCE, || {
        !std::path::Path::new(&format!("/proc/{}/root/usr", launched.init_pid())).exists()
    })?;
    ensure(
        world.runtime.observe(&spec.id).presence == Presence::Absent,
        "something of it is still there",
    )
}
