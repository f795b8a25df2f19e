//! Commands inside.

use std::io::Read as _;
use std::time::Duration;

use sandboxer_extension::{ErrorKind, ExecExit, ExecRequest, ExecSession, ExecStdio, ExtensionError, WindowSize};

use crate::bench::{Bench, Started, collect, failed};
use crate::ensure;
use crate::probe::ProbeCommand;
use crate::trial::{Outcome, Stop, trials};

trials! {
    exit_codes_come_back ["exec"],
    bytes_pass_unchanged ["exec"],
    closed_input_ends_a_reader ["exec"],
    error_stream_is_its_own ["exec"],
    variables_arrive ["exec"],
    callers_environment_stays_out ["exec"],
    commands_start_in_the_workspace ["exec"],
    directory_can_be_chosen ["exec"],
    unknown_program_says_so ["exec"],
    empty_command_is_invalid ["exec"],
    death_by_signal_is_told ["exec", "exec_signals"],
    signals_arrive ["exec", "exec_signals"],
    death_by_signal_is_a_code ["exec", "!exec_signals"],
    signals_end_the_call ["exec", "!exec_signals"],
    eight_at_once ["exec"],
    exec_in_the_absent_is_not_found ["exec"],
    commands_end_with_their_sandbox ["exec"],
    last_command_may_begin_the_removal ["exec"],
    terminal_is_one ["exec_tty"],
    detached_command_goes_on ["exec_detach"],
    exec_is_unsupported ["!exec"],
    terminal_is_unsupported ["exec", "!exec_tty"],
    detaching_is_unsupported ["exec", "!exec_detach"],
    a_running_command_is_told_of ["exec", "exec_signals", "activity"],
}

async fn exit_codes_come_back(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    for code in [0, 1, 42, 127, 255] {
        let ran = bench.run(&target, &ProbeCommand::Exit(code), Vec::new()).await?;
        ensure!(
            ran.exit == ExecExit::Code(code),
            "`exit {code}` came back as {:?}",
            ran.exit
        );
        ensure!(
            ran.stdout.is_empty() && ran.stderr.is_empty(),
            "`exit {code}` printed something: {ran:?}"
        );
    }
    Ok(())
}

/// Every byte value, in no simple pattern.
fn every_byte(length: u32, seed: u32) -> Vec<u8> {
    let mix = |n: u32| n.wrapping_mul(2_654_435_761).rotate_left(13) ^ seed;
    (0..length)
        .map(|n| if n < 256 { n as u8 } else { mix(n) as u8 })
        .collect()
}

async fn bytes_pass_unchanged(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let input = every_byte(256 * 1024, 0);
    let ran = bench.run(&target, &ProbeCommand::Cat, input.clone()).await?;
    ensure!(ran.exit == ExecExit::Code(0), "cat came to {:?}", ran.exit);
    let differs = input.iter().zip(&ran.stdout).position(|(a, b)| a != b);
    ensure!(
        ran.stdout == input,
        "of {} bytes {} came back; the first that differs: {differs:?}",
        input.len(),
        ran.stdout.len()
    );
    Ok(())
}

async fn closed_input_ends_a_reader(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let ran = bench.run(&target, &ProbeCommand::Cat, Vec::new()).await?;
    ensure!(
        ran.exit == ExecExit::Code(0) && ran.stdout.is_empty(),
        "an empty cat came to {ran:?}"
    );
    Ok(())
}

async fn error_stream_is_its_own(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let ran = bench.run(&target, &ProbeCommand::TwoStreams, Vec::new()).await?;
    ensure!(
        ran.stdout == b"out" && ran.stderr == b"err",
        "expected `out` and `err`, got {ran:?}"
    );
    Ok(())
}

async fn variables_arrive(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let value = "a b\"c'$d\\\té\nend";
    let env = vec![
        ("SBX_PROBE".to_owned(), value.to_owned()),
        ("SBX_EMPTY".to_owned(), String::new()),
    ];
    for (name, expected) in [("SBX_PROBE", value), ("SBX_EMPTY", ""), ("SBX_OTHER", "unset")] {
        let probe = ProbeCommand::Variable(name.to_owned());
        let ran = bench.run_with(&target, &probe, Vec::new(), env.clone(), None).await?;
        ensure!(
            ran.text() == expected,
            "{name} should be {expected:?} inside and is {:?}",
            ran.text()
        );
    }
    Ok(())
}

async fn callers_environment_stays_out(bench: &Bench<'_>) -> Outcome {
    let usual = [
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "HOSTNAME",
    ];
    let is_name = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let ours = std::env::vars_os().filter_map(|(name, value)| (!value.is_empty()).then(|| name.into_string().ok())?);
    let leaks: Vec<String> = ours
        .filter(|name| is_name(name) && !usual.contains(&name.as_str()) && !name.starts_with("LC_"))
        .take(3)
        .collect();
    if leaks.is_empty() {
        return Err(Stop::Skipped(
            "the environment of this process holds nothing that could leak".to_owned(),
        ));
    }
    let (target, _) = bench.up(&bench.request()).await?;
    for name in leaks {
        let ran = bench
            .run(&target, &ProbeCommand::Variable(name.clone()), Vec::new())
            .await?;
        ensure!(ran.text() == "unset", "the caller's {name} is visible inside");
    }
    Ok(())
}

async fn commands_start_in_the_workspace(bench: &Bench<'_>) -> Outcome {
    let (target, ready) = bench.up(&bench.request()).await?;
    let Some(workspace) = &ready.reachability.workspace else {
        // Where services say themselves where they work, the tree is known by where it lies on the host.
        ensure!(
            bench.extension().capabilities().needs_host && ready.reachability.remote_dir.is_some(),
            "the reachability does not name the workspace"
        );
        return the_tree_is_right_there(bench, &target).await;
    };
    let ran = bench.run(&target, &ProbeCommand::WorkingDirectory, Vec::new()).await?;
    ensure!(
        ran.text().trim_end() == workspace,
        "the workspace is {workspace}, the command started in {}",
        ran.text()
    );
    Ok(())
}

/// A file of the subject's own tree can be read by its bare name.
async fn the_tree_is_right_there(bench: &Bench<'_>, target: &sandboxer_extension::Target) -> Outcome {
    let Some(name) = bench.subject.tree_file() else {
        return Err(Stop::Skipped("the subject brings no tree to start in".to_owned()));
    };
    let ran = bench
        .run(target, &ProbeCommand::Read { name: name.clone() }, Vec::new())
        .await?;
    ensure!(
        ran.exit == ExecExit::Code(0) && !ran.stdout.is_empty(),
        "{name} of the tree is not where commands start: {ran:?}"
    );
    Ok(())
}

async fn directory_can_be_chosen(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let probe = ProbeCommand::WorkingDirectory;
    let ran = bench
        .run_with(&target, &probe, Vec::new(), Vec::new(), Some("/".to_owned()))
        .await?;
    ensure!(
        ran.text().trim_end() == "/",
        "the command was to start in / and started in {}",
        ran.text()
    );
    Ok(())
}

async fn unknown_program_says_so(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let argv = vec![b"/nonexistent/program".to_vec()];
    match bench.start(&target, argv, Vec::new(), None).await? {
        Err(error) => ensure!(
            error.kind == ErrorKind::Invalid,
            "an unknown program gives {:?}",
            error.kind
        ),
        Ok(started) => {
            // What shells say of a program that is not there, and of one that cannot be started: not every engine tells
            // the two apart.
            let ran = started.finish(Vec::new()).await?;
            ensure!(
                matches!(ran.exit, ExecExit::Code(126 | 127)),
                "an unknown program came to {:?}",
                ran.exit
            );
        }
    }
    Ok(())
}

async fn empty_command_is_invalid(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    match bench.start(&target, Vec::new(), Vec::new(), None).await? {
        Err(error) if error.kind == ErrorKind::Invalid => Ok(()),
        Err(error) => Err(failed("a command without a program: wrong kind")(error)),
        Ok(_) => Err(Stop::Failed("a command without a program was started".to_owned())),
    }
}

async fn death_by_signal_is_told(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    for signal in [9, 15] {
        let ran = bench.run(&target, &ProbeCommand::KillSelf(signal), Vec::new()).await?;
        ensure!(
            ran.exit == ExecExit::Signal(signal),
            "death by signal {signal} came back as {:?}",
            ran.exit
        );
    }
    Ok(())
}

async fn death_by_signal_is_a_code(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    for signal in [9, 15] {
        let ran = bench.run(&target, &ProbeCommand::KillSelf(signal), Vec::new()).await?;
        ensure!(
            ran.exit == ExecExit::Code(128 + signal),
            "death by signal {signal} came back as {:?}",
            ran.exit
        );
    }
    Ok(())
}

/// Nobody is left waiting for a command that was told to end, whatever becomes of it inside.
async fn signals_end_the_call(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let mut sleeper = bench
        .start(&target, ProbeCommand::Sleep.argv(), Vec::new(), None)
        .await?
        .map_err(failed("exec"))?;
    sleeper.session.signal(15).map_err(failed("signal"))?;
    let ran = sleeper.finish(Vec::new()).await?;
    ensure!(
        ran.exit.shell_code() == 128 + 15,
        "a terminated sleeper came to {:?}",
        ran.exit
    );
    bench.expect_usable(&target).await
}

async fn a_running_command_is_told_of(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let tells = async |busy: bool| {
        bench
            .until(Duration::from_secs(20), async || {
                bench.observe(&target).await.busy == Some(busy)
            })
            .await
    };
    ensure!(
        tells(false).await,
        "nothing runs in a fresh sandbox, and it does not say so"
    );
    let mut sleeper = bench
        .start(&target, ProbeCommand::Sleep.argv(), Vec::new(), None)
        .await?
        .map_err(failed("exec"))?;
    ensure!(tells(true).await, "a command runs, and it does not say so");
    sleeper.session.signal(9).map_err(failed("signal"))?;
    sleeper.finish(Vec::new()).await?;
    ensure!(tells(false).await, "the command ended, and it does not say so");
    Ok(())
}

async fn signals_arrive(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let start = async |probe: ProbeCommand| -> Result<Started, Stop> {
        bench
            .start(&target, probe.argv(), Vec::new(), None)
            .await?
            .map_err(failed("exec"))
    };
    let mut sleeper = start(ProbeCommand::Sleep).await?;
    sleeper.session.signal(15).map_err(failed("signal"))?;
    let ran = sleeper.finish(Vec::new()).await?;
    ensure!(
        ran.exit == ExecExit::Signal(15),
        "a terminated sleeper came to {:?}",
        ran.exit
    );
    // Its own handler must run, which shows that the signal reached it and not only its keeper.
    let (their_stdin, _stdin) = pipe()?;
    let (mut stdout, their_stdout) = pipe()?;
    let (_stderr, their_stderr) = pipe()?;
    let stdio = ExecStdio::Pipes {
        stdin: their_stdin.into(),
        stdout: their_stdout.into(),
        stderr: their_stderr.into(),
    };
    let request = ExecRequest {
        argv: ProbeCommand::Trap.argv(),
        env: Vec::new(),
        cwd: None,
        stdio,
        service: None,
        last: false,
    };
    let mut session = bench
        .extension()
        .exec(&bench.call(1), &target, request)
        .await
        .map_err(failed("exec"))?;
    let (sender, armed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = [0u8; 6];
        let _ = sender.send(stdout.read_exact(&mut line).is_ok_and(|()| &line == b"armed\n"));
        let _ = stdout.read_to_end(&mut Vec::new());
    });
    ensure!(
        armed.await == Ok(true),
        "the command with a handler did not say that it is armed"
    );
    session.signal(15).map_err(failed("signal"))?;
    let exit = session.wait().await.map_err(failed("wait"))?;
    ensure!(
        exit == ExecExit::Code(7),
        "the handler should exit with 7; it came to {exit:?}"
    );
    Ok(())
}

fn pipe() -> Result<(std::io::PipeReader, std::io::PipeWriter), Stop> {
    std::io::pipe().map_err(|error| Stop::Failed(format!("no pipe: {error}")))
}

async fn eight_at_once(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let mut started = Vec::new();
    for seed in 0..8u32 {
        let one = bench
            .start(&target, ProbeCommand::Cat.argv(), Vec::new(), None)
            .await?
            .map_err(failed("exec"))?;
        started.push((every_byte(32 * 1024, seed), one));
    }
    // All eight run now. Finished from the last to the first, so that nothing works only in order.
    for (input, one) in started.into_iter().rev() {
        let ran = one.finish(input.clone()).await?;
        ensure!(ran.exit == ExecExit::Code(0), "one of eight came to {:?}", ran.exit);
        ensure!(ran.stdout == input, "the output of one of eight is not its input");
    }
    Ok(())
}

async fn exec_in_the_absent_is_not_found(bench: &Bench<'_>) -> Outcome {
    let never = bench.bare_target(&bench.request());
    let (gone, _) = bench.up(&bench.request()).await?;
    bench.down(2, &gone).await?;
    for target in [never, gone] {
        match bench
            .start(&target, ProbeCommand::Exit(0).argv(), Vec::new(), None)
            .await?
        {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("exec in an absent sandbox: wrong kind")(error)),
            // Over a line the absence is known when the host has been asked, which is when the command ends.
            Ok(started) => {
                let ran = started.finish(Vec::new()).await?;
                ensure!(
                    ran.exit == ExecExit::SandboxGone,
                    "a command in an absent sandbox came to {:?}",
                    ran.exit
                );
            }
        }
    }
    Ok(())
}

async fn commands_end_with_their_sandbox(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let sleeper = bench
        .start(&target, ProbeCommand::Sleep.argv(), Vec::new(), None)
        .await?
        .map_err(failed("exec"))?;
    bench.down(2, &target).await?;
    let ran = sleeper.finish(Vec::new()).await?;
    ensure!(
        matches!(ran.exit, ExecExit::SandboxGone | ExecExit::Signal(_)),
        "a command whose sandbox was removed came to {:?}",
        ran.exit
    );
    Ok(())
}

async fn last_command_may_begin_the_removal(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let (stdin, _) = pipe()?;
    let (_stdout, stdout) = pipe()?;
    let (_stderr, stderr) = pipe()?;
    let request = ExecRequest {
        argv: ProbeCommand::Exit(9).argv(),
        env: Vec::new(),
        cwd: None,
        stdio: ExecStdio::Pipes {
            stdin: stdin.into(),
            stdout: stdout.into(),
            stderr: stderr.into(),
        },
        service: None,
        last: true,
    };
    let mut session = bench
        .extension()
        .exec(&bench.call(1), &target, request)
        .await
        .map_err(failed("exec"))?;
    let exit = session.wait().await.map_err(failed("wait"))?;
    ensure!(exit == ExecExit::Code(9), "a last command came to {exit:?}");
    bench.down(1, &target).await
}

async fn terminal_is_one(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let size = WindowSize { rows: 40, columns: 100 };
    let stdio = ExecStdio::Terminal(size);
    let mut session = start(bench, &target, ProbeCommand::Terminal, stdio)
        .await?
        .map_err(failed("exec"))?;
    let Some(terminal) = session.take_terminal() else {
        return Err(Stop::Failed(
            "a session with a terminal does not hand it out".to_owned(),
        ));
    };
    ensure!(session.take_terminal().is_none(), "the terminal is handed out twice");
    let output = collect(terminal);
    let exit = session.wait().await.map_err(failed("wait"))?;
    let output = output.await.unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    ensure!(
        exit == ExecExit::Code(0),
        "the terminal's probe came to {exit:?} and printed {text:?}"
    );
    ensure!(
        text.trim_end() == "terminal 40 100",
        "expected `terminal 40 100`, got {text:?}"
    );
    Ok(())
}

async fn start(
    bench: &Bench<'_>,
    target: &sandboxer_extension::Target,
    probe: ProbeCommand,
    stdio: ExecStdio,
) -> Result<Result<Box<dyn ExecSession>, ExtensionError>, Stop> {
    let request = ExecRequest {
        argv: probe.argv(),
        env: Vec::new(),
        cwd: None,
        stdio,
        service: None,
        last: false,
    };
    Ok(bench.extension().exec(&bench.call(1), target, request).await)
}

async fn detached_command_goes_on(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let (name, text) = ("later.txt".to_owned(), "it went on".to_owned());
    let probe = ProbeCommand::WriteLater {
        name: name.clone(),
        text: text.clone(),
    };
    let session = start(bench, &target, probe, ExecStdio::Detached)
        .await?
        .map_err(failed("exec"))?;
    drop(session);
    let read = ProbeCommand::Read { name };
    let went_on = bench
        .until(Duration::from_secs(20), async || {
            bench
                .run(&target, &read, Vec::new())
                .await
                .is_ok_and(|ran| ran.text() == text)
        })
        .await;
    ensure!(went_on, "a detached command did not go on when its caller left");
    Ok(())
}

async fn unsupported(answer: Result<Box<dyn ExecSession>, ExtensionError>) -> Outcome {
    match answer {
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(failed("wrong kind")(error)),
        Ok(_) => Err(Stop::Failed("it does what its capabilities do not name".to_owned())),
    }
}

async fn exec_is_unsupported(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    unsupported(start(bench, &target, ProbeCommand::Exit(0), ExecStdio::Detached).await?).await
}

async fn terminal_is_unsupported(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let stdio = ExecStdio::Terminal(WindowSize { rows: 24, columns: 80 });
    unsupported(start(bench, &target, ProbeCommand::Exit(0), stdio).await?).await
}

async fn detaching_is_unsupported(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    unsupported(start(bench, &target, ProbeCommand::Exit(0), ExecStdio::Detached).await?).await
}
