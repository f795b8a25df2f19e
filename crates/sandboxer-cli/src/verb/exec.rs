//! `exec`: run a command in a sandbox that is there.

use sandboxer_client::Client;
use sandboxer_engine::Cancel;
use sandboxer_extension::{ExecSession, ExecStdio};
use sandboxer_model::error::{ErrorCode, UserError};
use serde::Serialize;

use super::recipe;
use crate::args::ExecArgs;
use crate::context::{Context, Format};
use crate::interrupt::{Interrupts, Meaning};
use crate::output::json;
use crate::service::remote::command;
use crate::terminal::{self, Bridge};

/// A command that goes on without us.
#[derive(Serialize)]
struct Detached<'a> {
    /// Where.
    sandbox_id: &'a str,
    /// Its process id inside.
    pid: u32,
}

/// Runs a command; returns its exit code.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn exec(context: &Context, args: ExecArgs) -> Result<u8, UserError> {
    if let Some(client) = context.remote()? {
        return at_server(context, &client, args).await;
    }
    let stdio = match (args.detach, args.command.tty) {
        (true, _) => ExecStdio::Detached,
        (_, true) => ExecStdio::Terminal(terminal::size()?),
        _ => recipe::own_stdio()?,
    };
    let command = recipe::command(args.command, stdio)?;
    let interrupts = if args.detach {
        None
    } else {
        Some(Interrupts::receive(Meaning::Leave, &Cancel::new())?)
    };
    let reporter = context.reporter();
    let engine = context.engine(&reporter).await?;
    reporter.close();
    if let Some(interrupts) = &interrupts {
        interrupts.expect_command();
    }
    let mut session = engine.exec(&args.id, command).await?;
    let Some(interrupts) = interrupts else {
        print_detached(context, &args.id, session.pid())?;
        return Ok(0);
    };
    interrupts.pass_on_to(session.signaller());
    interrupts.watch();
    let bridge = session.take_terminal().map(Bridge::start).transpose()?;
    let exit = wait(&mut *session).await;
    if let Some(bridge) = bridge {
        bridge.finish();
    }
    exit
}

async fn at_server(context: &Context, client: &Client, args: ExecArgs) -> Result<u8, UserError> {
    if args.detach {
        let what = "a server does not leave commands running that nobody listens to";
        return Err(UserError::new(ErrorCode::Unsupported, what)
            .hint("start it with `setsid` or `nohup` inside, and its output in a file of the workspace"));
    }
    let start = command::start(args.command)?;
    let interrupts = Interrupts::receive(Meaning::Leave, &Cancel::new())?;
    let id = client.resolve(&args.id).await?;
    command::run(client, &id, &start, &*context.clock, &interrupts).await
}

pub(crate) async fn wait(session: &mut dyn ExecSession) -> Result<u8, UserError> {
    session
        .wait()
        .await
        .map(sandboxer_extension::ExecExit::shell_code)
        .map_err(|error| {
            let user_error = UserError::new(
                ErrorCode::Unavailable,
                format!("cannot tell how the command ended: {error}"),
            );
            match error.hint {
                Some(hint) => user_error.hint(hint),
                None => user_error.hint("see `sandboxer get` for what became of the sandbox"),
            }
        })
}

fn print_detached(context: &Context, sandbox_id: &str, pid: u32) -> Result<(), UserError> {
    match context.format {
        Format::Json => json::print(&Detached { sandbox_id, pid }),
        Format::Table => json::print_text(&format!("{pid}\n")),
    }
}
