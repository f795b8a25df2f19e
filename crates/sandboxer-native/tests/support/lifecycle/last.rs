//! A command after which nothing is wanted: the sandbox ends with it, and its keeper begins the removal.

use sandboxer_model::cleanup::Presence;
use sandboxer_native::Spare;
use sandboxer_native::runtime::{Exit, Keeper, Removed, Running};
use sandboxer_native::spec::LaunchSpec;

use super::super::raw;
use super::super::world::{PATIENCE, World, start_quietly, wait_until};
use super::ensure;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A sandbox whose keeper was told to remove it at its end, under epoch 1.
fn told(world: &World) -> Result<(LaunchSpec, Keeper, i32), String> {
    let spec = world.spec();
    let spare = Spare::fork().map_err(text)?;
    let launch = world.runtime.launch(&spec, Some(spare)).map_err(text)?;
    let keeper = launch.keeper.ok_or("there is no way to its keeper")?;
    keeper.remove_at_end(1).map_err(text)?;
    Ok((spec, keeper, launch.launched.shim_pid()))
}

fn start(world: &World, id: &str, script: &str) -> Result<Running, String> {
    let argv = ["sh", "-c", script].map(|word| word.as_bytes().to_vec());
    start_quietly(&world.runtime, id, argv.into(), true)
}

/// Removes it, and checks the receipt.
fn remove(world: &World, id: &str, keeper: Keeper) -> Result<Removed, String> {
    let removed = world.runtime.destroy(id, 1, Some(keeper), PATIENCE).map_err(text)?;
    ensure(
        removed.report.verified == Presence::Absent,
        format!("{:?}", removed.report),
    )?;
    Ok(removed)
}

fn until_absent(world: &World, id: &str) -> Result<(), String> {
    wait_until("its absence", PATIENCE, || {
        world.runtime.observe(id).presence == Presence::Absent
    })
    .map(|_| ())
}

pub(crate) fn ends_it(world: &World) -> Result<(), String> {
    // Its end and the request for its removal meet in any order.
    (0..25).try_for_each(|_| ends_it_once(world))
}

fn ends_it_once(world: &World) -> Result<(), String> {
    let (spec, keeper, _) = told(world)?;
    // What it leaves running goes too.
    let exit = start(world, &spec.id, "sleep 100 & exit 3")?.wait();
    ensure(exit == Exit::Code(3), format!("{exit:?}"))?;
    let removed = remove(world, &spec.id, keeper)?;
    let report = removed.report;
    ensure(
        ["process", "namespaces", "directory"]
            .iter()
            .all(|kind| report.items.iter().any(|item| item.kind == *kind && item.found)),
        format!("the receipt is not the keeper's: {report:?}"),
    )?;
    ensure(
        removed.usage.is_some() && removed.ended.is_none(),
        "the receipt does not tell the use, or tells of another end",
    )
}

pub(crate) fn loses_its_caller(world: &World) -> Result<(), String> {
    let (spec, keeper, _) = told(world)?;
    drop(start(world, &spec.id, "sleep 100")?);
    drop(keeper);
    until_absent(world, &spec.id)
}

pub(crate) fn without_keeper(world: &World) -> Result<(), String> {
    let (spec, keeper, pid) = told(world)?;
    raw::kill(pid, libc::SIGKILL).map_err(|errno| format!("kill: errno {errno}"))?;
    let exit = start(world, &spec.id, "exit 4")?.wait();
    ensure(exit == Exit::Code(4), format!("{exit:?}"))?;
    remove(world, &spec.id, keeper)?;
    until_absent(world, &spec.id)
}

pub(crate) fn of_an_old_owner(world: &World) -> Result<(), String> {
    let (spec, _keeper, _) = told(world)?;
    let deadline = world.runtime.deadline(&spec.id).map_err(text)?;
    world
        .runtime
        .set_deadline(&spec.id, 2, deadline + 60_000)
        .map_err(text)?;
    let exit = start(world, &spec.id, "exit 0")?.wait();
    ensure(exit == Exit::Code(0), format!("{exit:?}"))?;
    // It has ended, and is there for its new owner to remove.
    wait_until("its end", PATIENCE, || world.runtime.observe(&spec.id).ended.is_some())?;
    let observed = world.runtime.observe(&spec.id);
    ensure(observed.presence == Presence::Present, format!("{observed:?}"))?;
    world.destroy(&spec.id, 2)?;
    until_absent(world, &spec.id)
}

pub(crate) fn is_interrupted(world: &World) -> Result<(), String> {
    let (spec, keeper, _) = told(world)?;
    let mut running = start(world, &spec.id, "sleep 100")?;
    remove(world, &spec.id, keeper)?;
    ensure(running.wait() == Exit::SandboxGone, "the command outlived its sandbox")?;
    until_absent(world, &spec.id)
}
