//! Commands inside, over a WebSocket: bytes both ways as fast as the slower side takes them, signals, sizes, the exit code.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::AUTHORIZATION;
use sandboxer_api::stream::{FromCommand, MESSAGE_LEN, STDERR, STDIN, STDOUT, Size, Start, ToCommand};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use serde::Serialize;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::address::part;
use crate::connection::Connection;
use crate::error::{garbled, late, refused, unreachable};
use crate::retry::{Failure, Repeat, Tries};
use crate::tls;
use crate::transport::{CONNECT, Client};

type Socket = WebSocketStream<Connection>;

/// A command that was asked for and may have started.
pub struct Exec {
    socket: Socket,
    client: Client,
}

/// What goes to a command.
pub struct Input {
    sink: SplitSink<Socket, Message>,
    client: Client,
}

/// What comes from a command.
pub struct Outputs {
    stream: SplitStream<Socket>,
    client: Client,
}

/// One thing that came from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// It runs; its process id inside.
    Started(u32),
    /// It printed this, or its terminal shows it.
    Stdout(Bytes),
    /// It printed this as an error.
    Stderr(Bytes),
    /// It ended, with what a shell would report; nothing comes after it.
    Exit(u8),
}

const WHAT: &str = "a command";

impl Client {
    /// Runs a command with its input and output here. It is killed when this connection ends.
    ///
    /// # Errors
    /// Those of the server, `Unavailable`.
    pub async fn attach(&self, id: &SandboxId, start: &Start) -> Result<Exec, UserError> {
        let mut socket = self.open_socket(id).await?;
        send(&mut socket, text(start)?)
            .await
            .map_err(|error| broken(self, &error))?;
        Ok(Exec {
            socket,
            client: self.clone(),
        })
    }

    /// Nothing runs before the first message, so that all of this can be tried again.
    async fn open_socket(&self, id: &SandboxId) -> Result<Socket, UserError> {
        let shared = &self.shared;
        let mut tries = Tries::new(&*shared.clock, &*shared.ids);
        loop {
            let (failure, error) = match self.open_once(id, tries.count + 1).await {
                Ok(socket) => return Ok(socket),
                Err(failed) => failed,
            };
            match failure {
                Some(failure) if tries.again(failure, Repeat::Safe).await => {}
                _ => return Err(error),
            }
        }
    }

    async fn open_once(&self, id: &SandboxId, tries: u32) -> Result<Socket, (Option<Failure>, UserError)> {
        let shared = &self.shared;
        let address = &shared.address;
        let url = address
            .url(&format!("v1/sandboxes/{}/exec", part(id.as_str())))
            .map_err(|error| (None, error))?;
        let url = url.as_str().replacen("http", "ws", 1);
        let internal = |why: String| (None, UserError::new(ErrorCode::Internal, why));
        let mut request = url
            .into_client_request()
            .map_err(|error| internal(format!("no request for a command: {error}")))?;
        if let Some(key) = &shared.key {
            request.headers_mut().insert(AUTHORIZATION, key.header());
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(2 * MESSAGE_LEN))
            .max_frame_size(Some(2 * MESSAGE_LEN));
        let opened = async {
            let connection = Connection::open(shared).await.map_err(WsError::Io)?;
            tokio_tungstenite::client_async_with_config(request, connection, Some(config)).await
        };
        let opened = tokio::select! {
            opened = opened => opened,
            () = shared.clock.sleep(CONNECT) => return Err((Some(Failure::Unheard(None)), late(address, WHAT, CONNECT.as_secs()))),
        };
        match opened {
            Ok((socket, _)) => Ok(socket),
            Err(WsError::Http(answer)) => {
                let status = answer.status().as_u16();
                let pause = answer
                    .headers()
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok()?.parse::<u32>().ok())
                    .map(|seconds| std::time::Duration::from_secs(u64::from(seconds)));
                let body = answer.body().as_deref().unwrap_or_default();
                let again = matches!(status, 429 | 503).then_some(Failure::Unheard(pause));
                Err((again, refused(address, WHAT, status, body)))
            }
            Err(WsError::Io(error)) => {
                let lasting = tls::is_about_trust(&error);
                let told = unreachable(address, WHAT, &plain(&error), tries);
                Err(((!lasting).then_some(Failure::Unheard(None)), told))
            }
            Err(error) => Err((None, garbled(address, WHAT, &error.to_string()))),
        }
    }
}

impl Exec {
    /// Both directions, to be used at the same time.
    pub fn split(self) -> (Input, Outputs) {
        let (sink, stream) = self.socket.split();
        let input = Input {
            sink,
            client: self.client.clone(),
        };
        let outputs = Outputs {
            stream,
            client: self.client,
        };
        (input, outputs)
    }
}

impl Input {
    /// Sends bytes to be read; waits while the command does not read.
    ///
    /// # Errors
    /// `Unavailable`: the connection broke.
    pub async fn stdin(&mut self, bytes: &[u8]) -> Result<(), UserError> {
        for chunk in bytes.chunks(MESSAGE_LEN - 1) {
            let mut message = BytesMut::with_capacity(chunk.len() + 1);
            message.put_u8(STDIN);
            message.put_slice(chunk);
            self.send(Message::Binary(message.freeze())).await?;
        }
        Ok(())
    }

    /// Says that nothing more is to be read.
    ///
    /// # Errors
    /// As [`Input::stdin`].
    pub async fn end(&mut self) -> Result<(), UserError> {
        self.tell(ToCommand::StdinEnd).await
    }

    /// Says that the terminal has another size.
    ///
    /// # Errors
    /// As [`Input::stdin`].
    pub async fn resize(&mut self, size: Size) -> Result<(), UserError> {
        let Size { rows, columns } = size;
        self.tell(ToCommand::Resize { rows, columns }).await
    }

    /// Sends a signal, by its number on Linux.
    ///
    /// # Errors
    /// As [`Input::stdin`].
    pub async fn signal(&mut self, signal: u8) -> Result<(), UserError> {
        self.tell(ToCommand::Signal { signal }).await
    }

    async fn tell(&mut self, what: ToCommand) -> Result<(), UserError> {
        self.send(text(&what)?).await
    }

    async fn send(&mut self, message: Message) -> Result<(), UserError> {
        self.sink
            .send(message)
            .await
            .map_err(|error| broken(&self.client, &error))
    }
}

impl Outputs {
    /// What comes next.
    ///
    /// # Errors
    /// Why the command could not be started or its end cannot be told; `Unavailable` when the connection broke.
    pub async fn next(&mut self) -> Result<Output, UserError> {
        loop {
            let message = match self.stream.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(broken(&self.client, &error)),
                None => return Err(broken(&self.client, &WsError::ConnectionClosed)),
            };
            let senseless = |why: &str| garbled(&self.client.shared.address, WHAT, why);
            match message {
                Message::Binary(mut bytes) if !bytes.is_empty() => {
                    let rest = bytes.split_off(1);
                    match bytes.first() {
                        Some(&STDOUT) => return Ok(Output::Stdout(rest)),
                        Some(&STDERR) => return Ok(Output::Stderr(rest)),
                        _ => return Err(senseless("bytes of a stream that it does not have")),
                    }
                }
                Message::Text(told) => {
                    let told: FromCommand =
                        serde_json::from_str(told.as_str()).map_err(|error| senseless(&error.to_string()))?;
                    return match told {
                        FromCommand::Started { pid } => Ok(Output::Started(pid)),
                        FromCommand::Exit { exit_code } => Ok(Output::Exit(exit_code)),
                        FromCommand::Error { problem } => Err(problem.into()),
                    };
                }
                Message::Close(_) => return Err(broken(&self.client, &WsError::ConnectionClosed)),
                _ => {}
            }
        }
    }
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), WsError> {
    socket.send(message).await
}

fn text(value: &impl Serialize) -> Result<Message, UserError> {
    serde_json::to_string(value)
        .map(|text| Message::Text(text.into()))
        .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot write the request: {error}")))
}

fn plain(error: &std::io::Error) -> String {
    crate::error::innermost(error)
}

fn broken(client: &Client, error: &WsError) -> UserError {
    let why = match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => "the connection ended".to_owned(),
        WsError::Io(error) => plain(error),
        other => other.to_string(),
    };
    let what = format!(
        "the way to the command through {} broke, so its end cannot be told: {why}",
        client.shared.address
    );
    UserError::new(ErrorCode::Unavailable, what)
        .hint("the server kills it when nobody listens any more; see `sandboxer get` for what became of the sandbox")
}
