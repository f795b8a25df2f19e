//! Programs on a real machine over SSH: words arrive as they are, and nobody is held up by a cable that is cut.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests make machines and keep their own time"
)]

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandboxer_host::machine::{AttachIo, MachineErrorKind, Terminal};
use sandboxer_host::{Machine, Program, SshSettings};
use sandboxer_model::host::HostAddress;
use sandboxer_testbed::{Compose, Direction, Host, Plan, Stopwatch, or_skip};

fn machine(host: &Host, state: &tempfile::TempDir) -> Machine {
    let settings = SshSettings {
        config_file: Some(host.ssh_config()),
        user: None,
        key: None,
        cert_command: None,
        connect_timeout: Duration::from_secs(5),
        state_dir: state.path().to_owned(),
    };
    let address: HostAddress = host.alias().parse().expect("an alias");
    Machine::at(&address, &Arc::new(settings))
}

fn program(text: &'static str, timeout: Duration) -> Program {
    Program {
        text: Cow::Borrowed(text),
        words: Vec::new(),
        timeout,
        output_cap: 1 << 20,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

#[test]
fn every_payload_is_one_argument_there_or_refused_here() {
    let host = or_skip!(
        "payloads over SSH",
        Host::start(Plan::new().compose(Compose::None).without_image())
    );
    let state = tempfile::tempdir().expect("a directory");
    let machine = machine(&host, &state);
    let before = host.sh("ls /tmp").expect("a look");
    // One command line holds 128 KiB at most, quoted and with the program itself.
    const MOST: usize = 120 * 1024;
    let quoted = |word: &[u8]| sandboxer_host::quote::shell(word).map_or(usize::MAX, |quoted| quoted.len() + 1);
    let mut parts: Vec<(usize, Vec<Vec<u8>>)> = Vec::new();
    let words = sandboxer_testbed::payloads::payloads("/tmp/injected");
    for word in words.into_iter().filter(|word| !word.contains(&0)) {
        let size = quoted(&word);
        match parts.last_mut() {
            Some((length, part)) if *length + size <= MOST => {
                *length += size;
                part.push(word);
            }
            _ => parts.push((size, vec![word])),
        }
    }
    for (size, part) in parts {
        let (mut stdout, their_stdout) = std::io::pipe().expect("a pipe");
        let nowhere = || {
            std::fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .expect("nowhere")
        };
        let io = AttachIo {
            stdin: nowhere().into(),
            stdout: their_stdout.into(),
            stderr: nowhere().into(),
            terminal: Terminal::No,
        };
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            stdout.read_to_end(&mut all).map(|_| all)
        });
        let echo = program("printf '%s\\0' \"$@\"", Duration::from_secs(30));
        let attached = machine.attach(&echo, &part, io);
        if size > MOST {
            let Err(error) = attached else {
                panic!("{size} bytes are too long for a command line");
            };
            assert_eq!(error.kind, MachineErrorKind::Start, "{error:?}");
            continue;
        }
        let mut attached = attached.expect("it starts");
        assert_eq!(runtime().block_on(attached.wait()), Ok(0));
        drop(attached);
        let expected: Vec<u8> = part.iter().flat_map(|word| word.iter().copied().chain([0])).collect();
        assert_eq!(reader.join().expect("a thread").expect("it reads"), expected);
    }
    assert_eq!(host.sh("ls /tmp").expect("a look"), before, "something ran");
    for payload in sandboxer_testbed::payloads::payloads("/tmp/injected") {
        let text = String::from_utf8_lossy(&payload).into_owned();
        if let Ok(address) = text.parse::<HostAddress>() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-@:".contains(c);
            assert!(text.chars().all(plain) && !text.starts_with('-'), "{address}");
        }
    }
    host.down();
}

#[test]
fn a_call_comes_back_by_its_deadline_whatever_becomes_of_the_cable() {
    const DEADLINE: Duration = Duration::from_secs(4);
    let host = or_skip!(
        "a cut cable",
        Host::start(Plan::new().compose(Compose::None).without_image())
    );
    let state = tempfile::tempdir().expect("a directory");
    let machine = machine(&host, &state);
    let call = |text: &'static str| {
        let watch = Stopwatch::start();
        let outcome = runtime().block_on(machine.run(program(text, DEADLINE), Vec::new()));
        (outcome, watch.elapsed())
    };
    let (well, _) = call("echo well");
    assert_eq!(well.expect("it answers").stdout, b"well\n");
    for direction in [Direction::Both, Direction::ToHost, Direction::FromHost] {
        // Before it is reached, and in the middle of a program.
        host.partition(direction).expect("it is cut");
        let (outcome, took) = call("echo late");
        assert!(
            outcome.is_err() && took <= DEADLINE + Duration::from_secs(1),
            "{direction:?}: {took:?}"
        );
        host.heal().expect("it is mended");
        let (outcome, took) = std::thread::scope(|scope| {
            let running = scope.spawn(|| call("sleep 30"));
            let at = Instant::now() + Duration::from_millis(1500);
            while let Some(wait) = at.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(wait);
            }
            host.partition(direction).expect("it is cut");
            running.join().expect("a thread")
        });
        let kind = outcome.expect_err("it cannot end well").kind;
        assert!(took <= DEADLINE + Duration::from_secs(1), "{direction:?}: {took:?}");
        assert!(
            matches!(kind, MachineErrorKind::TimedOut | MachineErrorKind::Unreachable),
            "{kind:?}"
        );
        host.heal().expect("it is mended");
    }
    // Flapping: cut and mended all the time.
    let (outcome, took) = std::thread::scope(|scope| {
        let running = scope.spawn(|| call("sleep 30"));
        for _ in 0..6 {
            host.partition(Direction::Both).expect("it is cut");
            host.heal().expect("it is mended");
        }
        running.join().expect("a thread")
    });
    assert!(
        outcome.is_err() && took <= DEADLINE + Duration::from_secs(1),
        "flapping: {took:?}"
    );
    // What ran there under a time-out is over too, although nobody could tell it so.
    let until = Instant::now() + Duration::from_secs(20);
    while host
        .processes()
        .expect("a look")
        .iter()
        .any(|line| line.contains("sleep 30"))
    {
        assert!(Instant::now() < until, "it still runs on the host");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let (well, _) = call("echo well");
    assert_eq!(well.expect("it answers again").stdout, b"well\n");
    host.down();
}
