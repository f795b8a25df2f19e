//! Commands: how they end, and with whom.

use std::io::{BufRead, Read};

use sandboxer_native::Kind;
use sandboxer_native::runtime::{Command, CommandIo, Exit};

use super::super::outcome::Outcome;
use super::super::world::{PATIENCE, Start, World, probe_argv, start_quietly, wait_until};
use super::deaths::victim;
use super::ensure;

fn argv(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn fifty_at_once(world: &World) -> Result<(), String> {
    let mut spec = world.spec();
    spec.limits.pids = Some(256);
    world.launch(&spec, Start::Program)?;
    let (runtime, id) = (&world.runtime, &spec.id);
    let one = |code: u8| -> Result<(), String> {
        let command = argv(&["sh", "-c", &format!("exit {code}")]);
        let exit = start_quietly(runtime, id, command, false)?.wait();
        ensure(exit == Exit::Code(code), format!("{code}: {exit:?}"))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50).map(|code| scope.spawn(move || one(code))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
    })
}

pub(crate) fn exit_codes(world: &World) -> Result<(), String> {
    let spec = world.spec();
    world.launch(&spec, Start::Copy)?;
    for (words, expected) in [
        (&["true"] as &[&str], Exit::Code(0)),
        (&["sh", "-c", "exit 255"], Exit::Code(255)),
        (&["sh", "-c", "kill -9 $$"], Exit::Signal(9)),
        (&["no-such-program"], Exit::Code(127)),
        (&["/workspace/no-such-program"], Exit::Code(127)),
        (&["/workspace/file.txt"], Exit::Code(126)),
        (&["/workspace"], Exit::Code(126)),
    ] {
        let ran = world.run(&spec.id, &argv(words))?;
        ensure(ran.exit == expected, format!("{words:?}: {:?}", ran.exit))?;
        let explained = ran.output.contains("cannot start");
        ensure(
            explained == matches!(expected, Exit::Code(126 | 127)),
            format!("{words:?} printed {}", ran.output),
        )?;
    }
    Ok(())
}

pub(crate) fn signals(world: &World) -> Result<(), String> {
    let spec = world.spec();
    world.launch(&spec, Start::Program)?;
    let mut resident = world.resident(&spec.id, "stay", &[])?;
    let signaller = resident.running.signaller().map_err(text)?;
    signaller.send(15).map_err(text)?;
    let exit = resident.running.wait();
    ensure(exit == Exit::Signal(15), format!("{exit:?}"))?;
    // Its number may belong to another now: a late signal goes nowhere.
    let _ = signaller.send(9);
    let ran = world.run(&spec.id, &argv(&["true"]))?;
    ensure(ran.exit == Exit::Code(0), format!("{:?}", ran.exit))
}

fn processes_inside(world: &World, id: &str) -> Result<usize, String> {
    let ran = world.run(id, &argv(&["sh", "-c", "ls /proc | grep -c '^[0-9]'"]))?;
    ran.output.trim().parse().map_err(|_| ran.output)
}

pub(crate) fn caller_dies(world: &World) -> Result<(), String> {
    let id = world.new_id();
    let mut caller = victim(world, "command", &id)?;
    let mut line = String::new();
    if let Some(out) = caller.stdout.take() {
        std::io::BufReader::new(out).read_line(&mut line).map_err(text)?;
    }
    ensure(line.starts_with("READY"), format!("the caller said `{line}`"))?;
    // Pid 1, what the dead caller ran, and the shell and the two that count.
    let before = processes_inside(world, &id)?;
    caller.kill().map_err(text)?;
    caller.wait().map_err(text)?;
    let after = wait_until("the end of its command", PATIENCE, || {
        processes_inside(world, &id).is_ok_and(|now| now + 1 == before)
    });
    after.map_err(|error| format!("{error}; {before} before, now {:?}", processes_inside(world, &id)))?;
    ensure(world.runtime.observe(&id).alive, "the sandbox went with it")
}

pub(crate) fn detached_stays(world: &World) -> Result<(), String> {
    let spec = world.spec();
    world.launch(&spec, Start::Program)?;
    let script = "echo started; echo $$ > /workspace/number; exec sleep 1000";
    let running = world.start(&spec.id, &argv(&["sh", "-c", script]), CommandIo::Detached)?;
    let pid = running.pid();
    drop(running);
    let look = format!("test \"$(cat /workspace/number)\" = {pid} && kill -0 {pid} && grep -q started /tmp/exec-*.log");
    let stays = |_: ()| {
        world
            .run(&spec.id, &argv(&["sh", "-c", &look]))
            .is_ok_and(|ran| ran.exit == Exit::Code(0))
    };
    wait_until("the detached command", PATIENCE, || stays(()))?;
    ensure(stays(()), "it went with its caller")
}

pub(crate) fn terminal(world: &World) -> Result<(), String> {
    let spec = world.spec();
    world.launch(&spec, Start::Program)?;
    let io = CommandIo::Terminal { rows: 33, columns: 99 };
    let mut running = world.start(&spec.id, &probe_argv("window", false, &[]), io)?;
    let terminal = running.take_terminal().ok_or("no terminal came")?;
    let exit = running.wait();
    let mut said = Vec::new();
    // The other end is closed: the kernel says so with an error once all is read.
    let _ = std::fs::File::from(terminal).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    match Outcome::in_text(&said) {
        Some(Outcome::Held(_)) if exit == Exit::Code(0) => Ok(()),
        other => Err(format!("{exit:?} {other:?} {said}")),
    }
}

pub(crate) fn none_after_the_end(world: &World) -> Result<(), String> {
    let spec = world.spec();
    world.launch(&spec, Start::Program)?;
    let mut resident = world.resident(&spec.id, "stay", &[])?;
    world.destroy(&spec.id, 1)?;
    let exit = resident.running.wait();
    ensure(exit == Exit::SandboxGone, format!("{exit:?}"))?;
    let error = match world.runtime.exec(
        &spec.id,
        Command {
            last: false,
            argv: argv(&["true"]),
            env: Vec::new(),
            cwd: None,
            io: CommandIo::Detached,
        },
    ) {
        Ok(_) => return Err("a command ran in a sandbox that is gone".to_owned()),
        Err(error) => error,
    };
    ensure(error.kind == Kind::NotFound, error.to_string())
}
