//! The body of a request, as an archive that is being unpacked.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use sandboxer_api::request::Upload;
use sandboxer_engine::api::Viewer;
use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::UploadId;
use tokio::sync::Semaphore;

use super::keep::{Keep, Kept, Maker, Moment};
use super::refusal::Refusal;
use super::stream::{Incoming, channel, pass};
use super::unpack::{Limits, unpack};

/// Archives that are unpacked at once: each has a thread.
const AT_ONCE: usize = 8;
/// Bytes of an archive at most: its files, and what is said about them.
const MOST_STREAM: u64 = 3 << 30;

/// Takes uploads in.
#[derive(Clone)]
pub(crate) struct Receiver {
    keep: Keep,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    room: Arc<Semaphore>,
}

impl Receiver {
    /// For uploads that are kept there.
    pub(crate) fn new(keep: Keep, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Receiver {
        Receiver {
            keep,
            clock,
            ids,
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The uploads that are there.
    pub(crate) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// The directory of an upload that a viewer may see, to be an input of a create.
    ///
    /// # Errors
    /// `NotFound`: there is none, it is another's, or it is past its time.
    pub(crate) fn resolve(&self, viewer: &Viewer, id: &str) -> Result<PathBuf, UserError> {
        self.keep.resolve(viewer, id, &Moment::of(self.clock.as_ref()))
    }

    /// Unpacks an archive and keeps it. What is refused or breaks off leaves nothing, whatever becomes of who sent it.
    ///
    /// # Errors
    /// `InvalidInput`, `TooLarge`, `Usage` when it broke off, `RateLimited`, `QuotaExceeded`, `Unavailable` when it cannot be
    /// written.
    pub(crate) async fn receive(&self, maker: Maker, body: Body) -> Result<Upload, UserError> {
        let Ok(turn) = Arc::clone(&self.room).try_acquire_owned() else {
            let what = format!("{AT_ONCE} uploads are being unpacked already");
            return Err(UserError::new(ErrorCode::RateLimited, what).hint("try again in a moment"));
        };
        let (to, from) = channel();
        let me = self.clone();
        let unpacking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            me.unpack(maker, from)
        });
        pass(body, to, self.clock.as_ref(), MOST_STREAM).await;
        let kept = unpacking.await.unwrap_or_else(|error| {
            let what = format!("unpacking broke off: {error}");
            Err(UserError::new(ErrorCode::Internal, what))
        })?;
        Ok(Upload {
            upload_id: kept.upload_id.to_string(),
            entries: kept.entries,
            bytes: kept.bytes,
            expires_at: kept.expires_at,
        })
    }

    fn unpack(&self, maker: Maker, from: Incoming) -> Result<Kept, UserError> {
        self.keep.admit(&maker)?;
        let id = UploadId::from_uuid(self.ids.uuid());
        let at = self.keep.begin(&id).map_err(Refusal::Unwritten)?;
        let kept = unpack(from, &at, Limits::USUAL).and_then(|what| {
            let at = Moment::of(self.clock.as_ref());
            self.keep
                .complete(id.clone(), maker, what, &at)
                .map_err(Refusal::Unwritten)
        });
        if kept.is_err() {
            self.keep.abandon(&id);
        }
        Ok(kept?)
    }
}
