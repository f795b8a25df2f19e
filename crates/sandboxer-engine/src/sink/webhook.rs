//! An event as a signed message, after the Standard Webhooks specification 1.0: the headers `webhook-id`,
//! `webhook-timestamp` and `webhook-signature`, where the signature is HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sandboxer_extension::port::{ChosenBy, OutboundRequest};
use sandboxer_model::event::Event;
use sandboxer_store::Secret;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::reconcile::REQUEST_TIMEOUT;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// A secret made of these bytes.
pub(crate) fn secret(key: &[u8]) -> Secret {
    Secret(format!("{PREFIX}{}", STANDARD.encode(key)))
}

/// The message of an event. Its id is the event's: a receiver drops what it has seen.
pub(crate) fn request(url: &str, secret: Option<&Secret>, event: &Event, now: Timestamp) -> OutboundRequest {
    message(
        url,
        secret,
        event.event_id.as_str(),
        &event.kind,
        event.at,
        &json!(event),
        now,
    )
}

/// A message that tells of nothing.
pub(crate) fn test(url: &str, secret: Option<&Secret>, id: &str, now: Timestamp) -> OutboundRequest {
    message(
        url,
        secret,
        id,
        "webhook.test",
        now,
        &json!({ "summary": "a test" }),
        now,
    )
}

fn message(
    url: &str,
    secret: Option<&Secret>,
    id: &str,
    kind: &str,
    at: Timestamp,
    data: &Value,
    now: Timestamp,
) -> OutboundRequest {
    let body = json!({ "type": kind, "timestamp": at, "data": data }).to_string();
    let sent_at = now.as_second().to_string();
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), id.to_owned()),
        ("webhook-timestamp".to_owned(), sent_at.clone()),
    ];
    if let Some(signature) = secret.and_then(|secret| sign(secret, &format!("{id}.{sent_at}.{body}"))) {
        headers.push(("webhook-signature".to_owned(), signature));
    }
    OutboundRequest {
        method: "POST".to_owned(),
        url: url.to_owned(),
        chosen_by: ChosenBy::User,
        headers,
        body: body.into_bytes(),
        timeout: REQUEST_TIMEOUT,
    }
}

/// The signature of a text; `None`: what is stored as a secret is none.
fn sign(secret: &Secret, text: &str) -> Option<String> {
    let key = STANDARD.decode(secret.0.strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(text.as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn signs_as_the_specification_does() {
        let secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let text = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(
            sign(&secret, text).as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn a_secret_of_32_bytes_is_shown_as_it_is_read() {
        let secret = secret(&[7; 32]);
        assert!(secret.0.starts_with("whsec_") && sign(&secret, "x").is_some());
        assert_eq!(sign(&Secret("nonsense".to_owned()), "x"), None);
    }
}
