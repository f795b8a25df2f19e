//! `logs`: what the services of a sandbox print.

use sandboxer_client::Client;
use sandboxer_engine::Cancel;
use sandboxer_extension::{ExecStdio, Follow, LogsRequest};
use sandboxer_model::error::{ErrorCode, UserError};

use super::{exec, recipe};
use crate::args::LogsArgs;
use crate::context::Context;
use crate::interrupt::{Interrupts, Meaning};
use crate::output::json;

/// Shows what services print; returns the exit code of what shows it.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn logs(context: &Context, args: LogsArgs) -> Result<u8, UserError> {
    if let Some(client) = context.remote()? {
        return at_server(&client, args).await;
    }
    let ExecStdio::Pipes { stdout, stderr, .. } = recipe::own_stdio()? else {
        return Ok(0);
    };
    let interrupts = Interrupts::receive(Meaning::Leave, &Cancel::new())?;
    let reporter = context.reporter();
    let engine = context.engine(&reporter).await?;
    reporter.close();
    let request = LogsRequest {
        service: args.service,
        tail: args.tail,
        follow: if args.follow { Follow::Yes } else { Follow::No },
        output: [stdout, stderr],
    };
    interrupts.expect_command();
    let mut session = engine.logs(&args.id, request).await?;
    interrupts.pass_on_to(session.signaller());
    interrupts.watch();
    exec::wait(&mut *session).await
}

async fn at_server(client: &Client, args: LogsArgs) -> Result<u8, UserError> {
    if args.follow {
        let what = "a server shows what was printed, and does not go on";
        return Err(UserError::new(ErrorCode::Unsupported, what)
            .hint("follow it inside, such as with `sandboxer exec ID -- tail -f FILE`, or ask again"));
    }
    let interrupts = Interrupts::receive(Meaning::Leave, &Cancel::new())?;
    interrupts.watch();
    let id = client.resolve(&args.id).await?;
    let mut printed = client.logs(&id, args.service.as_deref(), args.tail).await?;
    while let Some(bytes) = printed.next().await? {
        json::print_bytes(&bytes)?;
    }
    Ok(0)
}
