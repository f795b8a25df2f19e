//! Commands inside: bytes both ways, signals, ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use sandboxer_api::stream::{STDERR, STDIN, STDOUT, Size, Start};
use sandboxer_client::Output;
use sandboxer_model::error::ErrorCode;
use sandboxer_model::id::SandboxId;
use support::client;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

fn id() -> SandboxId {
    "sbx-00000000000000000000000000".parse().unwrap()
}

async fn serving<F>(body: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        body(accept_async(stream).await.unwrap()).await;
    });
    address
}

fn start() -> Start {
    Start {
        argv: vec!["cat".to_owned()],
        terminal: Some(Size { rows: 2, columns: 3 }),
        ..Start::default()
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_exit_code_comes_last() {
    let address = serving(|mut socket| async move {
        let first = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert_eq!(first.as_str(), r#"{"argv":["cat"],"terminal":{"rows":2,"columns":3}}"#);
        socket
            .send(Message::text(r#"{"type":"started","pid":7}"#))
            .await
            .unwrap();
        let mut read = 0;
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => {
                    assert!(bytes[0] == STDIN && bytes.len() <= sandboxer_api::stream::MESSAGE_LEN);
                    read += bytes.len() - 1;
                }
                Message::Text(text) => {
                    let text = text.as_str();
                    if text == r#"{"type":"stdin_end"}"# {
                        break;
                    }
                    assert!(
                        [
                            r#"{"type":"signal","signal":15}"#,
                            r#"{"type":"resize","rows":4,"columns":5}"#
                        ]
                        .contains(&text),
                        "{text}"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        socket
            .send(Message::binary([&[STDOUT][..], read.to_string().as_bytes()].concat()))
            .await
            .unwrap();
        socket.send(Message::binary(vec![STDERR, b'e'])).await.unwrap();
        socket.send(Message::Ping(vec![1].into())).await.unwrap();
        socket
            .send(Message::text(r#"{"type":"exit","exit_code":3}"#))
            .await
            .unwrap();
        let _ = socket.close(None).await;
    })
    .await;
    let (client, _) = client(&address);
    let (mut input, mut outputs) = client.attach(&id(), &start()).await.unwrap().split();
    let writing = async {
        input.stdin(&vec![0; 200_000]).await.unwrap();
        input.signal(15).await.unwrap();
        input.resize(Size { rows: 4, columns: 5 }).await.unwrap();
        input.end().await.unwrap();
    };
    let reading = async {
        let mut all = Vec::new();
        loop {
            let one = outputs.next().await.unwrap();
            all.push(one.clone());
            if let Output::Exit(_) = one {
                return all;
            }
        }
    };
    let ((), all) = tokio::join!(writing, reading);
    assert_eq!(
        all,
        [
            Output::Started(7),
            Output::Stdout("200000".into()),
            Output::Stderr("e".into()),
            Output::Exit(3)
        ]
    );
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_exit() {
    let address = serving(|mut socket| async move {
        let _ = socket.next().await;
        let _ = socket.close(None).await;
    })
    .await;
    let (client, _) = client(&address);
    let (_input, mut outputs) = client.attach(&id(), &start()).await.unwrap().split();
    let error = outputs.next().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn what_the_server_says_about_a_command_is_the_error() {
    let address = serving(|mut socket| async move {
        let _ = socket.next().await;
        let problem = r#"{"type":"error","problem":{"type":"x","title":"t","status":404,"detail":"no such program","code":"not_found"}}"#;
        socket.send(Message::text(problem)).await.unwrap();
    })
    .await;
    let (client, _) = client(&address);
    let (_input, mut outputs) = client.attach(&id(), &start()).await.unwrap().split();
    assert_eq!(outputs.next().await.unwrap_err().message, "no such program");
}

#[tokio::test]
async fn a_refusal_to_listen_is_an_error_and_a_busy_server_is_asked_again() {
    let server = support::Server::saying([
        support::problem(429, "rate_limited", "retry-after: 1\r\n"),
        support::problem(404, "not_found", ""),
    ]);
    let (client, clock) = client(&server.listen().await);
    let error = client.attach(&id(), &start()).await.err().unwrap();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::NotFound, "said not_found")
    );
    assert_eq!(server.asked().len(), 2);
    assert_eq!(clock.pauses.lock().unwrap().len(), 1);
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "GET /v1/sandboxes/sbx-00000000000000000000000000/exec");
    assert!(asked.header("authorization").is_some());
}
