//! The protocol: what every answer has, and what is refused before anybody looks at it.

use std::time::Duration;

use sandboxer_model::sandbox::Actor;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::Running;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_request() {
    let server = Running::start().await;
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/v1/sandboxes"),
        ("GET", "/nope"),
        ("PUT", "/v1/sandboxes"),
    ] {
        let named = server.ask(method, path).header("x-request-id", "r-1").send().await;
        assert_eq!(named.header("x-request-id"), Some("r-1"), "{path}");
        let unnamed = server.ask(method, path).header("x-request-id", "bad id!").send().await;
        assert!(unnamed.header("x-request-id").unwrap().starts_with("req-"), "{path}");
        assert_eq!(unnamed.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_problem_with_a_code() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let nope = server.get(&key, "/v1/nope").await.expect(404);
    assert_eq!(nope.header("content-type"), Some("application/problem+json"));
    assert_eq!(nope.code(), "not_found");
    let method = server.ask("DELETE", "/v1/sandboxes").key(&key).send().await.expect(405);
    assert_eq!(method.header("allow"), Some("POST, GET"));
    let json = "application/json";
    for (media, body, status, code) in [
        (json, b"{".as_slice(), 400, "usage"),
        (json, b"[]", 422, "invalid_input"),
        (json, b"{\"nope\": 1}", 422, "invalid_input"),
        (json, b"{\"ttl\": \"x\"}", 422, "invalid_input"),
        (json, b"", 400, "usage"),
        ("text/plain", b"{}", 415, "not_allowed"),
        (json, &vec![b' '; 1024 * 1024 + 1], 413, "too_large"),
    ] {
        let reply = server
            .ask("POST", "/v1/sandboxes")
            .key(&key)
            .bytes(media, body)
            .send()
            .await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{}",
            reply.text()
        );
    }
    let zipped = server
        .ask("POST", "/v1/sandboxes")
        .key(&key)
        .header("content-encoding", "gzip")
        .json(&json!({}))
        .send()
        .await
        .expect(415);
    assert_eq!(zipped.code(), "not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let server = Running::limited(5).await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let other = server.key("two", Actor::Agt, Some("p"), None).await;
    let mut refused = None;
    for _ in 0..30 {
        let reply = server.get(&key, "/v1/me").await;
        assert_eq!(reply.header("ratelimit-limit"), Some("10"));
        if reply.status == 429 {
            refused = Some(reply);
        }
    }
    let refused = refused.expect("a refusal");
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    server.get(&other, "/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_and_readiness_ends_with_the_server() {
    let server = Running::start().await;
    server.make(&server.adm, json!({})).await;
    server.ask("GET", "/metrics").send().await.expect(401);
    let text = server.get(&server.adm, "/metrics").await.expect(200).text();
    for line in [
        "sandboxer_http_requests_total{operation=\"sandbox.create\",status=\"201\"} 1",
        "sandboxer_sandboxes{state=\"ready\"} 1",
        "sandboxer_http_connections ",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(server.ask("GET", "/readyz").send().await.expect(200).text(), "ok\n");
    server.stop();
}

/// A connection that is written to by hand.
async fn raw(server: &Running, bytes: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded_in_size_and_time() {
    let server = Running::start().await;
    let long = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n",
        "b".repeat(64 * 1024)
    );
    assert!(raw(&server, long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(raw(&server, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert!(raw(&server, b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    // A head that never ends: it is closed after ten seconds.
    let slow = raw(&server, b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
}
