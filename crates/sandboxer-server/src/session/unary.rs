//! A command run to its end, with all it printed.

use std::sync::Arc;

use sandboxer_api::request::{ExecRequest, ExecResult};
use sandboxer_engine::Engine;
use sandboxer_extension::ExecExit;
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};

use super::gathered::Gathered;
use super::leash::Leash;
use super::request::{self, Wanted};
use super::streams::Pipes;

/// Bytes that are kept of each stream.
const MOST_OUTPUT: usize = 1024 * 1024;

/// Runs a command to its end; when the caller goes away before, it is ended.
///
/// # Errors
/// `InvalidInput`, and those of [`Engine::exec`].
pub(crate) async fn run(
    engine: &'static Engine,
    clock: Arc<dyn Clock>,
    id: &str,
    mut request: ExecRequest,
    gone: impl Future<Output = ()> + Send,
) -> Result<ExecResult, UserError> {
    let timeout = request::timeout(&request)?;
    let stdin = request::stdin(&mut request)?;
    let wanted = Wanted::of_request(&mut request)?;
    let (pipes, far) = Pipes::new().map_err(no_pipes)?;
    let session = engine.exec(id, wanted.over(far)).await?;
    let mut leash = Leash::new(session, Arc::clone(&clock));
    let (mut stdout, mut stderr) = (Gathered::new(MOST_OUTPUT), Gathered::new(MOST_OUTPUT));
    let Pipes {
        stdin: mut sink,
        stdout: from_stdout,
        stderr: from_stderr,
    } = pipes;
    let ended = {
        let feed = async {
            // A command need not read what it is given.
            let _ = sink.write(&stdin).await;
            sink.end().await;
        };
        let flow = async {
            let _ = tokio::join!(feed, stdout.fill(&from_stdout), stderr.fill(&from_stderr));
            // All streams are closed; the command may go on without them.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            exit = leash.wait() => Some(exit),
            () = flow => None,
            () = clock.sleep(timeout) => None,
            () = gone => None,
        }
    };
    let timed_out = ended.is_none();
    let exit = match ended {
        Some(exit) => exit,
        None => Ok(leash.end().await.unwrap_or(ExecExit::Signal(9))),
    };
    stdout.fill_now(&from_stdout);
    stderr.fill_now(&from_stderr);
    let exit = exit?;
    let truncated = stdout.is_truncated() || stderr.is_truncated();
    let ((stdout, stdout_base64), (stderr, stderr_base64)) = (stdout.told(), stderr.told());
    Ok(ExecResult {
        exit_code: exit.shell_code(),
        timed_out,
        stdout,
        stderr,
        stdout_base64,
        stderr_base64,
        truncated,
    })
}

pub(crate) fn no_pipes(error: std::io::Error) -> UserError {
    UserError::new(
        ErrorCode::Unavailable,
        format!("cannot open the streams of a command: {error}"),
    )
    .hint("try again when less is going on")
}
