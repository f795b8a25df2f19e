//! What an operation answers.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use sandboxer_api::problem::{MEDIA_TYPE, Problem};
use sandboxer_model::error::{ErrorCode, UserError};
use serde::Serialize;

/// An answer under construction.
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    content: Content,
}

/// What an answer carries.
pub(crate) enum Content {
    /// Bytes that are all there, and can be kept for an `Idempotency-Key`.
    Whole(Vec<u8>),
    /// Whatever comes.
    Streamed(Body),
    /// An answer that was made by somebody else, such as an upgrade.
    Ready(Box<Response<Body>>),
}

impl Answer {
    /// JSON.
    ///
    /// # Errors
    /// A value that cannot be written as JSON: a bug.
    pub(crate) fn json<T: Serialize>(status: u16, value: &T) -> Result<Answer, UserError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| UserError::new(ErrorCode::Internal, format!("an answer cannot be written: {error}")))?;
        Ok(Answer::bytes(status, "application/json", bytes))
    }

    /// Bytes of this media type.
    pub(crate) fn bytes(status: u16, media_type: &'static str, bytes: Vec<u8>) -> Answer {
        Answer::with(status, Content::Whole(bytes)).header(CONTENT_TYPE, media_type)
    }

    /// Bytes of this media type, as they come.
    pub(crate) fn stream(status: u16, media_type: &'static str, body: Body) -> Answer {
        Answer::with(status, Content::Streamed(body)).header(CONTENT_TYPE, media_type)
    }

    /// Nothing but a status.
    pub(crate) fn empty(status: u16) -> Answer {
        Answer::with(status, Content::Whole(Vec::new()))
    }

    /// An answer that somebody else made.
    pub(crate) fn ready(response: Response<Body>) -> Answer {
        let status = response.status().as_u16();
        Answer::with(status, Content::Ready(Box::new(response)))
    }

    /// A problem.
    pub(crate) fn problem(error: &UserError) -> Answer {
        Answer::problem_as(error.code.http_status(), error)
    }

    /// A problem with another status than its code has.
    pub(crate) fn problem_as(status: u16, error: &UserError) -> Answer {
        let problem = Problem {
            status,
            ..Problem::from(error)
        };
        let bytes = serde_json::to_vec(&problem).unwrap_or_default();
        Answer::bytes(status, MEDIA_TYPE, bytes)
    }

    fn with(status: u16, content: Content) -> Answer {
        Answer {
            status,
            headers: HeaderMap::new(),
            content,
        }
    }

    /// With this header. A value that no header can carry is left out.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With the version of the thing it shows.
    #[must_use]
    pub(crate) fn etag(self, revision: u64) -> Answer {
        self.header(ETAG, &format!("\"{revision}\""))
    }

    /// With the place of the thing it is about.
    #[must_use]
    pub(crate) fn location(self, path: &str) -> Answer {
        self.header(LOCATION, path)
    }

    /// Its status.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Its bytes, where they are all there.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Whole(bytes) => Some(bytes),
            Content::Streamed(_) | Content::Ready(_) => None,
        }
    }

    /// As HTTP sends it.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = match self.content {
            Content::Whole(bytes) => Response::new(Body::from(bytes)),
            Content::Streamed(body) => Response::new(body),
            Content::Ready(response) => *response,
        };
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().extend(self.headers);
        response
    }
}
