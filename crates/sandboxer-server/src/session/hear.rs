//! What a client says while its command runs.

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use sandboxer_api::stream::{MESSAGE_LEN, STDIN, Size, ToCommand};
use sandboxer_extension::Signaller;
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Error as SocketError;

use super::attached::unexpected;
use super::pulse::Pulse;
use super::request::window;
use super::streams::{Sink, Terminal};

/// Why a client is not listened to any more.
pub(super) enum Heard {
    /// It left.
    Gone,
    /// It said what makes no sense.
    Nonsense(UserError),
}

/// What goes to a command.
pub(super) enum ForCommand {
    Bytes(Bytes),
    End,
}

/// What a client is told whose message was not taken; nothing: it is gone.
pub(super) fn untaken(error: axum::Error) -> Option<UserError> {
    match *error.into_inner().downcast::<SocketError>().ok()? {
        SocketError::Capacity(_) => Some(too_long()),
        SocketError::Utf8(_) => Some(unexpected("a text message is not UTF-8")),
        _ => None,
    }
}

/// Whether a message is longer than one may be.
pub(super) fn is_too_long(message: &Message) -> bool {
    match message {
        Message::Binary(bytes) => bytes.len() > MESSAGE_LEN,
        Message::Text(text) => text.len() > MESSAGE_LEN,
        _ => false,
    }
}

pub(super) fn too_long() -> UserError {
    let what = format!("a message is longer than {} KiB", MESSAGE_LEN / 1024);
    UserError::new(ErrorCode::TooLarge, what).hint("send it in pieces: the command reads them one after the other")
}

/// Hears what the client says, until it leaves.
pub(super) async fn hear(
    input: &mut SplitStream<WebSocket>,
    to_feed: mpsc::Sender<ForCommand>,
    signaller: Option<Signaller>,
    terminal: Option<&Terminal>,
    pulse: &Pulse,
) -> Heard {
    loop {
        let message = match input.next().await {
            Some(Ok(message)) if is_too_long(&message) => return Heard::Nonsense(too_long()),
            Some(Ok(message)) => message,
            Some(Err(error)) => return untaken(error).map_or(Heard::Gone, Heard::Nonsense),
            None => return Heard::Gone,
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
pub(super) async fn feed(sink: Sink, mut fed: mpsc::Receiver<ForCommand>) {
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
