//! What a process inside prints, as the body of an answer: as fast as the client reads, and no further once it left.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::mpsc;

use crate::session::streams::Source;

/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;
/// How long a client may take for one chunk.
const STALLED: Duration = Duration::from_secs(300);

/// The end of what prints: whether all of it was printed.
pub(crate) type End = Pin<Box<dyn Future<Output = Result<(), UserError>> + Send>>;

/// What a process prints, once it printed something or ended well. One that fails before is an error; one that fails later
/// breaks the answer off.
///
/// # Errors
/// Those of `end`.
pub(crate) async fn body(source: Source, end: End, most: u64, clock: Arc<dyn Clock>) -> Result<Body, UserError> {
    let Some(first) = chunk(&source).await? else {
        end.await?;
        return Ok(Body::empty());
    };
    let (to_client, from_here) = mpsc::channel(1);
    tokio::spawn(pump(first, source, end, most, to_client, clock));
    Ok(Body::from_stream(Chunks(from_here)))
}

/// Passes on what is printed until the end. With it goes what it holds of the process, which ends it.
async fn pump(
    first: Bytes,
    source: Source,
    end: End,
    most: u64,
    to_client: mpsc::Sender<Result<Bytes, UserError>>,
    clock: Arc<dyn Clock>,
) {
    let mut next = Some(first);
    let mut sent: u64 = 0;
    while let Some(bytes) = next {
        sent = sent.saturating_add(bytes.len() as u64);
        if sent > most {
            let what = format!("it is larger than {} MiB", most >> 20);
            let _ = to_client.send(Err(UserError::new(ErrorCode::TooLarge, what))).await;
            return;
        }
        let taken = tokio::select! {
            taken = to_client.send(Ok(bytes)) => taken.is_ok(),
            () = clock.sleep(STALLED) => false,
        };
        if !taken {
            return;
        }
        next = tokio::select! {
            chunk = chunk(&source) => match chunk {
                Ok(chunk) => chunk,
                Err(error) => return drop(to_client.send(Err(error)).await),
            },
            () = to_client.closed() => return,
        };
    }
    if let Err(error) = end.await {
        let _ = to_client.send(Err(error)).await;
    }
}

async fn chunk(source: &Source) -> Result<Option<Bytes>, UserError> {
    let read = async {
        source.ready().await?;
        let mut buffer = BytesMut::zeroed(CHUNK);
        let count = source.read(&mut buffer).await?;
        buffer.truncate(count);
        Ok::<Bytes, std::io::Error>(buffer.freeze())
    };
    match read.await {
        Ok(bytes) => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Err(error) => Err(UserError::new(
            ErrorCode::Unavailable,
            format!("what the sandbox prints cannot be read: {error}"),
        )),
    }
}

/// What comes through a channel, as a stream.
struct Chunks(mpsc::Receiver<Result<Bytes, UserError>>);

impl Stream for Chunks {
    type Item = Result<Bytes, UserError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
