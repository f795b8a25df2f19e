//! Calls that come too late, at the same time or for somebody who has taken over: what is newer stays, and nothing else.

use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sandboxer_model::cleanup::Presence;
use sandboxer_native::spec::LaunchSpec;
use sandboxer_native::{Kind, NativeError};

use super::super::raw;
use super::super::world::{PATIENCE, Start, World, wait_until};
use super::ensure;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn is_fenced<T>(result: Result<T, NativeError>, what: &str) -> Result<(), String> {
    match result {
        Err(error) if error.kind == Kind::Fenced => Ok(()),
        Err(error) => Err(format!("{what}: {error}")),
        Ok(_) => Err(format!("{what}: it was done")),
    }
}

fn under(spec: &LaunchSpec, epoch: u64) -> LaunchSpec {
    LaunchSpec { epoch, ..spec.clone() }
}

fn nothing_is_left(world: &World) -> Result<(), String> {
    for dir in ["sb", "uid", "trash"] {
        let left: Vec<_> = std::fs::read_dir(world.root.join(dir))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        ensure(left.is_empty(), format!("{left:?}"))?;
    }
    Ok(())
}

/// Whoever was taken over does not make it again after its removal, whatever the newer epoch did before that.
pub(crate) fn the_taken_over_make_nothing(world: &World) -> Result<(), String> {
    // Found by the newer one, and removed by it under the same epoch.
    let spec = world.spec();
    world.launch(&under(&spec, 3), Start::Program)?;
    world.launch(&under(&spec, 5), Start::Program)?;
    world.destroy(&spec.id, 5)?;
    is_fenced(world.runtime.launch(&under(&spec, 3), None), "found before")?;
    // Made and removed by the newer one.
    let spec = world.spec();
    world.launch(&under(&spec, 5), Start::Copy)?;
    world.destroy(&spec.id, 5)?;
    is_fenced(world.runtime.launch(&under(&spec, 3), None), "made before")?;
    // Tried in vain by the newer one.
    let spec = world.spec();
    let mut refused = under(&spec, 6);
    refused.strict = true;
    refused.limits.memory_mb = Some(1);
    refused.limits.disk_mb = Some(0);
    if world.runtime.launch(&refused, None).is_err() {
        // What is refused before anything is made leaves nothing, and no number either.
        let older = world.runtime.launch(&under(&spec, 3), None);
        ensure(
            older.is_ok() || matches!(&older, Err(error) if error.kind == Kind::Fenced),
            "another failure",
        )?;
    }
    world.destroy(&spec.id, 9)?;
    // A number that was left stays the highest, whoever removes after it.
    is_fenced(world.runtime.destroy(&spec.id, 7, None, PATIENCE), "an older removal")?;
    is_fenced(world.runtime.launch(&under(&spec, 8), None), "removed before")?;
    nothing_is_left(world)
}

/// The keeper that the caller holds a connection to hangs.
pub(crate) fn held_keeper_hangs(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launch = world.runtime.launch(&spec, None).map_err(text)?;
    raw::kill(launch.launched.shim_pid(), libc::SIGSTOP).map_err(|errno| format!("stop: {errno}"))?;
    let removed = world
        .runtime
        .destroy(&spec.id, 1, launch.keeper, Duration::from_secs(4))
        .map_err(|error| format!("a keeper that hangs kept it: {error}"))?;
    ensure(removed.report.leftovers().is_empty(), format!("{:?}", removed.report))?;
    nothing_is_left(world)
}

/// So many wait for a keeper that hangs that no more fit in.
pub(crate) fn nobody_is_taken_in(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launched = world.launch(&spec, Start::Program)?;
    raw::kill(launched.shim_pid(), libc::SIGSTOP).map_err(|errno| format!("stop: {errno}"))?;
    let address = world.root.join("sb").join(&spec.id);
    let crowd: Vec<_> = (0..200).map_while(|_| knock(&address)).collect();
    ensure(crowd.len() < 200, "there is no end to who is let wait")?;
    let start = Instant::now();
    let removed = world
        .runtime
        .destroy(&spec.id, 1, None, Duration::from_secs(4))
        .map_err(|error| format!("after {:?}: {error}", start.elapsed()))?;
    ensure(removed.report.leftovers().is_empty(), format!("{:?}", removed.report))?;
    drop(crowd);
    nothing_is_left(world)
}

/// A connection to the keeper, if it can be had without waiting.
fn knock(home: &Path) -> Option<rustix::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let dir = std::fs::File::open(home).ok()?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/shim.sock", dir.as_raw_fd())).ok()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).ok()?;
    rustix::net::connect(&socket, &address).ok()?;
    Some(socket)
}

/// A keeper that hangs while it still makes the sandbox is ended under its own epoch and newer ones, not under older ones.
pub(crate) fn hangs_while_it_makes(world: &World) -> Result<(), String> {
    for older_first in [false, true] {
        let spec = under(&world.spec(), 4);
        let id = spec.id.clone();
        let home = world.root.join("sb").join(&id);
        let runtime = world.runtime.clone();
        let launching = std::thread::spawn(move || runtime.launch(&spec, None).map(|_| ()));
        let mut keeper = None;
        // Signed, and not yet there: that is a moment, and where it was missed a keeper that has finished hangs.
        wait_until("a keeper's signature", PATIENCE, || {
            let signature = std::fs::read(home.join("lock")).unwrap_or_default();
            let signature: serde_json::Value = serde_json::from_slice(&signature).unwrap_or_default();
            keeper = signature["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            keeper.is_some()
        })?;
        let keeper = keeper.ok_or("no keeper")?;
        raw::kill(keeper, libc::SIGSTOP).map_err(|errno| format!("stop: errno {errno}"))?;
        if older_first {
            let older = world.runtime.destroy(&id, 3, None, Duration::from_secs(3));
            ensure(older.is_err(), "an older epoch removed it")?;
            ensure(raw::kill(keeper, 0).is_ok(), "an older epoch ended its keeper")?;
            raw::kill(keeper, libc::SIGCONT).map_err(|errno| format!("go on: errno {errno}"))?;
            let launched = launching.join().map_err(|_| "a thread panicked")?;
            launched.map_err(|error| format!("it was not made: {error}"))?;
            ensure(world.runtime.observe(&id).alive, "it does not live")?;
        }
        let start = Instant::now();
        let removed = world
            .runtime
            .destroy(&id, 5, None, Duration::from_secs(6))
            .map_err(text)?;
        ensure(removed.report.leftovers().is_empty(), format!("{:?}", removed.report))?;
        ensure(
            older_first || start.elapsed() < Duration::from_secs(12),
            format!("it took {:?}", start.elapsed()),
        )?;
        ensure(
            world.runtime.observe(&id).presence == Presence::Absent,
            "it is still there",
        )?;
    }
    Ok(())
}

/// Removals of what is gone, beside launches under newer epochs: what a launch says it made stands, and nothing stays of
/// what was refused.
pub(crate) fn removals_beside_launches(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let runtime = &world.runtime;
    for round in 0..40 {
        let (older, newer) = (2 * round + 1, 2 * round + 2);
        let spec = under(&spec, newer);
        let (launched, removed) = std::thread::scope(|scope| {
            let launch = scope.spawn(|| runtime.launch(&spec, None));
            let removals: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| runtime.destroy(&spec.id, older, None, PATIENCE)))
                .collect();
            let removed: Vec<_> = removals.into_iter().filter_map(|removal| removal.join().ok()).collect();
            (launch.join(), removed)
        });
        for removal in removed {
            match removal {
                Err(error) if error.kind == Kind::Fenced => {}
                Err(error) => return Err(format!("round {round}: {error}")),
                Ok(_) => {}
            }
        }
        match launched.map_err(|_| "a thread panicked")? {
            Ok(launch) => {
                let observed = runtime.observe(&spec.id);
                ensure(
                    observed.alive,
                    format!(
                        "round {round}: made and {observed:?}, pid {}",
                        launch.launched.init_pid()
                    ),
                )?;
            }
            Err(error) => ensure(error.kind == Kind::Busy, format!("round {round}: {error}"))?,
        }
        world
            .destroy(&spec.id, newer)
            .map_err(|error| format!("round {round}: {error}"))?;
        nothing_is_left(world).map_err(|error| format!("round {round}: {error}"))?;
    }
    Ok(())
}

/// A keeper whose directory was taken away touches nothing of the next life of its sandbox.
pub(crate) fn the_next_life_is_left_alone(world: &World) -> Result<(), String> {
    for by_its_end in [false, true] {
        let spec = world.spec();
        let first = world.runtime.launch(&spec, None).map_err(text)?;
        let (keeper, pid1) = (first.launched.shim_pid(), first.launched.init_pid());
        raw::kill(keeper, libc::SIGSTOP).map_err(|errno| format!("stop: errno {errno}"))?;
        std::fs::remove_dir_all(world.root.join("sb").join(&spec.id)).map_err(text)?;
        raw::kill(pid1, libc::SIGKILL).map_err(|errno| format!("kill: errno {errno}"))?;
        world.destroy(&spec.id, 1)?;
        let second = world.runtime.launch(&spec, None).map_err(text)?;
        let old = first.keeper.ok_or("it was found")?;
        if !by_its_end {
            // It is told to remove what it does not have any more.
            old.remove_at_end(1).map_err(text)?;
        }
        raw::kill(keeper, libc::SIGCONT).map_err(|errno| format!("go on: errno {errno}"))?;
        wait_until("the first keeper's end", PATIENCE, || {
            std::fs::read_to_string(format!("/proc/{keeper}/stat")).map_or(true, |stat| {
                stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
            })
        })?;
        let observed = world.runtime.observe(&spec.id);
        ensure(observed.alive && observed.ended.is_none(), format!("{observed:?}"))?;
        let found = world.runtime.find(&spec.id).ok_or("it is not found")?;
        ensure(found.init_pid() == second.launched.init_pid(), "another is found")?;
        ensure(
            world.runtime.usage(&spec.id).is_ok() && world.runtime.deadline(&spec.id).is_ok(),
            "it does not answer",
        )?;
        world.destroy(&spec.id, 1)?;
        nothing_is_left(world)?;
    }
    Ok(())
}

/// A removal that died after it renamed the directory away: that is not absence.
pub(crate) fn half_removed_is_not_absent(world: &World) -> Result<(), String> {
    let spec = world.spec();
    world.launch(&spec, Start::Program)?;
    world.destroy(&spec.id, 1)?;
    let grave = world.root.join("trash").join(format!("{}-17-23", spec.id));
    std::fs::create_dir_all(grave.join("disk/upper")).map_err(text)?;
    // Of another sandbox, whose id begins with this one's.
    let other = world.root.join("trash").join(format!("{}-9-17-23", spec.id));
    std::fs::create_dir_all(&other).map_err(text)?;
    let observed = world.runtime.observe(&spec.id);
    ensure(observed.presence == Presence::Present, format!("{observed:?}"))?;
    world.destroy(&spec.id, 1)?;
    ensure(!grave.exists(), "it is still there")?;
    ensure(other.exists(), "somebody else's was removed")?;
    let observed = world.runtime.observe(&spec.id);
    ensure(observed.presence == Presence::Absent, format!("{observed:?}"))?;
    std::fs::remove_dir_all(other).map_err(text)
}
