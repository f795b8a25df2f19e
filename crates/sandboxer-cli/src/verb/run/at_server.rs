//! `run` at a server: the same three steps, each a request, and the last one whatever became of the others.

use sandboxer_client::Client;
use sandboxer_engine::Cancel;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;

use super::{print_timings, tell_of_end};
use crate::args::RunArgs;
use crate::context::Context;
use crate::interrupt::{Interrupts, Meaning};
use crate::service::remote::{command, create};
use crate::verb::recipe::Wish;

/// Runs one command in a sandbox of its own; returns the command's exit code.
///
/// # Errors
/// Those of the server; `Interrupted` once everything is gone.
pub(super) async fn run(context: &Context, client: &Client, args: RunArgs) -> Result<u8, UserError> {
    let start = command::start(args.command)?;
    let wish = Wish::read(args.recipe)?.for_one_command();
    let cancel = Cancel::new();
    let interrupts = Interrupts::receive(Meaning::Undo, &cancel)?;
    let request = tokio::select! {
        request = wish.there(context, client) => request?,
        () = cancel.cancelled() => return Err(create::interrupted()),
    };
    let began = context.elapsed();
    let created = create::create(client, &request, &create::Key::Fresh(client.fresh_key()), &cancel).await?;
    context.timings.note("create", began, context.elapsed());
    let id = &created.sandbox.sandbox_id;
    if created.reused {
        let what = format!("{id} is there already for this run, and would be removed after the command");
        return Err(UserError::new(ErrorCode::WrongState, what)
            .hint("leave `--run-id` out, or run the command in it with `sandboxer exec`"));
    }
    let started = context.elapsed();
    let exit = tokio::select! {
        exit = command::run(client, id, &start, &*context.clock, &interrupts) => exit,
        // Its connection ends here, and the command with it.
        () = cancel.cancelled() => Err(create::interrupted()),
    };
    crate::terminal::restore();
    interrupts.pass_on_to(None);
    context.timings.note("the command", started, context.elapsed());
    let leaving = context.elapsed();
    let receipt = client.destroy(id).await;
    context.timings.note("destroy", leaving, context.elapsed());
    let receipt = receipt.map_err(|error| still_there(id, error))?;
    if !receipt.state.is_gone() {
        return Err(super::not_whole(id));
    }
    let exit = exit?;
    if receipt.already {
        tell_of_end(context, "its time to live passed, or it was ended from outside");
    }
    if args.timings {
        print_timings(context, Some(started));
    }
    Ok(exit)
}

fn still_there(id: &SandboxId, error: UserError) -> UserError {
    UserError {
        message: format!("{id} may still be there: {}", error.message),
        ..error
    }
    .hint(format!(
        "remove it with `sandboxer destroy {id}`; its time to live ends it otherwise"
    ))
}
