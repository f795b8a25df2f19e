//! `run`: create, run one command, destroy, in one process.

mod at_server;

use std::time::Duration;

use sandboxer_engine::Cancel;
use sandboxer_engine::api::{IfAbandoned, Progress};
use sandboxer_extension::{Ended, ExecExit, ExecSession, ExecStdio};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;

use super::recipe::{self, Wish};
use crate::args::RunArgs;
use crate::context::{Context, Warm};
use crate::interrupt::{Interrupts, Meaning};
use crate::output::progress::Reporter;
use crate::terminal::{self, Bridge};

/// Runs one command in a sandbox of its own; returns the command's exit code.
///
/// # Errors
/// Those of the engine; `Interrupted` once everything is gone.
pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<u8, UserError> {
    if let Some(client) = context.remote()? {
        return at_server::run(context, &client, args).await;
    }
    let stdio = if args.command.tty {
        ExecStdio::Terminal(terminal::size()?)
    } else {
        recipe::own_stdio()?
    };
    let command = recipe::command(args.command, stdio)?;
    let request = Wish::read(args.recipe)?.here(context, IfAbandoned::Undo);
    let extensions = context.extensions(Warm::Up)?;
    let cancel = Cancel::new();
    let reporter = context.reporter();
    let interrupts = Interrupts::receive(Meaning::Undo, &cancel)?;
    let engine = context.engine_over(extensions, &reporter).await?;

    let watched = Watched {
        reporter: &reporter,
        interrupts: &interrupts,
    };
    let mut bridge = None;
    let mut started = None;
    let mut on_started = |session: &mut dyn ExecSession| {
        reporter.hush();
        started = Some(context.elapsed());
        interrupts.pass_on_to(session.signaller());
        if let Some(terminal) = session.take_terminal() {
            // People are at the other end.
            interrupts.watch();
            bridge = Some(Bridge::start(terminal));
        }
    };
    let outcome = engine.run(request, command, &watched, &mut on_started, &cancel).await;
    reporter.close();
    interrupts.pass_on_to(None);
    if let Some(bridge) = bridge {
        bridge?.finish();
    }
    let outcome = outcome?;
    if outcome.cleanup.verified != Presence::Absent {
        return Err(not_whole(&outcome.sandbox.sandbox_id));
    }
    if outcome.exit == ExecExit::SandboxGone {
        let why = match outcome.ended {
            Some(Ended::Deadline) => "its time to live passed: ask for more with --ttl",
            Some(Ended::OutOfMemory) => "it used more memory than its profile allows",
            Some(Ended::OutOfDisk) => "it used more disk than its profile allows",
            Some(Ended::Killed) | None => "it was ended from outside",
        };
        tell_of_end(context, why);
    }
    if args.timings {
        print_timings(context, started);
    }
    Ok(outcome.exit.shell_code())
}

fn not_whole(id: &SandboxId) -> UserError {
    UserError::new(ErrorCode::Stuck, format!("{id} could not be removed whole"))
        .hint(format!("see `sandboxer explain {id}`; any other command tries again"))
}

fn tell_of_end(context: &Context, why: &str) {
    context.note(&format!(
        "{} the sandbox ended under the command: {why}",
        context.error_paint.warn("note:")
    ));
}

/// Progress that also tells when the command is about to start.
struct Watched<'a> {
    reporter: &'a Reporter,
    interrupts: &'a Interrupts,
}

impl Progress for Watched<'_> {
    fn step_started(&self, sandbox: &SandboxId, step: &str) {
        if step == "exec" {
            self.interrupts.expect_command();
        }
        self.reporter.step_started(sandbox, step);
    }

    fn step_finished(&self, sandbox: &SandboxId, step: &str, took: Duration, error: Option<&str>) {
        self.reporter.step_finished(sandbox, step, took, error);
    }
}

fn print_timings(context: &Context, started: Option<Duration>) {
    if let Some(started) = started {
        context.timings.note("the command has started", started, started);
    }
    eprint!("{}", context.timings.budget(context.elapsed()));
}
