//! A command over a WebSocket, as [`sandboxer_api::stream`] describes it. Both directions are bounded: who reads slowly slows the
//! command, and a command that reads slowly slows whoever feeds it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use sandboxer_api::problem::Problem;
use sandboxer_api::stream::{FromCommand, STDERR, STDOUT, Start};
use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::ExecStdio;
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::hear::{Heard, feed, hear, is_too_long, too_long, untaken};
use super::leash::Leash;
use super::pulse::Pulse;
use super::request::{Wanted, window};
use super::streams::{Pipes, Sink, Source, Terminal};
use super::tell::{Told, tell};
use super::unary::no_pipes;

/// Commands over WebSockets at once.
const AT_ONCE: usize = 512;
/// How long a client may take to close a connection after it was told the end.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a client may take to say what to run.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// Messages for the command that wait here; the next is not taken from the connection before one was written.
const WAITING: usize = 4;

type Out = SplitSink<WebSocket, Message>;
type In = SplitStream<WebSocket>;

/// What a command over a connection needs.
pub(crate) struct Surroundings {
    /// Runs it.
    pub(crate) engine: &'static Engine,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Set when the server is to stop.
    pub(crate) stop: Cancel,
}

/// Those who are attached to a command.
#[derive(Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Room {
        Room(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Room {
    /// Lets one more in.
    ///
    /// # Errors
    /// `RateLimited`.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, UserError> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            let what = format!("the server has {AT_ONCE} commands over WebSockets already");
            UserError::new(ErrorCode::RateLimited, what).hint("try again in a moment")
        })
    }
}

/// Serves one connection to its end. `_turn` is given back then.
pub(crate) async fn serve(socket: WebSocket, around: Surroundings, id: String, _turn: OwnedSemaphorePermit) {
    let (mut out, mut input) = socket.split();
    let said = match begin(&mut input, &around, &id).await {
        Ok(None) => None,
        Ok(Some(command)) => run(command, &mut out, &mut input, &around).await,
        Err(error) => Some(problem(&error)),
    };
    let goodbye = async {
        if let Some(said) = said {
            out.send(text(&said)).await?;
        }
        out.close().await?;
        // What is on its way to a connection that is closed under it can take with it what was just said.
        while let Some(Ok(_)) = input.next().await {}
        Ok::<(), axum::Error>(())
    };
    // Nobody is waited for who does not take it.
    tokio::select! {
        _ = goodbye => {}
        () = around.clock.sleep(GOODBYE) => {}
    }
}

/// A command that runs, and its streams.
struct Command {
    leash: Leash,
    sink: Sink,
    sources: Vec<(u8, Source)>,
    terminal: Option<Terminal>,
}

/// Starts what the first message asks for; `None`: the client left before.
async fn begin(input: &mut In, around: &Surroundings, id: &str) -> Result<Option<Command>, UserError> {
    let first = tokio::select! {
        first = first(input) => first,
        () = around.clock.sleep(FIRST_MESSAGE) => {
            let what = format!("nothing was said within {} s", FIRST_MESSAGE.as_secs());
            return Err(UserError::new(ErrorCode::Timeout, what).hint("send what to run as the first message"));
        }
    };
    let Some(first) = first? else { return Ok(None) };
    let start: Start = match first {
        Message::Text(text) => crate::body::parse(text.as_str().as_bytes())?,
        _ => return Err(unexpected("the first message is not a text")),
    };
    let size = start.terminal.map(window).transpose()?;
    let wanted = Wanted::of_start(start)?;
    let Some(size) = size else {
        let (pipes, far) = Pipes::new().map_err(no_pipes)?;
        let session = around.engine.exec(id, wanted.over(far)).await?;
        return Ok(Some(Command {
            leash: Leash::new(session, Arc::clone(&around.clock)),
            sink: pipes.stdin,
            sources: vec![(STDOUT, pipes.stdout), (STDERR, pipes.stderr)],
            terminal: None,
        }));
    };
    let session = around.engine.exec(id, wanted.over(ExecStdio::Terminal(size))).await?;
    let mut leash = Leash::new(session, Arc::clone(&around.clock));
    let near = leash.take_terminal().ok_or_else(|| {
        UserError::new(
            ErrorCode::BackendFailed,
            "the backend started the command without a terminal",
        )
    })?;
    let terminal = Terminal::new(near).map_err(no_pipes)?;
    Ok(Some(Command {
        leash,
        sink: Sink::Terminal(terminal.clone()),
        sources: vec![(STDOUT, Source::Terminal(terminal.clone()))],
        terminal: Some(terminal),
    }))
}

/// The first message that says something; `None`: the client left before.
async fn first(input: &mut In) -> Result<Option<Message>, UserError> {
    loop {
        match input.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Ok(None),
            Some(Ok(message)) if is_too_long(&message) => return Err(too_long()),
            Some(Ok(message)) => return Ok(Some(message)),
            Some(Err(error)) => return untaken(error).map_or(Ok(None), Err),
        }
    }
}

/// Runs a command to its end, or until its client is gone. What is said last; `None`: there is nobody to say it to.
async fn run(command: Command, out: &mut Out, input: &mut In, around: &Surroundings) -> Option<FromCommand> {
    let Command {
        mut leash,
        sink,
        sources,
        terminal,
    } = command;
    let pulse = Pulse::new(Arc::clone(&around.clock));
    let (to_feed, fed) = mpsc::channel(WAITING);
    let last = {
        let hearing = hear(input, to_feed, leash.signaller(), terminal.as_ref(), &pulse);
        let feeding = feed(sink, fed);
        let telling = tell(out, &sources, &mut leash, &pulse, &around.clock);
        tokio::select! {
            // It ended by itself, or its client does not read any more.
            told = telling => told,
            // The client left, or says what makes no sense.
            heard = async { tokio::join!(hearing, feeding).0 } => match heard {
                Heard::Gone => Told::Gone,
                Heard::Nonsense(error) => Told::Failed(error),
            },
            () = around.stop.cancelled() => {
                let what = "the server is stopping; the command was ended";
                Told::Failed(UserError::new(ErrorCode::Draining, what).hint("run it again in a moment"))
            }
        }
    };
    match last {
        Told::Exit(exit) => Some(FromCommand::Exit {
            exit_code: exit.shell_code(),
        }),
        Told::Gone => {
            leash.end().await;
            None
        }
        Told::Failed(error) => {
            leash.end().await;
            Some(problem(&error))
        }
    }
}

pub(super) fn text(said: &FromCommand) -> Message {
    Message::Text(serde_json::to_string(said).unwrap_or_default().into())
}

fn problem(error: &UserError) -> FromCommand {
    FromCommand::Error {
        problem: Problem::from(error),
    }
}

pub(super) fn unexpected(what: &str) -> UserError {
    UserError::new(ErrorCode::InvalidInput, what).hint("see how a command is run over a WebSocket in `/docs`")
}
