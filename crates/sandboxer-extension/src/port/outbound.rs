//! Calls to other services: event sinks, webhooks, providers.

use std::time::Duration;

/// One request to another service.
#[derive(Clone)]
pub struct OutboundRequest {
    /// `POST`, `GET` …
    pub method: String,
    /// Where.
    pub url: String,
    /// Who chose that place.
    pub chosen_by: ChosenBy,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// The call returns within this time.
    pub timeout: Duration,
}

/// Headers may hold credentials, and a body is none of a log's business.
impl std::fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundRequest")
            .field("method", &self.method)
            .field("url", &origin(&self.url))
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Who chose where a request goes: a stranger could have us talk to what only we can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// Whoever runs this, in its own settings: any place.
    Operator,
    /// Whoever uses it: public addresses over TLS, and what the operator lists.
    User,
}

/// What came back. Hostile data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundReply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, capped.
    pub body: Vec<u8>,
}

impl OutboundReply {
    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What of an address may be shown: the service it leads to. Paths, queries and user names are secrets more often than not.
pub fn origin(url: &str) -> &str {
    let Some(begins) = url.find("://").map(|at| at + 3) else {
        return "what is no address";
    };
    let (scheme, rest) = url.split_at(begins);
    let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if host.contains('@') || host.chars().any(char::is_control) {
        return scheme;
    }
    url.get(..begins + host.len()).unwrap_or(scheme)
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer from {}: {why}", origin(url))]
pub struct OutboundError {
    /// Where.
    pub url: String,
    /// How it failed.
    pub kind: OutboundErrorKind,
    /// Why.
    pub why: String,
}

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundErrorKind {
    /// It may not go there; nothing was sent.
    Forbidden,
    /// Nobody was reached; nothing was sent.
    Unreachable,
    /// It may have been heard: the answer did not come, or not whole.
    Lost,
    /// It may have been heard: the time was up.
    TimedOut,
}

/// Sends requests to other services.
#[async_trait::async_trait]
pub trait Outbound: Send + Sync {
    /// Whether requests may go to this place, as far as can be told without asking anybody.
    ///
    /// # Errors
    /// `Forbidden`, with why.
    fn admits(&self, url: &str, chosen_by: ChosenBy) -> Result<(), OutboundError>;

    /// Sends one request. Redirects are answers.
    ///
    /// # Errors
    /// Nothing came back in time.
    async fn send(&self, request: OutboundRequest) -> Result<OutboundReply, OutboundError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_service_is_shown() {
        for (url, shown) in [
            (
                "https://hooks.example:8443/services/T0/secret?a=b",
                "https://hooks.example:8443",
            ),
            ("https://hooks.example", "https://hooks.example"),
            ("https://hooks.example?secret", "https://hooks.example"),
            ("https://user:secret@hooks.example/", "https://"),
            ("https://hooks.example\\secret", "https://hooks.example"),
            ("secret", "what is no address"),
            ("", "what is no address"),
        ] {
            assert_eq!(origin(url), shown);
        }
    }
}
