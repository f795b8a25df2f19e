//! Webhooks: signed, and left alone once they are gone, lead elsewhere, or are not who they say.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::Told;
use crate::receiver::{Reply, Request, Server};

/// HMAC-SHA256 as RFC 2104 writes it, independent of what the product uses.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |byte: u8| -> Vec<u8> {
        (0..64)
            .map(|index| key.get(index).copied().unwrap_or(0) ^ byte)
            .collect()
    };
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decode(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().collect();
    let bits: Vec<u8> = digits
        .iter()
        .flat_map(|digit| {
            let value = DIGITS.iter().position(|known| known == digit).unwrap() as u8;
            (0..6).rev().map(move |bit| value >> bit & 1)
        })
        .collect();
    bits.chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit))
        .collect()
}

fn is_signed(request: &Request, secret: &str) -> bool {
    let key = decode(secret.strip_prefix("whsec_").unwrap());
    assert_eq!(key.len(), 32);
    let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let text = [format!("{id}.{at}.").into_bytes(), request.body.clone()].concat();
    let signature = request.header("webhook-signature").strip_prefix("v1,").unwrap();
    decode(signature) == hmac(&key, &text)
}

#[test]
fn webhooks_are_signed_and_their_secret_is_shown_once() {
    let hook = Server::start(|count, _| Reply::Status(if count % 3 == 0 { 500 } else { 204 }));
    let mut told = Told::by("http://127.0.0.1:1");
    told.env = vec![("SANDBOXER_OUTBOUND_ALLOW".to_owned(), hook.address.to_string())];
    let url = format!("{}/hooks?x=1", hook.url());
    let added = told.run(&["webhooks", "add", &url]).json();
    let (id, secret) = (added["sink_id"].as_str().unwrap(), added["secret"].as_str().unwrap());
    told.life();
    told.settle();
    let requests = hook.requests();
    told.assert_exact(&requests);
    for request in &requests {
        assert!(is_signed(request, secret), "{request:?}");
        assert!(!is_signed(
            request,
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        ));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            (&body["type"], &body["data"]["event_id"]),
            (&body["data"]["kind"], &request.header("webhook-id").into())
        );
        assert_eq!(request.line, "POST /hooks?x=1 HTTP/1.1");
        assert!(request.header("webhook-timestamp").parse::<u64>().is_ok());
    }
    hook.set(|_, _| Reply::Status(200));
    let tested = told.run(&["webhooks", "test", &id[..12]]).json();
    assert_eq!((&tested["accepted"], &tested["status"]), (&true.into(), &200.into()));
    assert!(is_signed(hook.requests().last().unwrap(), secret));
    for args in [
        &["webhooks", "list"][..],
        &["events", "sinks"],
        &["events"],
        &["webhooks", "remove", id],
    ] {
        for mode in ["json", "table"] {
            let answer = told.run(&[args, &["--output", mode]].concat());
            assert!(!format!("{answer:?}").contains(&secret[6..]), "{args:?}");
        }
    }
    assert_eq!(told.run(&["webhooks", "list"]).json(), serde_json::json!([]));
}

#[test]
fn a_webhook_that_is_gone_or_redirects_is_said_to() {
    let inner = Server::start(|_, _| Reply::Status(200));
    let to = inner.url();
    let hook = Server::start(move |_, _| Reply::Full(307, vec![("location", to.clone())], Vec::new()));
    let mut told = Told::by("http://127.0.0.1:1");
    told.env = vec![("SANDBOXER_OUTBOUND_ALLOW".to_owned(), "127.0.0.0/8".to_owned())];
    let added = told.run(&["webhooks", "add", &hook.url(), "--event", "state.*"]).json();
    told.life();
    told.trouble(&["redirect"]);
    assert_eq!(inner.connections(), 0);
    assert_eq!(
        told.run(&["webhooks", "test", added["sink_id"].as_str().unwrap()]).code,
        7
    );
    told.quiet();
    hook.set(|_, _| Reply::Status(410));
    told.run(&["events", "redeliver"]).json();
    let sink = told.sink("it is switched off", |sink| sink["state"] == "disabled");
    assert!(sink["reason"].as_str().unwrap().contains("410"), "{sink}");
    told.quiet();
    let so_far = hook.requests().len();
    told.life();
    told.quiet();
    assert_eq!(hook.requests().len(), so_far);
    hook.set(|_, _| Reply::Status(200));
    let back = told
        .run(&["events", "redeliver", "--sink", added["sink_id"].as_str().unwrap()])
        .json();
    assert_eq!(back["enabled"], serde_json::json!([added["sink_id"]]));
    told.settle();
    told.assert_exact(&hook.requests());
}

#[test]
fn a_webhook_over_tls_is_known_by_its_certificate() {
    // Made for this test, for 127.0.0.1, and good for a hundred years.
    let (certificate, key) = (
        include_str!("../support/tls/cert.pem"),
        include_str!("../support/tls/key.pem"),
    );
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = std::sync::Arc::new(config);
    let hook = Server::wrapped(
        |_, _| Reply::Status(200),
        Box::new(move |stream| {
            let session = rustls::ServerConnection::new(config.clone()).ok()?;
            Some(Box::new(rustls::StreamOwned::new(session, stream)))
        }),
    );
    let mut told = Told::by("http://127.0.0.1:1");
    let trusted = told.world.write("trusted.pem", certificate);
    let allow = ("SANDBOXER_OUTBOUND_ALLOW".to_owned(), hook.address.to_string());
    told.env = vec![allow];
    told.run(&["webhooks", "add", &format!("https://{}/", hook.address)])
        .json();
    let id = told.life();
    told.trouble(&["TLS", "certificate"]);
    assert_eq!(hook.requests().len(), 0);
    told.env
        .push(("SSL_CERT_FILE".to_owned(), trusted.to_str().unwrap().to_owned()));
    told.run(&["events", "redeliver", &id]).json();
    told.settle();
    told.assert_exact(&hook.requests());
}
