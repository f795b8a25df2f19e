//! Somebody dies or hangs; what is said of the sandbox stays true, and it can be removed whole.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sandboxer_model::cleanup::Presence;
use sandboxer_native::runtime::{Command, CommandIo, Exit};
use sandboxer_native::spec::{Access, How, LaunchSpec, Launched};

use super::super::raw;
use super::super::trial::{AS_VICTIM, Mode};
use super::super::world::{PATIENCE, Start, World, wait_until};
use super::ensure;

fn kill(pid: i32) -> Result<(), String> {
    raw::kill(pid, libc::SIGKILL).map_err(|errno| format!("kill {pid}: errno {errno}"))
}

fn argv(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn gone(pid: i32) -> bool {
    // A zombie has ended; its parent may be slow.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit(')')
                .next()
                .map(|rest| rest.trim_start().starts_with(['Z', 'X']))
        })
        .unwrap_or(true)
}

fn is_absent(world: &World, id: &str) -> Result<(), String> {
    let observed = world.runtime.observe(id);
    ensure(
        observed.presence == Presence::Absent,
        format!("still there: {observed:?}"),
    )
}

/// Makes one and ends its keeper.
fn without_keeper(world: &World, spec: &LaunchSpec, start: Start) -> Result<Launched, String> {
    let launched = world.launch(spec, start)?;
    kill(launched.shim_pid())?;
    wait_until("the keeper's end", PATIENCE, || gone(launched.shim_pid()))?;
    Ok(launched)
}

pub(crate) fn keeper_dies(world: &World) -> Result<(), String> {
    for start in [Start::Program, Start::Copy] {
        let spec = world.spec();
        let launched = without_keeper(world, &spec, start)?;
        let observed = world.runtime.observe(&spec.id);
        ensure(observed.alive && observed.ended.is_none(), format!("{observed:?}"))?;
        ensure(observed.detail.contains("without its keeper"), observed.detail)?;
        let found = world.runtime.find(&spec.id).ok_or("it is not found")?;
        ensure(found.init_pid() == launched.init_pid(), "another is found")?;
        let again = world.launch(&spec, Start::Program)?;
        ensure(again.init_pid() == launched.init_pid(), "a second launch made another")?;
        let ran = world.run(&spec.id, &argv(&["sh", "-c", "exit 7"]))?;
        ensure(ran.exit == Exit::Code(7), format!("{:?}", ran.exit))?;
        let deadline = world.runtime.deadline(&spec.id).map_err(|error| error.to_string())?;
        let moved = world
            .runtime
            .set_deadline(&spec.id, 1, deadline + 60_000)
            .map_err(|error| error.to_string())?;
        ensure(moved > deadline, "the deadline did not move")?;
        world.destroy(&spec.id, 1)?;
        is_absent(world, &spec.id)?;
        ensure(gone(launched.init_pid()), "pid 1 lives")?;
    }
    Ok(())
}

pub(crate) fn pid1_dies(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launched = world.launch(&spec, Start::Program)?;
    kill(launched.init_pid())?;
    wait_until("the note", PATIENCE, || world.runtime.observe(&spec.id).ended.is_some())?;
    let observed = world.runtime.observe(&spec.id);
    ensure(
        observed.ended == Some(How::Killed) && !observed.alive,
        format!("{observed:?}"),
    )?;
    ensure(observed.presence == Presence::Present, "what is left is denied")?;
    ensure(world.runtime.find(&spec.id).is_none(), "it is found")?;
    world.destroy(&spec.id, 1)?;
    is_absent(world, &spec.id)
}

pub(crate) fn keeper_and_pid1_die(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launched = without_keeper(world, &spec, Start::Program)?;
    kill(launched.init_pid())?;
    wait_until("its end", PATIENCE, || gone(launched.init_pid()))?;
    let observed = world.runtime.observe(&spec.id);
    ensure(
        !observed.alive && observed.ended == Some(How::Killed),
        format!("{observed:?}"),
    )?;
    world.destroy(&spec.id, 1)?;
    is_absent(world, &spec.id)
}

/// A keeper that does not answer holds a removal up no longer than its time-out.
pub(crate) fn keeper_hangs(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launched = world.launch(&spec, Start::Program)?;
    raw::kill(launched.shim_pid(), libc::SIGSTOP).map_err(|errno| format!("stop: {errno}"))?;
    let start = Instant::now();
    let removed = world.runtime.destroy(&spec.id, 1, None, Duration::from_secs(4));
    let took = start.elapsed();
    let report = removed
        .map_err(|error| format!("the removal failed after {took:?}: {error}"))?
        .report;
    ensure(report.leftovers().is_empty(), format!("{:?}", report.leftovers()))?;
    ensure(took < Duration::from_secs(6), format!("it took {took:?}"))?;
    ensure(
        gone(launched.shim_pid()) && gone(launched.init_pid()),
        "processes are left",
    )?;
    is_absent(world, &spec.id)
}

pub(crate) fn pid1_hangs(world: &World) -> Result<(), String> {
    let spec = world.spec();
    let launched = world.launch(&spec, Start::Program)?;
    raw::kill(launched.init_pid(), libc::SIGSTOP).map_err(|errno| format!("stop: {errno}"))?;
    let start = Instant::now();
    ensure(world.runtime.deadline(&spec.id).is_err(), "a stopped process answered")?;
    ensure(
        start.elapsed() < Duration::from_secs(8),
        "no answer was waited for too long",
    )?;
    world.destroy(&spec.id, 1)?;
    is_absent(world, &spec.id)
}

/// A caller that uses the runtime until it is killed.
pub(crate) fn be_victim(words: &[String]) {
    let [what, dir, secret, id] = words else { return };
    let world = World::new(Mode::Rootless, &PathBuf::from(dir), secret, false);
    let mut spec = world.spec();
    spec.id.clone_from(id);
    let start = if what == "copy" { Start::Copy } else { Start::Program };
    if world.launch(&spec, start).is_err() {
        return;
    }
    if what == "command" {
        let _held = world.resident(id, "stay", &[]);
        println!("READY");
        loop {
            raw::pause();
        }
    }
    let _ = world.destroy(id, 1);
}

/// Starts a caller that is going to be killed.
pub(crate) fn victim(world: &World, what: &str, id: &str) -> Result<std::process::Child, String> {
    std::process::Command::new(world.dir.join("suite"))
        .args([AS_VICTIM, what])
        .arg(&world.dir)
        .args([&world.secret, id])
        .stdin(Stdio::null())
        .stdout(if what == "command" {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .spawn()
        .map_err(|error| format!("start a caller: {error}"))
}

/// Moments of a launch and a removal, which take some 20 ms here and more on a busy machine.
const MOMENTS: u32 = 24;

/// A removal that takes this long waited for its own time-out.
const HELD_UP: Duration = Duration::from_secs(9);

fn each_moment(world: &World, strike: impl Fn(&mut std::process::Child, &Path)) -> Result<(), String> {
    for moment in 0..MOMENTS {
        let id = world.new_id();
        let what = if moment % 2 == 0 { "program" } else { "copy" };
        let mut child = victim(world, what, &id)?;
        let at = Instant::now() + Duration::from_micros(u64::from(moment) * 1500);
        while Instant::now() < at {
            std::hint::spin_loop();
        }
        strike(&mut child, &world.root.join("sb").join(&id));
        let _ = child.wait();
        let start = Instant::now();
        world
            .destroy(&id, 2)
            .map_err(|error| format!("moment {moment} ({what}): {error}"))?;
        let took = start.elapsed();
        ensure(
            took < HELD_UP,
            format!("moment {moment} ({what}): the removal took {took:?}"),
        )?;
        is_absent(world, &id).map_err(|error| format!("moment {moment} ({what}): {error}"))?;
        // A launch that was still on its way when the removal came must not bring it back.
        let stays_away = wait_until("a late launch", Duration::from_millis(30), || {
            world.runtime.observe(&id).presence != Presence::Absent
        });
        if stays_away.is_ok() {
            wait_until("its end", PATIENCE, || {
                world.runtime.observe(&id).presence == Presence::Absent
            })
            .map_err(|_| format!("moment {moment} ({what}): a launch of epoch 1 stands after a removal of epoch 2"))?;
        }
    }
    Ok(())
}

pub(crate) fn caller_dies_at_any_moment(world: &World) -> Result<(), String> {
    each_moment(world, |child, _| {
        let _ = child.kill();
    })
}

/// Caller, keeper and, once it is on record, first process, all at once.
pub(crate) fn everything_dies_at_any_moment(world: &World) -> Result<(), String> {
    each_moment(world, |child, home| {
        let _ = child.kill();
        for (file, name) in [
            ("lock", ""),
            ("intent.json", "shim"),
            ("state.json", "shim"),
            ("state.json", "init"),
        ] {
            let record = std::fs::read(home.join(file)).unwrap_or_default();
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
            let process = if name.is_empty() { &record } else { &record[name] };
            if let Some(pid) = process["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
                && pid > 1
            {
                let _ = raw::kill(pid, libc::SIGKILL);
            }
        }
    })
}

/// Nobody of ours lives but pid 1, which ends everything in time.
pub(crate) fn deadline_holds_alone(world: &World) -> Result<(), String> {
    let mut spec = world.spec();
    spec.ttl_secs = 3;
    let start = Instant::now();
    let launched = without_keeper(world, &spec, Start::Program)?;
    let resident = world.resident(&spec.id, "stay", &[])?;
    wait_until("the deadline", Duration::from_secs(10), || gone(launched.init_pid()))?;
    let took = start.elapsed();
    ensure(took >= Duration::from_millis(2900), format!("it ended after {took:?}"))?;
    ensure(took < Duration::from_secs(6), format!("it ended after {took:?}"))?;
    drop(resident);
    let observed = world.runtime.observe(&spec.id);
    ensure(
        !observed.alive && observed.presence == Presence::Present,
        format!("{observed:?}"),
    )?;
    world.destroy(&spec.id, 1)?;
    is_absent(world, &spec.id)
}

/// With a keeper, everything but a note is gone before anybody asks.
pub(crate) fn deadline_leaves_a_note(world: &World) -> Result<(), String> {
    let mut spec = world.spec();
    spec.ttl_secs = 1;
    spec.limits.disk_mb = None;
    let launched = world.launch(&spec, Start::Program)?;
    wait_until("the end of its keeper", PATIENCE, || gone(launched.shim_pid()))?;
    let observed = world.runtime.observe(&spec.id);
    ensure(observed.ended == Some(How::Deadline), format!("{observed:?}"))?;
    ensure(
        observed.usage.is_some_and(|usage| usage.cpu_us.is_some()),
        "no usage is noted",
    )?;
    let home = world.root.join("sb").join(&spec.id);
    for left in ["disk", "init.sock", "shim.sock"] {
        ensure(!home.join(left).exists(), format!("{left} is left"))?;
    }
    let leases = std::fs::read_dir(world.root.join("uid")).map_or(0, Iterator::count);
    ensure(leases == 0, "a lease is left")?;
    world.destroy(&spec.id, 1)?;
    is_absent(world, &spec.id)
}

pub(crate) fn deadline_moves(world: &World) -> Result<(), String> {
    let mut spec = world.spec();
    spec.ttl_secs = 2;
    spec.workspace.access = Access::Rw;
    let start = Instant::now();
    let launched = world.launch(&spec, Start::Program)?;
    let set = |in_ms: i64| {
        let now = launched.deadline_ms - 2000;
        world
            .runtime
            .set_deadline(&spec.id, 1, now + in_ms)
            .map_err(|error| error.to_string())
    };
    set(120_000)?;
    let ended = wait_until("an end at the old deadline", Duration::from_millis(3500), || {
        gone(launched.init_pid())
    });
    ensure(
        ended.is_err(),
        format!("it ended {:?} after its start", start.elapsed()),
    )?;
    set(0)?;
    wait_until("the end at the new deadline", Duration::from_secs(5), || {
        gone(launched.init_pid())
    })?;
    wait_until("a note", PATIENCE, || world.runtime.observe(&spec.id).ended.is_some())?;
    ensure(
        world.runtime.observe(&spec.id).ended == Some(How::Deadline),
        "another end is noted",
    )?;
    world.destroy(&spec.id, 1)
}

/// A command that stops whatever it may signal also stops the next one before it becomes a program, and pid 1 waits for
/// that. The deadline does not.
pub(crate) fn deadline_holds_when_held_up(world: &World) -> Result<(), String> {
    let mut spec = world.spec();
    spec.ttl_secs = 2;
    let launched = world.launch(&spec, Start::Copy)?;
    let stop = argv(&["sh", "-c", "while :; do kill -STOP -1; done"]);
    world.start(&spec.id, &stop, CommandIo::Detached)?;
    // It answers, or it is held up for good: either way it ends in time.
    for _ in 0..3 {
        let (runtime, id) = (world.runtime.clone(), spec.id.clone());
        std::thread::spawn(move || {
            let command = Command {
                argv: argv(&["true"]),
                env: Vec::new(),
                cwd: None,
                io: CommandIo::Detached,
                last: false,
            };
            let _ = runtime.exec(&id, command);
        });
    }
    wait_until("its end", PATIENCE, || gone(launched.init_pid()))?;
    world.destroy(&spec.id, 1)?;
    is_absent(world, &spec.id)
}

pub(crate) fn deadline_holds_when_stopped(world: &World) -> Result<(), String> {
    let mut spec = world.spec();
    spec.ttl_secs = 1;
    let launched = world.launch(&spec, Start::Copy)?;
    raw::kill(launched.init_pid(), libc::SIGSTOP).map_err(|errno| format!("stop: errno {errno}"))?;
    wait_until("its end", PATIENCE, || gone(launched.init_pid()))?;
    wait_until("the note", PATIENCE, || {
        world.runtime.observe(&spec.id).ended == Some(How::Deadline)
    })?;
    world.destroy(&spec.id, 1)
}

pub(crate) fn made_again_after_its_end(world: &World) -> Result<(), String> {
    for keeper_too in [false, true] {
        let mut spec = world.spec();
        let first = world.launch(&spec, Start::Copy)?;
        if keeper_too {
            kill(first.shim_pid())?;
        }
        kill(first.init_pid())?;
        wait_until("its end", PATIENCE, || gone(first.init_pid()) && gone(first.shim_pid()))?;
        spec.epoch += 1;
        let again = world.launch(&spec, Start::Copy)?;
        ensure(again.init_pid() != first.init_pid(), "it was not made again")?;
        let observed = world.runtime.observe(&spec.id);
        ensure(observed.alive && observed.ended.is_none(), format!("{observed:?}"))?;
        let ran = world.run(&spec.id, &argv(&["sh", "-c", "exit 5"]))?;
        ensure(ran.exit == Exit::Code(5), format!("{:?}", ran.exit))?;
        world.destroy(&spec.id, 2)?;
        is_absent(world, &spec.id)?;
    }
    Ok(())
}
