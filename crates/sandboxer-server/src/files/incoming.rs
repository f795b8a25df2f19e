//! The body of a request, as what a process inside reads: as fast as that takes it. What breaks off changes nothing.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use sandboxer_engine::files::{Incoming, MOST_BYTES};
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::session::streams::Sink;
use crate::session::unary::no_pipes;

/// How long nothing may come.
const SILENT: Duration = Duration::from_secs(60);
/// How long the end inside may take once all of it arrived: an archive of 1 GiB is unpacked then.
const SETTLE: Duration = Duration::from_secs(300);

/// Carries a body inside, to its end or its failure, whatever becomes of who asked for it; its length.
///
/// # Errors
/// `TooLarge`, `Timeout`, `Usage` when the body broke off, and those of [`Incoming::finish`].
pub(crate) async fn carry(
    incoming: Incoming,
    input: OwnedFd,
    body: Body,
    clock: Arc<dyn Clock>,
) -> Result<u64, UserError> {
    let task = tokio::spawn(async move {
        let sink = Sink::of_pipe(input).map_err(no_pipes)?;
        let sent = pour(sink, incoming.seal().to_vec(), body, clock.as_ref()).await;
        let finished = tokio::select! {
            finished = incoming.finish() => finished,
            () = clock.sleep(SETTLE) => {
                let what = format!("what was sent was not in its place after {} s", SETTLE.as_secs());
                Err(UserError::new(ErrorCode::Timeout, what))
            }
        };
        match (sent, finished) {
            // Why it broke off here says more than that it broke off inside.
            (Err(Broken::Here(error)), _) | (_, Err(error)) => Err(error),
            (Ok(bytes), Ok(())) => Ok(bytes),
            (Err(Broken::Inside), Ok(())) => Err(UserError::new(
                ErrorCode::BackendFailed,
                "the sandbox stopped reading before the end",
            )),
        }
    });
    task.await.unwrap_or_else(|error| {
        let what = format!("the transfer broke off: {error}");
        Err(UserError::new(ErrorCode::Internal, what))
    })
}

/// Why a transfer broke off.
enum Broken {
    /// What was to be sent did not come.
    Here(UserError),
    /// Nobody inside reads it any more; why is known at its end.
    Inside,
}

async fn pour(mut sink: Sink, seal: Vec<u8>, mut body: Body, clock: &dyn Clock) -> Result<u64, Broken> {
    let here = |code, what: String| Err(Broken::Here(UserError::new(code, what)));
    let mut sent: u64 = 0;
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = clock.sleep(SILENT) => {
                return here(ErrorCode::Timeout, format!("nothing was sent for {} s", SILENT.as_secs()));
            }
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return here(ErrorCode::Usage, "the body of the request broke off".to_owned()),
            None => break,
        };
        let Ok(data) = frame.into_data() else { continue };
        sent = sent.saturating_add(data.len() as u64);
        if sent > MOST_BYTES {
            return here(ErrorCode::TooLarge, "what is sent is larger than 1 GiB".to_owned());
        }
        sink.write(&data).await.map_err(|_| Broken::Inside)?;
    }
    sink.write(&seal).await.map_err(|_| Broken::Inside)?;
    Ok(sent)
}
