//! How calls over SSH end: the program's own code, a connection that broke, and one that was never made.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests make servers and keep their own time"
)]

#[path = "support/loopback.rs"]
mod loopback;

use std::sync::Arc;
use std::time::{Duration, Instant};

use loopback::{Lab, machine, program, runtime, settings};
use sandboxer_extension::port::HostOutput;
use sandboxer_host::machine::{AttachIo, MachineErrorKind, Terminal};
use sandboxer_host::{Machine, MachineError, Program};
use sandboxer_model::host::HostAddress;
use sandboxer_testbed::{Stopwatch, or_skip};

const ENOUGH: Duration = Duration::from_secs(20);

fn plainly(lab: &Lab) -> Machine {
    machine(settings(&lab.server.ssh_config(), &lab.room.path().join("state")))
}

fn with(lab: &Lab, config: &str) -> Machine {
    machine(settings(&lab.config(config), &lab.room.path().join("state")))
}

fn run(machine: &Machine, text: &'static str, timeout: Duration) -> Result<HostOutput, MachineError> {
    runtime().block_on(machine.run(program(text, timeout), Vec::new()))
}

fn talk(machine: &Machine, text: &'static str) -> Result<HostOutput, MachineError> {
    runtime().block_on(async {
        let talk = machine.talk(program(text, ENOUGH)).await?;
        talk.finish().await
    })
}

fn attach(machine: &Machine, text: &'static str) -> Result<i32, MachineError> {
    let nowhere = || {
        let file = std::fs::File::options().read(true).write(true).open("/dev/null");
        file.expect("nowhere").into()
    };
    let io = AttachIo {
        stdin: nowhere(),
        stdout: nowhere(),
        stderr: nowhere(),
        terminal: Terminal::No,
    };
    let mut attached = machine.attach(&program(text, ENOUGH), &[], io)?;
    runtime().block_on(attached.wait())
}

/// Ends the process of the server that serves this connection.
const CUT: &str = "read -r _ _ _ server _ </proc/$PPID/stat; kill -9 $server; sleep 5";

#[test]
fn a_programs_own_255_is_its_own() {
    let lab = or_skip!("exit codes over SSH", Lab::start());
    let machine = plainly(&lab);
    for (text, code) in [
        ("echo a >&2; exit 255", 255),
        ("echo a >&2; exit 3", 3),
        ("echo a >&2", 0),
    ] {
        let output = run(&machine, text, ENOUGH).expect("it ends by itself");
        assert_eq!(output.code, code);
        // Neither a banner nor what the client logs.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "a\n");
        let talked = talk(&machine, text).expect("it ends by itself");
        assert_eq!((talked.code, talked.stderr), (code, b"a\n".to_vec()));
        assert_eq!(attach(&machine, text), Ok(code));
    }
}

#[test]
fn a_connection_that_breaks_after_it_was_made_says_so() {
    let lab = or_skip!("a connection that breaks", Lab::start());
    let machine = plainly(&lab);
    for error in [
        run(&machine, CUT, ENOUGH).map(|output| output.code),
        talk(&machine, CUT).map(|output| output.code),
        attach(&machine, CUT),
    ] {
        let error = error.expect_err("it broke");
        assert_eq!(error.kind, MachineErrorKind::TimedOut, "{error:?}");
        assert!(!error.nothing_sent(), "{error:?}");
        assert!(error.message.contains("unknown"), "{error:?}");
    }
    let ended = run(&machine, "kill -9 $PPID", ENOUGH).expect_err("it told no exit code");
    assert!(
        ended.message.contains("by a signal") && !ended.nothing_sent(),
        "{ended:?}"
    );
    // Until its time is over while it runs: where the machine stands still meanwhile, it needs more to begin.
    let begun = lab.room.path().join("begun");
    let mut timeout = Duration::from_secs(2);
    let late = loop {
        let program = Program {
            words: vec![begun.display().to_string()],
            ..program("touch \"$1\"; sleep 30", timeout)
        };
        let late = runtime().block_on(machine.run(program, Vec::new()));
        let late = late.expect_err("its time is over");
        if begun.exists() {
            break late;
        }
        timeout *= 2;
        assert!(timeout <= Duration::from_secs(16), "it does not begin: {late:?}");
    };
    assert!(
        late.kind == MachineErrorKind::TimedOut && !late.nothing_sent(),
        "{late:?}"
    );
}

#[test]
fn a_connection_that_was_never_made_asked_for_nothing() {
    let lab = or_skip!("a connection that is never made", Lab::start());
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("listens");
    let port = silent.local_addr().expect("an address").port();
    let stranger = lab.room.path().join("stranger");
    let keygen = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&stranger)
        .status();
    assert!(keygen.expect("ssh-keygen runs").success());
    let stranger = format!("Host *\n  IdentityFile {}\n  IdentitiesOnly yes", stranger.display());
    for (what, config, kind, words) in [
        (
            "port",
            "Host *\n  Port 1",
            MachineErrorKind::Unreachable,
            "Connection refused",
        ),
        (
            "name",
            "Host *\n  HostName nobody.invalid",
            MachineErrorKind::Unreachable,
            "Could not resolve hostname",
        ),
        (
            "known",
            "Host *\n  UserKnownHostsFile /dev/null",
            MachineErrorKind::HostKeyUnknown,
            "Host key verification failed",
        ),
        (
            "proxy",
            "Host *\n  ProxyCommand echo no way >&2; exit 1",
            MachineErrorKind::Unreachable,
            "cannot reach",
        ),
        ("option", "Host *\n  Bogus yes", MachineErrorKind::Start, "bogus"),
    ] {
        let machine = with(&lab, config);
        for error in [
            run(&machine, "true", ENOUGH).map(|output| output.code),
            talk(&machine, "true").map(|output| output.code),
            attach(&machine, "true"),
        ] {
            let error = error.expect_err("nobody is let in");
            // Standard error of a program that is attached is its caller's, so what is said there is not repeated.
            let is_told = error.message.contains(words) || what == "option";
            assert!(is_told, "{what}: {error:?}");
            assert!(error.kind == kind || what == "option", "{what}: {error:?}");
            assert!(error.nothing_sent() || what == "option", "{what}: {error:?}");
        }
        let error = run(&machine, "true", ENOUGH).expect_err("nobody is let in");
        assert!(error.kind == kind && error.nothing_sent(), "{what}: {error:?}");
    }
    // A key that the server does not know.
    let own = std::fs::read_to_string(lab.server.ssh_config()).expect("a configuration");
    let own: String = own
        .lines()
        .filter(|line| !line.contains("IdentityFile"))
        .fold(String::new(), |text, line| text + line + "\n");
    let config = lab.room.path().join("stranger_config");
    std::fs::write(&config, format!("{stranger}\n{own}")).expect("a file");
    let denied = run(
        &machine(settings(&config, &lab.room.path().join("state"))),
        "true",
        ENOUGH,
    )
    .expect_err("nobody is let in");
    assert_eq!(denied.kind, MachineErrorKind::Denied, "{denied:?}");
    assert!(denied.nothing_sent(), "{denied:?}");
    // A server that says nothing at all.
    let machine = with(&lab, &format!("Host *\n  Port {port}"));
    let watch = Stopwatch::start();
    let late = run(&machine, "true", Duration::from_secs(2)).expect_err("nobody is let in");
    let took = watch.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(
        late.kind == MachineErrorKind::TimedOut && late.nothing_sent(),
        "{late:?}"
    );
    assert!(late.message.contains("nothing was done"), "{late:?}");
}

#[test]
fn nobody_waits_for_what_left_its_process_group() {
    // It holds all three pipes, and nobody who started it can end it.
    const LEAVES: &str = "setsid -f sleep 25 2>&2 >&1 <&0; echo said; echo told >&2; exit 3";
    let here = tempfile::tempdir().expect("a directory");
    let settings = settings(std::path::Path::new("/dev/null"), here.path());
    let local = Machine::at(&HostAddress::Local, &Arc::new(settings));
    let started = Instant::now();
    let output = run(&local, LEAVES, ENOUGH).expect("it ends");
    assert_eq!((output.code, output.stdout), (3, b"said\n".to_vec()));
    let (line, output) = runtime().block_on(async {
        let mut talk = local.talk(program(LEAVES, ENOUGH)).await.expect("it starts");
        let line = talk.line().await.expect("it says something");
        assert_eq!(talk.line().await, Ok(None), "it says no more");
        // More than a pipe holds, to somebody who does not read.
        for _ in 0..40 {
            talk.send(&[b'x'; 65_536]).await.expect("it is said to nobody");
        }
        (line, talk.finish().await.expect("it ends"))
    });
    assert_eq!(line.as_deref(), Some("said"));
    assert_eq!((output.code, output.stderr), (3, b"told\n".to_vec()));
    assert!(started.elapsed() < ENOUGH, "{:?}", started.elapsed());
    // One that the way to a host left behind.
    let lab = or_skip!("what a way to a host left behind", Lab::start());
    let machine = with(&lab, "Host *\n  ProxyCommand setsid -f sleep 25 1>&2; exit 1");
    let started = Instant::now();
    for error in [run(&machine, "true", ENOUGH), talk(&machine, "true")] {
        let error = error.expect_err("nobody is let in");
        assert!(error.nothing_sent(), "{error:?}");
    }
    assert!(started.elapsed() < ENOUGH, "{:?}", started.elapsed());
}
