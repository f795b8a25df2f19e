//! A command over a WebSocket, as [`sandboxer_api::stream`] describes it. Both directions are bounded: who reads slowly slows the
//! command, and a command that reads slowly slows whoever feeds it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use sandboxer_api::problem::Problem;
use sandboxer_api::stream::{FromCommand, MESSAGE_LEN, STDERR, STDIN, STDOUT, Size, Start, ToCommand};
use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::port::Clock;
use sandboxer_extension::{ExecExit, ExecStdio, Signaller};
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::leash::Leash;
use super::pulse::Pulse;
use super::request::{Wanted, window};
use super::streams::{Pipes, Sink, Source, Terminal};
use super::unary::no_pipes;

/// Commands over WebSockets at once.
const AT_ONCE: usize = 512;
/// How long a client may take to say what to run.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// How often the other side is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// How often it is looked whether that is due.
const TICK: Duration = Duration::from_secs(2);
/// After so much silence it is not.
const DEAD: Duration = Duration::from_secs(60);
/// How long one message may be on its way: a reader may be slow, and not gone.
const STALLED: Duration = Duration::from_secs(300);
/// What takes longer to send waited for the other side.
const LATE: Duration = Duration::from_secs(1);
/// How long output may follow the end of a command whose terminal others still hold.
const TRAILING: Duration = Duration::from_millis(500);
/// Messages for the command that wait here; the next is not taken from the connection before one was written.
const WAITING: usize = 4;
/// Bytes that are read of a stream at a time.
const CHUNK: usize = 32 * 1024;

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
        () = around.clock.sleep(FIRST_MESSAGE) => {}
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
    let Some(first) = first else { return Ok(None) };
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

/// The first message that says something.
async fn first(input: &mut In) -> Option<Message> {
    loop {
        match input.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(message)) => return Some(message),
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
        let telling = tell(out, &sources, &mut leash, &pulse, around);
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

/// Why a client is not listened to any more.
enum Heard {
    /// It left.
    Gone,
    /// It said what makes no sense.
    Nonsense(UserError),
}

/// What goes to a command.
enum ForCommand {
    Bytes(Bytes),
    End,
}

/// Hears what the client says, until it leaves.
async fn hear(
    input: &mut In,
    to_feed: mpsc::Sender<ForCommand>,
    signaller: Option<Signaller>,
    terminal: Option<&Terminal>,
    pulse: &Pulse,
) -> Heard {
    loop {
        let message = match input.next().await {
            Some(Ok(message)) => message,
            Some(Err(_)) | None => return Heard::Gone,
        };
        pulse.beat();
        let fed = match message {
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return Heard::Gone,
            Message::Binary(mut bytes) => {
                if bytes.first() != Some(&STDIN) {
                    return Heard::Nonsense(unexpected("a binary message is not for the input of the command"));
                }
                ForCommand::Bytes(bytes.split_off(1))
            }
            Message::Text(text) => match crate::body::parse(text.as_str().as_bytes()) {
                Ok(ToCommand::StdinEnd) => ForCommand::End,
                Ok(ToCommand::Resize { rows, columns }) => {
                    match (window(Size { rows, columns }), terminal) {
                        (Ok(size), Some(terminal)) => drop(terminal.resize(size)),
                        (Ok(_), None) => return Heard::Nonsense(unexpected("the command has no terminal")),
                        (Err(error), _) => return Heard::Nonsense(error),
                    }
                    continue;
                }
                Ok(ToCommand::Signal { signal }) => {
                    if !(1..=64).contains(&signal) {
                        return Heard::Nonsense(unexpected("a signal is not between 1 and 64"));
                    }
                    if let Some(signaller) = &signaller {
                        let _ = signaller(signal);
                    }
                    continue;
                }
                Err(error) => return Heard::Nonsense(error),
            },
        };
        // Waits while the command does not read; what it does not want any more is dropped.
        let _ = pulse.deaf_during(to_feed.send(fed)).await;
    }
}

/// Writes what the client sent, as fast as the command reads. Goes on until the client is done, whatever the command does.
async fn feed(sink: Sink, mut fed: mpsc::Receiver<ForCommand>) {
    let mut sink = Some(sink);
    while let Some(next) = fed.recv().await {
        match (next, &mut sink) {
            (ForCommand::Bytes(bytes), Some(open)) => {
                // Nobody reads it any more: as with a shell's pipes, the rest has nowhere to go.
                if open.write(&bytes).await.is_err() {
                    sink = None;
                }
            }
            (ForCommand::End, open) => {
                if let Some(open) = open.take() {
                    open.end().await;
                }
            }
            (ForCommand::Bytes(_), None) => {}
        }
    }
}

/// What telling came to.
enum Told {
    /// The command ended, and all it printed was sent.
    Exit(ExecExit),
    /// Nobody is there to be told.
    Gone,
    /// What became of the command cannot be told, or must not be.
    Failed(UserError),
}

/// Sends what the command prints, until it ended.
async fn tell(
    out: &mut Out,
    sources: &[(u8, Source)],
    leash: &mut Leash,
    pulse: &Pulse,
    around: &Surroundings,
) -> Told {
    let clock = &around.clock;
    if send(out, text(&FromCommand::Started { pid: leash.pid() }), clock)
        .await
        .is_err()
    {
        return Told::Gone;
    }
    let mut open: Vec<&(u8, Source)> = sources.iter().collect();
    let mut next_ping = clock.monotonic() + PING;
    let exit = loop {
        let until_ping = next_ping.saturating_sub(clock.monotonic());
        let message = tokio::select! {
            exit = leash.wait() => match exit {
                Ok(exit) => break exit,
                Err(error) => return Told::Failed(error),
            },
            (number, read) = any(&open), if !open.is_empty() => match read {
                Some(message) => message,
                None => {
                    open.retain(|(other, _)| *other != number);
                    continue;
                }
            },
            () = clock.sleep(until_ping.min(TICK)) => {
                if pulse.silent_for() > DEAD {
                    return Told::Gone;
                }
                // Where nobody listens, only what is sent shows that there is nobody to take it.
                if clock.monotonic() < next_ping && !pulse.is_deaf() {
                    continue;
                }
                next_ping = clock.monotonic() + PING;
                Message::Ping(Bytes::new())
            }
        };
        // Who takes a message late takes late what it is asked.
        let began = clock.monotonic();
        if send(out, message, clock).await.is_err() {
            return Told::Gone;
        }
        if clock.monotonic().saturating_sub(began) > LATE {
            pulse.beat();
        }
    };
    match rest(out, &open, clock).await {
        Ok(()) => Told::Exit(exit),
        Err(Gone) => Told::Gone,
    }
}

/// What is left in the streams of a command that ended.
async fn rest(out: &mut Out, open: &[&(u8, Source)], clock: &Arc<dyn Clock>) -> Result<(), Gone> {
    for (number, source) in open {
        if let Source::Terminal(_) = source {
            // What was written to a terminal takes a moment to come out of it.
            let until = clock.monotonic() + TRAILING;
            loop {
                let left = until.saturating_sub(clock.monotonic());
                let message = tokio::select! {
                    message = read(*number, source) => message,
                    () = clock.sleep(left) => None,
                };
                match message {
                    Some(message) => send(out, message, clock).await?,
                    None => break,
                }
            }
        }
        // What a pipe holds: others may go on writing, and are not waited for.
        let mut left: usize = 2 * 1024 * 1024;
        let mut buffer = BytesMut::zeroed(CHUNK);
        while let Ok(Some(count)) = source.read_now(&mut buffer)
            && count > 0
            && left > 0
        {
            left = left.saturating_sub(count);
            let chunk = buffer.get(..count).unwrap_or_default();
            send(out, output(*number, chunk), clock).await?;
        }
    }
    Ok(())
}

/// The next of what is printed on any stream; nothing: that stream ended.
async fn any(open: &[&(u8, Source)]) -> (u8, Option<Message>) {
    match open {
        [(number, source)] => (*number, read(*number, source).await),
        [(first, from_first), (second, from_second), ..] => tokio::select! {
            message = read(*first, from_first) => (*first, message),
            message = read(*second, from_second) => (*second, message),
        },
        [] => std::future::pending().await,
    }
}

async fn read(number: u8, source: &Source) -> Option<Message> {
    source.ready().await.ok()?;
    let mut buffer = BytesMut::zeroed(CHUNK);
    match source.read(&mut buffer).await {
        Ok(count) if count > 0 => Some(output(number, buffer.get(..count).unwrap_or_default())),
        _ => None,
    }
}

fn output(number: u8, chunk: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(chunk.len() + 1);
    message.put_u8(number);
    message.extend_from_slice(chunk);
    Message::Binary(message.freeze())
}

/// The other side is gone.
struct Gone;

/// Hands a message to the connection, which takes it when the other side reads.
async fn send(out: &mut Out, message: Message, clock: &Arc<dyn Clock>) -> Result<(), Gone> {
    tokio::select! {
        sent = out.send(message) => sent.map_err(|_| Gone),
        () = clock.sleep(STALLED) => Err(Gone),
    }
}

fn text(said: &FromCommand) -> Message {
    Message::Text(serde_json::to_string(said).unwrap_or_default().into())
}

fn problem(error: &UserError) -> FromCommand {
    FromCommand::Error {
        problem: Problem::from(error),
    }
}

fn unexpected(what: &str) -> UserError {
    UserError::new(ErrorCode::InvalidInput, what).hint("see how a command is run over a WebSocket in `/docs`")
}

const _: () = assert!(CHUNK < MESSAGE_LEN);
