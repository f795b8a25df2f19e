//! Calls to other services: event sinks, webhooks, providers.

use std::time::Duration;

/// One request to another service.
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    /// `POST`, `GET` …
    pub method: String,
    /// Where.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// The call returns within this time.
    pub timeout: Duration,
}

/// What came back. Hostile data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundReply {
    /// HTTP status.
    pub status: u16,
    /// Body, capped.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer from {url}: {why}")]
pub struct OutboundError {
    /// Where.
    pub url: String,
    /// Why.
    pub why: String,
}

/// Sends requests to other services.
#[async_trait::async_trait]
pub trait Outbound: Send + Sync {
    /// Sends one request.
    ///
    /// # Errors
    /// Nothing came back in time.
    async fn send(&self, request: OutboundRequest) -> Result<OutboundReply, OutboundError>;
}
