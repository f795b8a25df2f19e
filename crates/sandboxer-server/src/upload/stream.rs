//! The body of a request, as something a thread reads. One chunk waits between the two, so that a slow disk slows the sender.

use std::io::{self, Read};

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use sandboxer_extension::port::Clock;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long nothing may come.
const SILENT: Duration = Duration::from_secs(60);

/// The reading end.
pub(super) struct Incoming {
    from: mpsc::Receiver<io::Result<Bytes>>,
    here: Bytes,
}

/// The two ends of a stream.
pub(super) fn channel() -> (mpsc::Sender<io::Result<Bytes>>, Incoming) {
    let (to, from) = mpsc::channel(1);
    let here = Bytes::new();
    (to, Incoming { from, here })
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.here.is_empty() {
            match self.from.blocking_recv() {
                // The sender says when it is at its end: whoever just goes away is not.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Ok(bytes)) if bytes.is_empty() => return Ok(0),
                Some(Ok(bytes)) => self.here = bytes,
                Some(Err(error)) => return Err(error),
            }
        }
        let count = self.here.len().min(buffer.len());
        self.here.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Passes a body on to its end, and says that it is one; stops when nobody reads any more.
pub(super) async fn pass(mut body: Body, to: mpsc::Sender<io::Result<Bytes>>, clock: &dyn Clock, most: u64) {
    let mut passed: u64 = 0;
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = clock.sleep(SILENT) => Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))),
            () = to.closed() => return,
        };
        let next = match frame {
            None => Ok(Bytes::new()),
            Some(Err(_)) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the body of the request broke off",
            )),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => {
                    passed = passed.saturating_add(data.len() as u64);
                    Ok(data)
                }
                Err(_) => continue,
            },
        };
        let next = match next {
            Ok(_) if passed > most => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is longer than any that is taken",
            )),
            other => other,
        };
        let is_last = next.as_ref().map_or(true, Bytes::is_empty);
        if to.send(next).await.is_err() || is_last {
            return;
        }
    }
}
