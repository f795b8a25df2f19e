//! One request at a time: what is tried again, with which key, and what comes of errors.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::time::Duration;

use sandboxer_api::request::{CreateSandbox, ExecRequest};
use sandboxer_api::sinks::AddWebhook;
use sandboxer_model::error::ErrorCode;
use support::{ME, Server, answer, client, problem};

#[tokio::test]
async fn a_server_is_asked_who_the_caller_is() {
    let server = Server::saying([answer(200, "", ME)]);
    let (client, _) = client(&server.listen().await);
    let me = client.whoami().await.unwrap();
    assert_eq!((me.name.as_str(), me.key_id.as_str()), ("ada", "3k9x2m7q"));
    let asked = server.asked();
    assert_eq!(asked[0].line, "GET /v1/me");
    assert_eq!(
        asked[0].header("authorization"),
        Some("Bearer sbx_live_3k9x2m7q_secret")
    );
    assert_eq!(asked[0].header("idempotency-key"), None);
}

#[tokio::test]
async fn a_socket_does_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::saying([answer(200, "", ME)]);
    let (client, _) = client(&server.listen_at(&dir.path().join("api.sock")));
    assert_eq!(client.whoami().await.unwrap().name, "ada");
}

#[tokio::test]
async fn a_base_path_is_kept() {
    let server = Server::saying([answer(200, "", ME)]);
    let (client, _) = client(&format!("{}/boxes/", server.listen().await));
    client.whoami().await.unwrap();
    assert_eq!(server.asked()[0].line, "GET /boxes/v1/me");
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again_with_the_same_key() {
    let server = Server::saying([
        String::new(),
        answer(503, "", ""),
        problem(503, "draining", ""),
        answer(
            200,
            "",
            r#"{"exit_code":0,"timed_out":false,"stdout":"s","stderr":"","truncated":false}"#,
        ),
    ]);
    let (client, clock) = client(&server.listen().await);
    let id = "sbx-01m7y6nbk6e2yr4yvpgtcdjcd8".parse().unwrap();
    let command = ExecRequest {
        argv: vec!["true".to_owned()],
        ..ExecRequest::default()
    };
    assert_eq!(client.exec_to_end(&id, &command).await.unwrap().stdout, "s");
    let asked = server.asked();
    let keys: Vec<_> = asked.iter().map(|one| one.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 36), "{keys:?}");
    assert!(
        asked
            .iter()
            .all(|one| one.body == asked[0].body && !one.body.is_empty())
    );
    let pauses = clock.pauses.lock().unwrap().clone();
    assert_eq!(pauses.len(), 3);
    assert!(
        pauses.iter().all(|pause| *pause >= Duration::from_millis(100)),
        "{pauses:?}"
    );
    assert!(pauses[2] > pauses[0], "each is longer: {pauses:?}");
}

/// What was made once is not made again: nobody would have its secret.
#[tokio::test]
async fn what_shows_a_secret_is_not_asked_for_again_where_it_may_have_been_heard() {
    let server = Server::saying([String::new(), answer(201, "", "{}")]);
    let (client, _) = client(&server.listen().await);
    let new = AddWebhook {
        url: "https://x".to_owned(),
        events: Vec::new(),
    };
    assert_eq!(client.add_webhook(&new).await.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn retry_after_is_heeded_and_a_longer_one_than_anybody_waits_is_an_error() {
    let server = Server::saying([
        problem(429, "rate_limited", "retry-after: 7\r\n"),
        answer(200, "", ME),
        problem(429, "rate_limited", "retry-after: 3600\r\n"),
    ]);
    let (client, clock) = client(&server.listen().await);
    client.whoami().await.unwrap();
    let pauses = clock.pauses.lock().unwrap().clone();
    assert!(
        pauses[0] >= Duration::from_secs(7) && pauses[0] < Duration::from_secs(8),
        "{pauses:?}"
    );
    let error = client.whoami().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::RateLimited);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn tries_come_to_an_end() {
    let server = Server::saying((0..9).map(|_| answer(503, "", "")));
    let (client, _) = client(&server.listen().await);
    let error = client.whoami().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn what_may_have_been_done_and_has_no_key_is_not_asked_for_again() {
    let key = r#"{"name":"a","role":"adm"}"#;
    let server = Server::saying([String::new(), answer(201, "", "{}")]);
    let (client, _) = client(&server.listen().await);
    let error = client.make_key(&serde_json::from_str(key).unwrap()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    let asked = server.asked();
    assert_eq!((asked.len(), asked[0].header("idempotency-key")), (1, None));
}

#[tokio::test]
async fn a_quota_and_what_a_backend_failed_at_are_final() {
    for (said, code) in [
        (problem(429, "quota_exceeded", ""), ErrorCode::QuotaExceeded),
        (problem(503, "unavailable", ""), ErrorCode::Unavailable),
        (problem(409, "busy", ""), ErrorCode::Busy),
        (problem(401, "unauthenticated", ""), ErrorCode::Unauthenticated),
    ] {
        let server = Server::saying([said]);
        let (client, _) = client(&server.listen().await);
        let error = client.accept(&CreateSandbox::default(), "k-1").await.unwrap_err();
        assert_eq!(error.code, code);
        assert_eq!(error.message, format!("said {code}"));
        assert_eq!(error.hints, ["do this"]);
        let asked = server.asked();
        assert_eq!((asked.len(), asked[0].header("idempotency-key")), (1, Some("k-1")));
    }
}

#[tokio::test]
async fn nobody_there_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (client, clock) = client(&format!("unix:{}", dir.path().join("none").display()));
    let error = client.whoami().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(
        error.message.contains("GET /v1/me") && error.message.contains("5 times"),
        "{error}"
    );
    assert!(error.hints[0].contains("sandboxer serve"), "{error:?}");
    assert_eq!(clock.pauses.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_panic() {
    for said in [
        "",
        "nonsense",
        "HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n[]",
        "HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    ] {
        let server = Server::saying((0..5).map(|_| said.to_owned()));
        let (client, _) = client(&server.listen().await);
        assert!(client.whoami().await.is_err(), "{said:?}");
    }
}

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let server = Server::saying([
        answer(200, "", r#"{"items":[],"next_cursor":"sbx-1"}"#),
        answer(200, "", r#"{"items":[],"next_cursor":null}"#),
    ]);
    let (client, _) = client(&server.listen().await);
    let listing = sandboxer_client::Listing {
        states: vec![sandboxer_model::lifecycle::State::Ready],
        labels: [("a b".to_owned(), "c=d&e".to_owned())].into(),
        ..Default::default()
    };
    assert!(client.list(&listing).await.unwrap().is_empty());
    let lines: Vec<String> = server.asked().into_iter().map(|one| one.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/sandboxes?limit=200&state=ready&label=a+b%3Dc%3Dd%26e",
            "GET /v1/sandboxes?limit=200&cursor=sbx-1&state=ready&label=a+b%3Dc%3Dd%26e",
        ]
    );
}

#[tokio::test]
async fn a_body_is_written_anew_for_each_try() {
    let upload = r#"{"upload_id":"upl-1","entries":1,"bytes":3,"expires_at":"2031-01-01T00:00:00Z"}"#;
    let server = Server::saying([String::new(), answer(201, "", upload)]);
    let (client, _) = client(&server.listen().await);
    let body = sandboxer_client::made_by(|to| to.write_all(b"tar"));
    assert_eq!(client.upload(body).await.unwrap().upload_id, "upl-1");
    let asked = server.asked();
    assert_eq!(asked[0].header("content-type"), Some("application/x-tar"));
    assert_eq!(asked[0].body, b"3\r\ntar\r\n0\r\n\r\n");
    assert_eq!(asked[0].body, asked[1].body);
}

#[tokio::test]
async fn a_key_is_never_shown() {
    let key = sandboxer_client::ApiKey::new("sbx_live_a_secret").unwrap();
    assert!(!format!("{key:?}").contains("secret"));
    let wrong = sandboxer_client::ApiKey::new("sbx live secret\n").unwrap_err();
    assert!(!wrong.message.contains("secret"), "{wrong}");
}
