//! Sending requests: time-outs, tries, keys of idempotency.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_model::error::{ErrorCode, UserError};
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::answer::Answer;
use crate::call::{Call, Payload, Wanted};
use crate::error::{garbled, innermost, late, refused, unreachable};
use crate::retry::{Failure, Repeat, Tries};
use crate::tls;

/// How long reaching a server may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of an answer that is kept in memory, at most.
const MOST_BYTES: usize = 64 << 20;
/// Bytes of an error, at most.
const MOST_PROBLEM_BYTES: usize = 1 << 20;

/// An API key. Never shown.
#[derive(Clone)]
pub struct ApiKey(HeaderValue);

impl ApiKey {
    /// The key that was given out.
    ///
    /// # Errors
    /// `InvalidInput`: it has characters that none has.
    pub fn new(token: &str) -> Result<ApiKey, UserError> {
        let header = Some(token)
            .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
            .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut header = header.ok_or_else(|| {
            UserError::new(ErrorCode::InvalidInput, "the API key has characters that no key has")
                .hint("write the key as it was printed, sbx_live_…, into SANDBOXER_API_KEY")
        })?;
        header.set_sensitive(true);
        Ok(ApiKey(header))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// What a client needs.
pub struct Settings {
    /// Where the server is.
    pub address: Address,
    /// Who asks; `None`: nobody in particular.
    pub key: Option<ApiKey>,
    /// File of the certificate authorities that are trusted; `None`: those of this machine.
    pub authorities: Option<PathBuf>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Keys of idempotency, and jitter.
    pub ids: Arc<dyn IdSource>,
}

/// A client of one server. Clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) key: Option<ApiKey>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    http: reqwest::Client,
}

impl Client {
    /// A client. Nobody is asked yet.
    ///
    /// # Errors
    /// `InvalidInput`: the key may not be sent to this address, or the file of authorities is none.
    pub fn new(settings: Settings) -> Result<Client, UserError> {
        if settings.key.is_some() {
            settings.address.admits_key()?;
        }
        let tls = if settings.address.is_encrypted() {
            tls::trusting(settings.authorities.as_deref())?
        } else {
            tls::none()?
        };
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .user_agent(concat!("sandboxer/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = settings.address.socket() {
            http = http.unix_socket(path);
        }
        let http = http
            .build()
            .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot set up HTTP: {error}")))?;
        Ok(Client {
            shared: Arc::new(Shared {
                address: settings.address,
                key: settings.key,
                tls: Arc::new(tls),
                clock: settings.clock,
                ids: settings.ids,
                http,
            }),
        })
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// A key of idempotency that nobody used.
    pub fn fresh_key(&self) -> String {
        self.shared.ids.uuid().to_string()
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, UserError> {
        self.ask_with_headers(call).await.map(|(answer, ..)| answer)
    }

    /// The same, with the status and the headers of the answer.
    pub(crate) async fn ask_with_headers<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<(T, u16, HeaderMap), UserError> {
        let what = call.what();
        let (status, headers, body) = self.send(call).await?.whole(MOST_BYTES).await?;
        let answer =
            serde_json::from_slice(&body).map_err(|error| garbled(&self.shared.address, &what, &error.to_string()))?;
        Ok((answer, status, headers))
    }

    /// Sends a request whose answer has no body.
    pub(crate) async fn tell(&self, call: Call) -> Result<(), UserError> {
        self.send(call).await.map(|_| ())
    }

    /// Sends a request until it is answered; errors of the server are errors.
    pub(crate) async fn send(&self, mut call: Call) -> Result<Answer, UserError> {
        if call.method == Method::POST && call.repeat == Repeat::Safe && !call.headers.contains_key("idempotency-key") {
            call = call.header("idempotency-key", &self.fresh_key());
        }
        let shared = &self.shared;
        let mut tries = Tries::new(&*shared.clock, &*shared.ids);
        loop {
            let (failure, error) = match self.once(&call, tries.count + 1).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match failure {
                Some(failure) if tries.again(failure, call.repeat).await => {}
                _ => return Err(error),
            }
        }
    }

    /// One try. The failure is `None` where another try makes no sense.
    async fn once(&self, call: &Call, tries: u32) -> Result<Answer, (Option<Failure>, UserError)> {
        let shared = &self.shared;
        let what = call.what();
        let url = shared.address.url(&call.path).map_err(|error| (None, error))?;
        let mut request = shared
            .http
            .request(call.method.clone(), url)
            .headers(call.headers.clone());
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(key) = &shared.key {
            request = request.header(AUTHORIZATION, key.header());
        }
        request = match &call.payload {
            Payload::None => request,
            Payload::Json(bytes) => request.header(CONTENT_TYPE, "application/json").body(bytes.clone()),
            Payload::Stream(make, media) => request
                .header(CONTENT_TYPE, *media)
                .body(reqwest::Body::wrap_stream(make())),
        };
        request = match call.wanted {
            Wanted::Json => request.timeout(call.timeout),
            Wanted::Stream(media) => request.header(ACCEPT, media),
        };
        let sent = tokio::select! {
            sent = request.send() => sent,
            // What is streamed has all the time it wants, once it has begun.
            () = shared.clock.sleep(call.timeout) => return Err((None, late(&shared.address, &what, call.timeout.as_secs()))),
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                let told = unreachable(&shared.address, &what, &innermost(&error), tries);
                // What cannot be trusted or is not there does not become so within a minute.
                let lasting = tls::is_about_trust(&error);
                return Err(((!lasting).then_some(Failure::Unheard(None)), told));
            }
            Err(error) if error.is_timeout() => {
                return Err((None, late(&shared.address, &what, call.timeout.as_secs())));
            }
            Err(error) => {
                let told = unreachable(&shared.address, &what, &innermost(&error), tries);
                return Err((Some(Failure::Unclear(None)), told));
            }
        };
        let answer = Answer {
            response,
            address: shared.address.clone(),
            what,
        };
        let status = answer.response.status();
        if status.is_success() {
            return Ok(answer);
        }
        let pause = retry_after(answer.response.headers());
        let status = status.as_u16();
        let what = answer.what.clone();
        let body = match answer.whole(MOST_PROBLEM_BYTES).await {
            Ok((.., body)) => body,
            Err(_) => Bytes::new(),
        };
        let error = refused(&shared.address, &what, status, &body);
        let failure = match (status, error.code) {
            (429, ErrorCode::QuotaExceeded) => None,
            (429, _) => Some(Failure::Unheard(pause)),
            // An earlier try of ours is still being worked on there.
            (409, ErrorCode::Busy) if tries > 1 && call.method == Method::POST => Some(Failure::Unclear(pause)),
            (503, ErrorCode::Draining) => Some(Failure::Unheard(pause)),
            // The server itself tried what its backend failed at; only it knows whether that passes.
            (503, ErrorCode::Unavailable) if pause.is_none() && !body.is_empty() => None,
            (503, _) => Some(Failure::Unclear(pause)),
            _ => None,
        };
        Err((failure, error))
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}
