//! What a command on this machine may and may not do to its caller.

use std::time::Duration;

use sandboxer_extension::port::{Clock as _, HostCommand, HostExec as _, HostExecError, HostOutput, SystemClock};
use sandboxer_host::LocalExec;

fn sh(script: &str) -> HostCommand {
    HostCommand {
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        timeout: Duration::from_secs(20),
        output_cap: 1 << 20,
        ..HostCommand::default()
    }
}

async fn run(command: HostCommand) -> Result<HostOutput, HostExecError> {
    LocalExec.run(command).await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a process of this id runs; a zombie waits to be reaped by whoever adopted it and runs no more.
fn runs(pid: &str) -> bool {
    let mut stat = String::new();
    let read = std::fs::File::open(format!("/proc/{pid}/stat"))
        .and_then(|mut file| std::io::Read::read_to_string(&mut file, &mut stat));
    read.is_ok()
        && !stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

fn gone_within(pid: &str, most: Duration) -> bool {
    let deadline = SystemClock.monotonic() + most;
    while runs(pid) {
        if SystemClock.monotonic() > deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(3));
    }
    true
}

fn children() -> usize {
    let me = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path().join("stat");
            let mut stat = String::new();
            std::io::Read::read_to_string(&mut std::fs::File::open(path).ok()?, &mut stat).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.to_owned();
            (parent == me).then_some(())
        })
        .count()
}

#[tokio::test]
async fn output_codes_and_signals_come_back() {
    let output = run(sh("printf out; printf err >&2; exit 42")).await.unwrap();
    assert_eq!(
        (
            output.code,
            text(&output.stdout).as_str(),
            text(&output.stderr).as_str()
        ),
        (42, "out", "err")
    );
    assert_eq!(run(sh("kill -9 $$")).await.unwrap().code, 137);
}

#[tokio::test]
async fn stdin_passes_byte_for_byte() {
    let stdin: Vec<u8> = (0..1_000_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    let output = run(HostCommand {
        stdin: stdin.clone(),
        ..sh("cat")
    })
    .await
    .unwrap();
    assert!(
        output.stdout == stdin,
        "{} of {} bytes",
        output.stdout.len(),
        stdin.len()
    );
    let unread = run(HostCommand { stdin, ..sh("exit 3") }).await.unwrap();
    assert_eq!(unread.code, 3, "input that nobody reads is no error");
}

#[tokio::test]
async fn nothing_is_inherited() {
    assert!(
        std::env::var_os("CARGO_PKG_NAME").is_some(),
        "the test needs a variable that could leak"
    );
    let command = HostCommand {
        argv: vec!["env".to_owned()],
        env: vec![("A".into(), "b".into())],
        ..sh("")
    };
    let output = run(command).await.unwrap();
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "A=b".to_owned(),
            format!("PATH={}", sandboxer_host::local_exec::SAFE_PATH)
        ]
    );
}

#[tokio::test]
async fn output_is_capped_and_the_rest_drained() {
    let output = run(HostCommand {
        output_cap: 1000,
        ..sh("head -c 5000000 /dev/zero; echo done >&2")
    })
    .await
    .unwrap();
    assert_eq!(
        (output.code, output.stdout.len(), text(&output.stderr).as_str()),
        (0, 1000, "done\n")
    );
}

#[tokio::test]
async fn the_deadline_kills_grandchildren_too() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let script = format!(
        "echo $$ > {0}; (sleep 300 & echo $! >> {0}; wait) & wait",
        pids.display()
    );
    let (mut timeout, mut listed) = (Duration::from_millis(500), String::new());
    // Where the machine stood still meanwhile, both need more time to start.
    while listed.lines().count() < 2 && timeout <= Duration::from_secs(8) {
        let start = SystemClock.monotonic();
        let error = run(HostCommand { timeout, ..sh(&script) }).await.unwrap_err();
        assert!(matches!(error, HostExecError::Timeout { .. }), "{error}");
        assert!(SystemClock.monotonic() - start < timeout + Duration::from_secs(10));
        listed.clear();
        if let Ok(mut file) = std::fs::File::open(&pids) {
            std::io::Read::read_to_string(&mut file, &mut listed).unwrap();
        }
        timeout *= 2;
    }
    assert_eq!(listed.lines().count(), 2, "both had started: {listed}");
    for pid in listed.lines() {
        assert!(gone_within(pid, Duration::from_secs(5)), "{pid} outlived its deadline");
    }
}

#[tokio::test]
async fn what_is_left_in_the_background_ends_with_the_command() {
    let output = run(sh("sleep 300 & echo $!")).await.unwrap();
    let pid = text(&output.stdout).trim().to_owned();
    assert!(gone_within(&pid, Duration::from_secs(5)), "{pid} outlived its command");
}

#[tokio::test]
async fn a_missing_program_says_so() {
    let error = run(HostCommand {
        argv: vec!["/nonexistent/program".into()],
        ..sh("")
    })
    .await
    .unwrap_err();
    assert!(matches!(&error, HostExecError::Start { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/program"), "{error}");
    assert!(run(HostCommand { argv: vec![], ..sh("") }).await.is_err());
}

// Counts child processes and open files, so it runs itself again in a process where no other test works beside it.
#[test]
fn nothing_is_left_behind() {
    if std::env::var_os("SBX_LEAK_CHILD").is_none() {
        let output = sandboxer_host::local_exec::run_blocking(&HostCommand {
            argv: vec![
                std::env::current_exe().unwrap().to_str().unwrap().to_owned(),
                "--exact".into(),
                "nothing_is_left_behind".into(),
            ],
            env: vec![("SBX_LEAK_CHILD".into(), "1".into())],
            stdin: Vec::new(),
            timeout: Duration::from_secs(60),
            output_cap: 1 << 16,
        })
        .unwrap();
        assert_eq!(output.code, 0, "{}", text(&output.stdout));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    runtime.block_on(run(sh("true"))).unwrap();
    let before = (children(), fds());
    for _ in 0..10 {
        let _ = runtime.block_on(run(sh("exit 1")));
        let _ = runtime.block_on(run(HostCommand {
            timeout: Duration::from_millis(20),
            ..sh("sleep 300")
        }));
        let _ = runtime.block_on(run(HostCommand {
            argv: vec!["/nonexistent".into()],
            ..sh("")
        }));
    }
    assert_eq!((children(), fds()), before, "(child processes, open files)");
}
