//! Commands over a WebSocket.

use sandboxer_api::stream::{Size, Start};
use sandboxer_client::{Output, Outputs};
use sandboxer_model::error::ErrorCode;

use crate::served::{Served, run};
use crate::support::wait_until;

fn start(program: &str) -> Start {
    Start {
        argv: ["sh", "-c", program].map(str::to_owned).into(),
        ..Start::default()
    }
}

/// Everything until the end: both streams, and the exit code.
async fn all(outputs: &mut Outputs) -> (Vec<u8>, Vec<u8>, u8) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match outputs.next().await.unwrap() {
            Output::Started(_) => {}
            Output::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            Output::Stderr(bytes) => stderr.extend_from_slice(&bytes),
            Output::Exit(code) => return (stdout, stderr, code),
        }
    }
}

#[test]
fn bytes_go_both_ways_and_the_exit_comes_last() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        let echo = served
            .client
            .attach(&id, &start("cat; echo err >&2; exit 5"))
            .await
            .unwrap();
        let (mut input, mut outputs) = echo.split();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
        let feed = async {
            input.stdin(&sent).await.unwrap();
            input.end().await.unwrap();
        };
        let ((), (stdout, stderr, code)) = tokio::join!(feed, all(&mut outputs));
        assert!(stdout == sent, "{} of {} bytes", stdout.len(), sent.len());
        assert_eq!((stderr.as_slice(), code), (&b"err\n"[..], 5));

        // All it printed comes before its end, however fast it ends.
        for _ in 0..20 {
            let fast = served
                .client
                .attach(&id, &start("head -c 60000 /dev/zero"))
                .await
                .unwrap();
            let (_input, mut outputs) = fast.split();
            assert_eq!(all(&mut outputs).await.0.len(), 60_000);
        }

        // Signals, also while it does not read.
        let trap = start("trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.1; done");
        let (mut input, mut outputs) = served.client.attach(&id, &trap).await.unwrap().split();
        while !matches!(outputs.next().await.unwrap(), Output::Stdout(bytes) if bytes.starts_with(b"ready")) {}
        input.signal(10).await.unwrap();
        let (stdout, _, code) = all(&mut outputs).await;
        assert_eq!((stdout.as_slice(), code), (&b"got\n"[..], 9));

        let refused = served
            .client
            .attach(&id, &Start::default())
            .await
            .unwrap()
            .split()
            .1
            .next()
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidInput);
        served.end(&id).await;
    });
}

#[test]
fn a_terminal_has_a_size_that_can_change() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        let mut start = start("test -t 0 && stty size; read x; stty size; echo \"$x\"");
        start.terminal = Some(Size { rows: 24, columns: 80 });
        let (mut input, mut outputs) = served.client.attach(&id, &start).await.unwrap().split();
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains("24 80") {
            if let Output::Stdout(bytes) = outputs.next().await.unwrap() {
                shown.extend_from_slice(&bytes);
            }
        }
        input.resize(Size { rows: 50, columns: 132 }).await.unwrap();
        input.stdin(b"word\n").await.unwrap();
        let (rest, _, code) = all(&mut outputs).await;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(rest.contains("50 132") && rest.ends_with("word\r\n"), "{rest:?}");
        assert_eq!(code, 0);
        served.end(&id).await;
    });
}

#[test]
fn a_command_whose_client_goes_away_is_ended_and_nothing_of_it_is_left() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        served.sh(&id, "true").await;
        let before = served.held();
        for round in 0..5 {
            // One that does not listen, with a child of its own, in a terminal or not.
            let mut stubborn = start("trap '' HUP TERM; sleep 4714 & echo up; while :; do sleep 4715; done");
            stubborn.terminal = (round % 2 == 1).then_some(Size { rows: 24, columns: 80 });
            let (input, mut outputs) = served.client.attach(&id, &stubborn).await.unwrap().split();
            while !matches!(outputs.next().await.unwrap(), Output::Stdout(bytes) if bytes.starts_with(b"up")) {}
            drop((input, outputs));
        }
        served.wait_for_end_of(&id, "4714").await;
        served.wait_for_end_of(&id, "4715").await;
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

#[test]
fn a_slow_reader_slows_the_command_and_memory_stays_bounded() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        served.sh(&id, "true").await;
        let before = served.memory();
        // 256 MiB for somebody who does not read; what fits on the way is a small part of it.
        let program = "head -c 268435456 /dev/zero; touch all-written";
        let (_input, mut outputs) = served.client.attach(&id, &start(program)).await.unwrap().split();
        assert!(matches!(outputs.next().await.unwrap(), Output::Started(_)));
        for _ in 0..20 {
            assert_eq!(served.sh(&id, "test -e all-written").await.exit_code, 1);
        }
        let (mut count, mut most) = (0u64, 0);
        loop {
            match outputs.next().await.unwrap() {
                Output::Stdout(bytes) => {
                    count += bytes.len() as u64;
                    most = most.max(if count % (64 << 20) < 40_000 {
                        served.memory()
                    } else {
                        0
                    });
                }
                Output::Exit(code) => break assert_eq!(code, 0),
                _ => {}
            }
        }
        assert_eq!(count, 268_435_456);
        let grown = most.max(served.memory()).saturating_sub(before);
        println!("256 MiB went through; the server grew by {grown} KiB");
        assert!(grown < 24 * 1024, "{grown} KiB");

        // The other way: a command that does not read slows its client.
        let (mut input, mut outputs) = served.client.attach(&id, &start("sleep 4716")).await.unwrap().split();
        assert!(matches!(outputs.next().await.unwrap(), Output::Started(_)));
        let flood = async { while input.stdin(&[0; 65_000]).await.is_ok() {} };
        let looks = async {
            for _ in 0..20 {
                served.sh(&id, "true").await;
            }
        };
        tokio::select! {
            () = flood => panic!("the connection broke"),
            () = looks => {}
        }
        let grown = served.memory().saturating_sub(before);
        println!("a client that floods: the server grew by {grown} KiB");
        assert!(grown < 24 * 1024, "{grown} KiB");
        drop((input, outputs));
        served.wait_for_end_of(&id, "4716").await;
        served.end(&id).await;
    });
}

/// A little too long, and far too long.
#[test]
fn a_message_that_is_too_long_is_refused_and_says_why() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        for length in [70_000, 300_000] {
            let long = start(&format!("true {}", "x".repeat(length)));
            let (_input, mut outputs) = served.client.attach(&id, &long).await.unwrap().split();
            assert_eq!(outputs.next().await.unwrap_err().code, ErrorCode::TooLarge, "{length}");
        }
        served.world.destroy(&id.to_string());
    });
}

#[test]
fn a_server_that_stops_says_so_and_ends_what_is_attached() {
    run(async {
        let mut served = Served::start();
        let id = served.sandbox(|_| {}).await;
        let (_input, mut outputs) = served.client.attach(&id, &start("sleep 4717")).await.unwrap().split();
        assert!(matches!(outputs.next().await.unwrap(), Output::Started(_)));
        let stopping = std::thread::spawn(move || {
            served.stop();
            served
        });
        assert_eq!(outputs.next().await.unwrap_err().code, ErrorCode::Draining);
        drop(outputs);
        let served = stopping.join().unwrap();
        let id = id.to_string();
        assert_eq!(
            served
                .world
                .run(&["exec", &id, "--", "pgrep", "-f", "sleep 471[7]"])
                .code,
            1
        );
        served.world.destroy(&id);
    });
}
