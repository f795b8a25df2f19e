//! Creations with an idempotency key: the same key and request come to the same sandbox, however often the request is made
//! and whatever became of its callers. A creation that was undone gives its key back: nothing of it exists.

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_store::{KeyChange, KeyRecord};
use serde_json::json;

use crate::api::{CreateRequest, Created, Progress};
use crate::engine::Engine;

/// Characters of a key at most.
const KEY_LEN: usize = 255;

impl Engine {
    /// The key of a request as it is stored; `None` without one. Projects and owners do not see each other's keys.
    ///
    /// # Errors
    /// `InvalidInput` when it is no key.
    pub(crate) fn key_of(&self, req: &CreateRequest) -> Result<Option<KeyRecord>, UserError> {
        let Some(key) = &req.idempotency_key else {
            return Ok(None);
        };
        if key.is_empty() || key.len() > KEY_LEN || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("an idempotency key is 1 to {KEY_LEN} visible ASCII characters without spaces");
            return Err(UserError::new(ErrorCode::InvalidInput, what).hint("a random UUID is a good one"));
        }
        let project = req.consumer.project.as_deref().unwrap_or("");
        let mut asked = json!({
            "profile": req.profile, "inputs": req.inputs, "consumer": req.consumer, "scope": req.scope, "ttl": req.ttl,
            "host": req.host, "labels": req.labels, "working_dir": req.working_dir,
        });
        if !req.directories.is_empty()
            && let Some(asked) = asked.as_object_mut()
        {
            asked.insert("directories".to_owned(), json!(req.directories));
        }
        let apart = match &req.owner {
            None => json!([project, key]),
            Some(owner) => json!([project, owner, key]),
        };
        Ok(Some(KeyRecord {
            key: apart.to_string(),
            digest: format!("blake3:{}", blake3::hash(asked.to_string().as_bytes()).to_hex()),
        }))
    }

    /// What came of an earlier request with this key; waits for it while it is being made. `None`: there was none, or
    /// nothing is left of it.
    ///
    /// # Errors
    /// `KeyConflict` when that was another request, and those of the store.
    pub(crate) async fn answered(
        &self,
        key: Option<&KeyRecord>,
        wait: Wait,
        progress: &dyn Progress,
    ) -> Result<Option<Created>, UserError> {
        let Some(key) = key else { return Ok(None) };
        loop {
            let Some((digest, id)) = self.ports.store.key(&key.key).await? else {
                return Ok(None);
            };
            if digest != key.digest {
                return Err(conflict(&id));
            }
            let sandbox = self.ports.store.sandbox(&id).await?.sandbox;
            match &sandbox.operation_id {
                Some(operation) if wait == Wait::Yes && sandbox.ready_at.is_none() => {
                    let stuck = self.ports.store.operation(operation).await?.status
                        == sandboxer_model::operation::OperationStatus::Stuck;
                    if stuck {
                        return Ok(Some(Created::replayed(sandbox)));
                    }
                    self.outlast(operation, progress).await?;
                }
                _ => return Ok(Some(Created::replayed(sandbox))),
            }
        }
    }
}

/// Whether to wait for what is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until it is ready or gone.
    Yes,
    /// It was accepted; that is enough.
    No,
}

/// What the first commit of a creation does about its key.
pub(crate) fn take(key: Option<&KeyRecord>) -> KeyChange {
    key.cloned().map_or(KeyChange::Keep, KeyChange::Take)
}

fn conflict(id: &SandboxId) -> UserError {
    let what = format!("this idempotency key was used for another request, which made {id}");
    UserError::new(ErrorCode::KeyConflict, what).hint("use another key for another request")
}
