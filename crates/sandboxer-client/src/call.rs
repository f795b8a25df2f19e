//! One request as it is to be sent.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use sandboxer_model::error::{ErrorCode, UserError};
use serde::Serialize;

use crate::files::MakeBody;
use crate::retry::Repeat;

/// How long an answer may take where nothing long is asked for.
const USUAL: Duration = Duration::from_secs(30);

/// What is sent.
pub(crate) enum Payload {
    /// Nothing.
    None,
    /// JSON.
    Json(Bytes),
    /// A stream that can be made anew for each try, of this media type.
    Stream(MakeBody, &'static str),
}

/// What is to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// JSON, whole.
    Json,
    /// Bytes of this media type as they come.
    Stream(&'static str),
}

/// One request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) repeat: Repeat,
    pub(crate) timeout: Duration,
    pub(crate) wanted: Wanted,
}

impl Call {
    /// A request that only reads. `path` has no leading `/`, and its parts are escaped.
    pub(crate) fn get(path: impl Into<String>) -> Call {
        Call::new(Method::GET, path.into(), Repeat::Safe)
    }

    /// A request that is made with a key of idempotency.
    pub(crate) fn post(path: impl Into<String>) -> Call {
        Call::new(Method::POST, path.into(), Repeat::Safe)
    }

    /// A POST whose answer no server keeps, since there is a secret in it.
    pub(crate) fn once(path: impl Into<String>) -> Call {
        Call::new(Method::POST, path.into(), Repeat::Unsafe)
    }

    /// Any other request: tried again only where it was not heard.
    pub(crate) fn other(method: Method, path: impl Into<String>) -> Call {
        Call::new(method, path.into(), Repeat::Unsafe)
    }

    fn new(method: Method, path: String, repeat: Repeat) -> Call {
        Call {
            method,
            path,
            query: Vec::new(),
            headers: HeaderMap::new(),
            payload: Payload::None,
            repeat,
            timeout: USUAL,
            wanted: Wanted::Json,
        }
    }

    /// Asking twice comes to the same as asking once.
    pub(crate) fn repeatable(mut self) -> Call {
        self.repeat = Repeat::Safe;
        self
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn query_if(self, name: &'static str, value: Option<impl Into<String>>) -> Call {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// A header; one that no header can be is left out.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Call {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Call, UserError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot write the request: {error}")))?;
        self.payload = Payload::Json(bytes.into());
        Ok(self)
    }

    pub(crate) fn stream(mut self, body: MakeBody, media: &'static str) -> Call {
        self.payload = Payload::Stream(body, media);
        self
    }

    /// How long the whole of it may take.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Call {
        self.timeout = timeout;
        self
    }

    pub(crate) fn wanted(mut self, wanted: Wanted) -> Call {
        self.wanted = wanted;
        self
    }

    /// What is asked for, in words.
    pub(crate) fn what(&self) -> String {
        format!("{} /{}", self.method, self.path)
    }
}
