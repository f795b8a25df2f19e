//! Commands that are run to their end.

use std::io::{Read as _, Write as _};

use sandboxer_api::request::{ExecRequest, ExecResult};
use sandboxer_model::error::ErrorCode;
use sandboxer_model::id::SandboxId;

use crate::served::{Served, run};
use crate::support::wait_until;

fn request(argv: &[&str]) -> ExecRequest {
    ExecRequest {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        ..ExecRequest::default()
    }
}

#[test]
fn a_command_reads_prints_and_ends_as_it_does_anywhere() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        let client = &served.client;

        let mut cat = request(&["sh", "-c", "cat; echo \"$A\" >&2; pwd; exit 7"]);
        cat.stdin = Some("hé\n".to_owned());
        cat.env.insert("A".to_owned(), "b c".to_owned());
        let result = client.exec_to_end(&id, &cat).await.unwrap();
        assert_eq!(
            (result.exit_code, result.timed_out, result.truncated),
            (7, false, false)
        );
        assert_eq!(
            (result.stdout.as_str(), result.stderr.as_str()),
            ("hé\n/workspace\n", "b c\n")
        );
        assert_eq!(result.stdout_base64, None);

        let mut bytes = request(&["cat"]);
        bytes.stdin_base64 = Some("AP+A".to_owned());
        let result = client.exec_to_end(&id, &bytes).await.unwrap();
        assert_eq!(result.stdout_base64.as_deref(), Some("AP+A"));

        let result = served.sh(&id, "head -c 3000000 /dev/zero; echo end >&2").await;
        assert_eq!((result.stdout.len(), result.truncated), (1024 * 1024, true));
        assert_eq!((result.stderr.as_str(), result.exit_code), ("end\n", 0));

        assert_eq!(served.sh(&id, "kill -9 $$").await.exit_code, 137);
        // What is left running holds the streams, and nobody waits for it.
        assert_eq!(served.sh(&id, "sleep 300 & echo done").await.stdout, "done\n");
        // A command need not read what it is given.
        let mut deaf = request(&["true"]);
        deaf.stdin = Some("x".repeat(700_000));
        assert_eq!(client.exec_to_end(&id, &deaf).await.unwrap().exit_code, 0);

        let error = client.exec_to_end(&id, &request(&[])).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
        let missing = client.exec_to_end(&id, &request(&["no-such-program"])).await.unwrap();
        assert_eq!(missing.exit_code, 127);
        served.end(&id).await;
    });
}

/// What became of a program that had begun when its time was over. One that had not, since the machine stood still, is given
/// more.
async fn timed_out(served: &Served, id: &SandboxId, program: &str) -> ExecResult {
    let mut slow = request(&["sh", "-c", program]);
    let mut last = None;
    for timeout in ["3s", "6s", "12s"] {
        slow.timeout = Some(timeout.parse().unwrap());
        let result = served.client.exec_to_end(id, &slow).await.unwrap();
        assert!(result.timed_out, "{result:?}");
        let has_begun = result.stdout.starts_with("begun");
        last = Some(result);
        if has_begun {
            break;
        }
    }
    last.unwrap()
}

#[test]
fn a_command_that_takes_too_long_is_ended_and_what_it_printed_is_told() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        let slow = "echo begun; sleep 4711; echo never";
        let result = timed_out(&served, &id, slow).await;
        assert_eq!(result.stdout, "begun\n");
        // One that does not listen, too.
        let deaf = "trap '' TERM HUP; echo begun; while :; do sleep 4712; done";
        let result = timed_out(&served, &id, deaf).await;
        assert_eq!(result.exit_code, 137, "{result:?}");
        served.wait_for_end_of(&id, "4711").await;
        served.wait_for_end_of(&id, "4712").await;
        served.end(&id).await;
    });
}

#[test]
fn a_command_whose_caller_goes_away_is_ended() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        served.sh(&id, "true").await;
        let before = served.held();
        let body = r#"{"argv":["sh","-c","touch begun; sleep 4713"]}"#;
        let mut connection = std::net::TcpStream::connect(served.address.strip_prefix("http://").unwrap()).unwrap();
        let head = format!(
            "POST /v1/sandboxes/{id}/exec HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            served.key,
            body.len()
        );
        connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
        while served.sh(&id, "test -e begun").await.exit_code != 0 {}
        drop(connection);
        served.wait_for_end_of(&id, "4713").await;
        wait_until("the server holds nothing of it", || {
            let (_, fds, zombies) = served.held();
            if fds <= before.1 + 1 && zombies == 0 {
                Ok(())
            } else {
                Err(format!("{before:?}, now {:?}", served.held()))
            }
        });
        served.end(&id).await;
    });
}

/// Nothing of a request is in what the server says about it.
#[test]
fn values_are_in_no_answer() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        let body = r#"{"argv":["hunter2"],"env":{"A":["hunter2"]}}"#;
        let mut connection = std::net::TcpStream::connect(served.address.strip_prefix("http://").unwrap()).unwrap();
        let head = format!(
            "POST /v1/sandboxes/{id}/exec HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            served.key,
            body.len()
        );
        connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 422") && !answer.contains("hunter2"),
            "{answer}"
        );
        served.end(&id).await;
    });
}
