//! One call of an operation: who calls, what was sent, and the server it is for.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use sandboxer_api::identity::Identity;
use sandboxer_engine::Engine;
use sandboxer_engine::api::{Meant, Seen, Viewer};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::sandbox::Actor;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::query;
use crate::state::State;

/// A call whose caller is known and may make it.
pub(crate) struct Call {
    pub(crate) state: Arc<State>,
    /// Who calls; `None` where no key is needed.
    pub(crate) identity: Option<Identity>,
    /// Parameters of the path.
    pub(crate) path: BTreeMap<String, String>,
    /// What was sent before the body.
    pub(crate) parts: Parts,
    /// What was sent, where it was JSON.
    pub(crate) json: Option<Bytes>,
    /// What is being sent, where it is streamed. Behind a lock for its type's sake: one call has one user at a time.
    pub(crate) stream: Mutex<Option<Body>>,
    /// Closed when the caller went away.
    pub(crate) caller: watch::Receiver<()>,
    /// What the caller calls this request.
    pub(crate) request_id: String,
    /// What this is about, for the audit log, once it is known.
    pub(crate) object: crate::audit::Object,
}

/// A sandbox that is to be changed, as its caller may see it.
pub(crate) struct ToChange {
    seen: Seen,
    /// The versions it may be at; `None`: any.
    revisions: Option<Vec<u64>>,
}

impl ToChange {
    pub(crate) fn id(&self) -> &SandboxId {
        &self.seen.sandbox.sandbox_id
    }

    /// For the engine, which compares the version with the one it writes on.
    pub(crate) fn meant(&self) -> Meant<'_> {
        Meant {
            id: self.id().as_str(),
            revisions: self.revisions.as_deref(),
        }
    }
}

impl Call {
    /// The engine.
    pub(crate) fn engine(&self) -> &'static Engine {
        self.state.engine
    }

    /// What is being sent, once.
    pub(crate) fn take_stream(&self) -> Option<Body> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What the caller may see.
    pub(crate) fn viewer(&self) -> Viewer {
        viewer(self.identity.as_ref())
    }

    /// Waits until the caller went away.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut caller = self.caller.clone();
        async move { while caller.changed().await.is_ok() {} }
    }

    /// Who calls.
    ///
    /// # Errors
    /// Nobody that is known: a bug, since routes say who may call.
    pub(crate) fn who(&self) -> Result<&Identity, UserError> {
        self.identity.as_ref().ok_or_else(|| {
            UserError::new(
                ErrorCode::Internal,
                "an operation that needs a key was called without one",
            )
        })
    }

    /// A parameter of the path.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The id that is a parameter of the path.
    ///
    /// # Errors
    /// `NotFound`, in the same words as for one that does not exist.
    pub(crate) fn id<T: FromStr>(&self) -> Result<T, UserError> {
        self.parameter("id").parse().map_err(|_| unseen())
    }

    /// The sandbox in the path, if the caller may see it. Nothing is compared.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn sandbox(&self) -> Result<Seen, UserError> {
        let id: SandboxId = self.id()?;
        self.object.set(id.as_str());
        self.engine().find(&id, &self.viewer()).await.map_err(hidden)
    }

    /// The same, to be changed: the versions are those that `If-Match` names.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` when the header makes no sense.
    pub(crate) async fn sandbox_to_change(&self) -> Result<ToChange, UserError> {
        let seen = self.sandbox().await?;
        Ok(ToChange {
            revisions: crate::version::if_match(self.headers())?,
            seen,
        })
    }

    /// The same, to be ended or prolonged: a subject may do that to what it made, and not to what others share with it.
    ///
    /// # Errors
    /// Those of [`Call::sandbox_to_change`], and `Forbidden`.
    pub(crate) async fn own_sandbox_to_change(&self) -> Result<ToChange, UserError> {
        let found = self.sandbox_to_change().await?;
        if found.seen.is_own {
            return Ok(found);
        }
        Err(UserError::new(
            ErrorCode::Forbidden,
            "this sandbox is shared with you; only who made it, and automations of the project, may do that",
        ))
    }

    /// Its query. What is wrong names the parameter, never its value.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(crate) fn query<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, UserError> {
        query::read(self.parts.uri.query().unwrap_or(""))
    }

    /// Its body. What is wrong names the member and the place, never the value.
    ///
    /// # Errors
    /// `Usage` for what is no JSON, `InvalidInput`.
    pub(crate) fn body<T: DeserializeOwned>(&mut self) -> Result<T, UserError> {
        match self.json.take() {
            Some(bytes) if !bytes.is_empty() => crate::body::parse(&bytes),
            _ => crate::body::parse(b"{}"),
        }
    }
}

/// What somebody may see: administrators everything, automations their project, agents what is their own or shared.
pub(crate) fn viewer(identity: Option<&Identity>) -> Viewer {
    match identity {
        None => Viewer::default(),
        Some(identity) => Viewer {
            project: identity.project.clone(),
            owner: match identity.role {
                Actor::Agt => Some(identity.name.clone()),
                Actor::Adm | Actor::Atm => None,
            },
        },
    }
}

/// There is no such thing, or it is not the caller's to see: the same words for both.
pub(crate) fn unseen() -> UserError {
    UserError::new(ErrorCode::NotFound, "there is no such thing, or it is not yours to see")
        .hint("list what you can see with `GET /v1/sandboxes?all=true`")
}

/// The same words for whatever was not found.
pub(crate) fn hidden(error: UserError) -> UserError {
    if error.code == ErrorCode::NotFound {
        unseen()
    } else {
        error
    }
}
