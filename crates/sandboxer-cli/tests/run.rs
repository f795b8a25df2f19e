//! `run` and `exec`: exit codes, bytes, signals, terminals.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start real programs"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;

use support::{World, finish, wait_until};

const RUN: [&str; 4] = ["run", "--profile", "profile.native", "--"];

fn run(world: &World, command: &[&str]) -> support::Answer {
    world.run(&[&RUN, command].concat())
}

#[test]
fn the_exit_code_is_the_commands_own() {
    let world = World::new();
    for code in [0, 1, 2, 42, 124, 125, 255] {
        assert_eq!(run(&world, &["sh", "-c", &format!("exit {code}")]).code, code);
    }
    assert_eq!(run(&world, &["sh", "-c", "kill -9 $$"]).code, 137);
    assert_eq!(run(&world, &["sh", "-c", "kill -15 $$"]).code, 143);
    let records = world.run(&["list", "--all"]).json();
    for record in records.as_array().unwrap() {
        assert_eq!(
            (&record["state"], &record["reason"]),
            (&"destroyed".into(), &"run_finished".into()),
            "{record}"
        );
    }
    assert_eq!(records.as_array().unwrap().len(), 9);
}

#[test]
fn errors_of_sandboxer_itself_are_125() {
    let world = World::new();
    assert_eq!(world.run(&["run"]).code, 125);
    assert_eq!(world.run(&["run", "--nonsense"]).code, 125);
    assert_eq!(
        world.run(&["run", "--profile", "profile.no-such", "--", "true"]).code,
        125
    );
    assert_eq!(world.run(&["exec", "sbx-000", "--", "true"]).code, 125);
}

#[test]
fn a_program_that_is_not_there() {
    let world = World::new();
    let answer = run(&world, &["/no/such/program"]);
    assert_eq!(answer.code, 127, "{answer:?}");
    let answer = run(&world, &["/etc"]);
    assert_eq!(answer.code, 126, "{answer:?}");
}

#[test]
fn bytes_pass_unchanged_both_ways() {
    let world = World::new();
    let input: Vec<u8> = (0..300_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    // Quiet: one that takes long would say how far it is.
    let output = world.feed(&[&["--quiet"], &RUN[..], &["cat"]].concat(), &input);
    assert!(output.status.success());
    assert!(
        output.stdout == input,
        "{} of {} bytes came back",
        output.stdout.len(),
        input.len()
    );
    assert_eq!(output.stderr, b"");
}

#[test]
fn variables_and_directory() {
    let world = World::new();
    let id = world.create(&[]);
    let answer = world.run(&[
        "exec",
        &id,
        "--env",
        "A=b c",
        "--cwd",
        "/tmp",
        "--",
        "sh",
        "-c",
        "echo $A; pwd",
    ]);
    assert_eq!(answer.stdout, "b c\n/tmp\n", "{answer:?}");
    let answer = world.run(&["exec", &id, "--", "env"]);
    assert!(
        !answer.stdout.contains("SANDBOXER_DATA_DIR"),
        "the caller's variables stay outside: {answer:?}"
    );
    world.destroy(&id);
}

#[test]
fn timings_say_where_the_time_went() {
    let world = World::new();
    let answer = world.run(&["run", "--profile", "profile.native", "--timings", "--", "echo", "data"]);
    assert_eq!(answer.stdout, "data\n");
    for step in [
        "read the command line",
        "open the database",
        "provision",
        "total, from the first line of main",
    ] {
        assert!(answer.stderr.contains(step), "{step} is missing: {answer:?}");
    }
}

#[test]
fn detached_commands_go_on() {
    let world = World::new();
    let id = world.create(&[]);
    let started = world.run(&[
        "exec",
        "--detach",
        &id,
        "--",
        "sh",
        "-c",
        "touch started; exec sleep 300",
    ]);
    assert!(started.json()["pid"].as_u64().unwrap() > 1);
    wait_until("the command runs", || {
        let answer = world.run(&["exec", &id, "--", "test", "-e", "started"]);
        if answer.code == 0 {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    });
    world.destroy(&id);
}

/// Waits until the child has printed `text`.
fn read_until(child: &mut std::process::Child, text: &str) {
    let stdout = child.stdout.as_mut().unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(text) {
        assert_eq!(
            stdout.read(&mut byte).unwrap(),
            1,
            "ended after {:?}",
            String::from_utf8_lossy(&seen)
        );
        seen.push(byte[0]);
    }
}

fn send(child: &std::process::Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn signals_reach_the_command() {
    let world = World::new();
    let script = "trap 'echo got it; exit 3' INT; echo up; while :; do sleep 0.05; done";
    let mut child = world.start(&[&RUN[..], &["sh", "-c", script]].concat());
    read_until(&mut child, "up\n");
    send(&child, rustix::process::Signal::INT);
    let output = finish(child);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(3), b"got it\n".as_slice()),
        "{output:?}"
    );

    let id = world.create(&[]);
    let mut child = world.start(&["exec", &id, "--", "sh", "-c", "echo up; exec sleep 300"]);
    read_until(&mut child, "up\n");
    send(&child, rustix::process::Signal::TERM);
    assert_eq!(finish(child).status.code(), Some(143));
    world.destroy(&id);
}

#[test]
fn a_command_that_ignores_signals_is_ended_by_the_second_one() {
    let world = World::new();
    let script = "trap 'echo ignored' INT TERM; echo up; while :; do sleep 0.05; done";
    let mut child = world.start(&[&RUN[..], &["sh", "-c", script]].concat());
    read_until(&mut child, "up\n");
    send(&child, rustix::process::Signal::INT);
    read_until(&mut child, "ignored\n");
    send(&child, rustix::process::Signal::INT);
    assert_eq!(finish(child).status.code(), Some(130));
    let records = world.run(&["list", "--all"]).json();
    assert_eq!(records[0]["state"], "destroyed", "{records}");
}

#[test]
fn an_interrupted_create_is_undone() {
    let world = World::new();
    // Signals come at many moments: whatever was begun is gone or whole.
    for delay in 0..12u32 {
        let child = world.start(&["create", "--profile", "profile.native"]);
        let moment = std::time::Instant::now() + std::time::Duration::from_micros(u64::from(delay) * 700);
        while std::time::Instant::now() < moment {
            std::hint::spin_loop();
        }
        send(&child, rustix::process::Signal::INT);
        let output = finish(child);
        let early = output.status.signal() == Some(2);
        assert!(early || matches!(output.status.code(), Some(0 | 130)), "{output:?}");
        let live = world.run(&["list"]).json();
        match output.status.code() {
            Some(0) => world.destroy(live[0]["sandbox_id"].as_str().unwrap()),
            _ => assert_eq!(live, serde_json::json!([]), "{output:?}"),
        }
    }
}

#[test]
fn a_terminal_works() {
    let world = World::new();
    let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let open = || {
        std::fs::File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap()
    };
    let size = rustix::termios::Winsize {
        ws_row: 33,
        ws_col: 101,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&master, size).unwrap();
    let script = "test -t 0 && test -t 1 && stty size; read line; echo \"[$line]\"; exit 5";
    let child = world
        .command(&[
            "run",
            "--profile",
            "profile.native",
            "--quiet",
            "--tty",
            "--",
            "sh",
            "-c",
            script,
        ])
        .stdin(open())
        .stdout(open())
        .stderr(open())
        .spawn()
        .unwrap();
    let mut terminal = std::fs::File::from(master);
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    let mut read_until = |text: &str, terminal: &mut std::fs::File| {
        while !seen.contains(text) {
            let filled = terminal.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..filled]));
        }
    };
    read_until("33 101", &mut terminal);
    terminal.write_all(b"hello\r").unwrap();
    read_until("[hello]", &mut terminal);
    assert_eq!(finish(child).status.code(), Some(5));
}

#[test]
fn a_terminal_is_refused_where_there_is_none() {
    let world = World::new();
    let answer = world.run(&["run", "--profile", "profile.native", "--tty", "--", "true"]);
    assert_eq!(answer.code, 125);
    assert!(answer.stderr.contains("standard input is not a terminal"), "{answer:?}");
}
