//! schemathesis: requests made from the API document, right ones and wrong ones, one after the other and along links, by callers of each
//! role. Every caller has a server of its own, since an administrator changes what the others may. The servers reach nothing: hosts
//! and webhooks are made up, too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::Run;
use super::super::tally::Tally;
use super::server::{Key, Network, Server};
use crate::{Outcome, process, workspace};

/// The callers.
const ROLES: &[&str] = &["adm", "atm", "agt"];
/// Requests made up for each operation; some thousands for all operations come on top, the same ones for the same document.
const EXAMPLES: &str = "120";
/// Requests that servers must have answered, all together.
const REQUESTS: u64 = 20_000;
/// Operations that go to a machine that the caller names. Where it is not there, 503 is the right answer, and nothing else with a 5.
const ELSEWHERE: &[&str] = &["host.add", "host.inspect", "host.probe", "webhook.test"];

/// What one caller came to.
struct Verdict {
    role: &'static str,
    requests: u64,
    problems: Vec<String>,
}

/// Fuzzes. Each caller counts as one test.
pub(super) fn run(run: &Run) -> Outcome<(Tally, BTreeSet<String>)> {
    let program = match bring_up() {
        Ok(program) => program,
        Err(error) => {
            let skipped = BTreeSet::from([format!("fuzzing of the API: no schemathesis: {error}")]);
            return Ok((Tally::default(), skipped));
        }
    };
    let began = Instant::now();
    let verdicts: Vec<_> = std::thread::scope(|scope| {
        let program = &program;
        let threads = ROLES
            .iter()
            .map(|role| scope.spawn(move || as_role(run, role, program)));
        threads
            .collect::<Vec<_>>()
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a run of schemathesis broke off".into()))
            })
            .collect()
    });
    let mut tally = Tally::default();
    let mut requests = 0;
    for (verdict, role) in verdicts.into_iter().zip(ROLES) {
        let verdict = verdict.unwrap_or_else(|error| Verdict {
            role,
            requests: 0,
            problems: vec![error],
        });
        requests += verdict.requests;
        eprintln!("   schemathesis as {}: {} requests", verdict.role, verdict.requests);
        for problem in &verdict.problems {
            eprintln!("   schemathesis as {}: {problem}", verdict.role);
        }
        if verdict.problems.is_empty() {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }
    eprintln!("   {requests} requests in {:.0} s", began.elapsed().as_secs_f64());
    if requests < REQUESTS {
        eprintln!("   schemathesis: fewer than {REQUESTS} requests");
        tally.failed += 1;
    }
    Ok((tally, BTreeSet::new()))
}

fn as_role(run: &Run, role: &'static str, program: &Path) -> Outcome<Verdict> {
    let server = Server::start(run, role, Network::Nothing)?;
    let key = server.key(role)?;
    let mut problems = Vec::new();
    let log = server.folder.join("schemathesis.log");
    if let Err(error) = fuzz(&server, &key, program, &log) {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        problems.push(format!("{error}\n{said}"));
    }
    // A key of afterwards: an administrator revokes whatever key is listed.
    let metrics = server.metrics(&server.key("adm")?)?;
    let answered = Answered::read(&metrics);
    problems.extend(answered.errors);
    problems.extend(server.end()?);
    Ok(Verdict {
        role,
        requests: answered.requests,
        problems,
    })
}

fn fuzz(server: &Server<'_>, key: &Key, program: &Path, log: &Path) -> Outcome {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", log.display());
    let output = std::fs::File::create(log).map_err(failed)?;
    // It looks for its hooks where it runs, and may leave things there.
    for name in ["schemathesis.toml", "hooks.py"] {
        let text = workspace::read(Path::new("xtask/api").join(name))?;
        workspace::write(&server.folder.join(name), &text)?;
    }
    let mut command = server.beside(program);
    command
        .args(["--config-file", "schemathesis.toml"])
        .args(["run", &format!("{}/openapi.json", server.address)])
        .args(["--max-examples", EXAMPLES, "--generation-deterministic", "--no-color"])
        // Shrinking asks again and again, and is for whoever looks into it.
        .arg("--no-shrink")
        .env("SBX_API_KEY", &key.token)
        .env("SBX_OWN_KEY", &key.key_id)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&server.folder)
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output);
    process::run(&mut command)
}

/// What a server says it answered.
#[derive(Default)]
struct Answered {
    requests: u64,
    /// Answers that there must not be, one line for each kind.
    errors: Vec<String>,
}

impl Answered {
    fn read(metrics: &str) -> Answered {
        let mut answered = Answered::default();
        for line in metrics.lines() {
            let Some((labels, count)) = line
                .strip_prefix("sandboxer_http_requests_total{")
                .and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let count: u64 = count.trim().parse().unwrap_or(0);
            answered.requests += count;
            let label = |name: &str| {
                labels
                    .split(',')
                    .find_map(|one| one.strip_prefix(name))
                    .unwrap_or("")
                    .trim_matches('"')
            };
            let (operation, status) = (label("operation="), label("status="));
            let is_allowed = status == "503" && ELSEWHERE.contains(&operation);
            if status.starts_with('5') && !is_allowed {
                answered
                    .errors
                    .push(format!("{operation} answered {status} {count} times"));
            }
        }
        answered
    }
}

/// Installs schemathesis into a virtual environment of its own. Returns the program.
fn bring_up() -> Outcome<PathBuf> {
    let folder = workspace::target_dir().join("schemathesis");
    let program = folder.join("bin/schemathesis");
    let wanted = workspace::read("xtask/api/requirements.txt")?;
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(program);
    }
    eprintln!("installing schemathesis");
    process::capture(process::command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = process::command(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ])
    .arg(workspace::root().join("xtask/api/requirements.txt"));
    process::capture(&mut pip)?;
    workspace::write(&stamp, &wanted)?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_errors_named() {
        let answered = Answered::read(
            "# TYPE sandboxer_http_requests counter\n\
             sandboxer_http_requests_total{operation=\"host.add\",status=\"503\"} 2\n\
             sandboxer_http_requests_total{operation=\"sandbox.get\",status=\"200\"} 40\n\
             sandboxer_http_requests_total{operation=\"sandbox.get\",status=\"503\"} 1\n\
             sandboxer_http_request_duration_seconds_count{operation=\"sandbox.get\"} 41\n",
        );
        assert_eq!(answered.requests, 43);
        assert_eq!(answered.errors, ["sandbox.get answered 503 1 times"]);
    }
}
