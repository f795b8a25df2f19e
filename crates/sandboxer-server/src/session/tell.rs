//! What a command prints, on its way to the client: no faster than that reads, and everything before its end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;
use sandboxer_api::stream::{FromCommand, MESSAGE_LEN};
use sandboxer_extension::ExecExit;
use sandboxer_extension::port::Clock;
use sandboxer_model::error::UserError;

use super::attached::text;
use super::leash::Leash;
use super::pulse::Pulse;
use super::streams::Source;

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
/// Bytes that are read of a stream at a time.
const CHUNK: usize = 32 * 1024;
const _: () = assert!(CHUNK < MESSAGE_LEN);

type Out = SplitSink<WebSocket, Message>;

/// What telling came to.
pub(super) enum Told {
    /// The command ended, and all it printed was sent.
    Exit(ExecExit),
    /// Nobody is there to be told.
    Gone,
    /// What became of the command cannot be told, or must not be.
    Failed(UserError),
}

/// Sends what the command prints, until it ended.
pub(super) async fn tell(
    out: &mut Out,
    sources: &[(u8, Source)],
    leash: &mut Leash,
    pulse: &Pulse,
    clock: &Arc<dyn Clock>,
) -> Told {
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
