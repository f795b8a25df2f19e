//! The behaviour suite against a real host, once for each Compose tool.
//!
//! One test is one tool with all of its trials: a host takes a second to come up and its trials can share it, and a
//! runner that starts a process for each test would bring up a host for each trial. `SBX_TRIAL=text` runs those trials
//! only whose names hold that text.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests start real machines and read their environment"
)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use extension_compose_ssh::{ComposeSshExtension, Settings};
use sandboxer_conformance::run::run_one;
use sandboxer_conformance::{Report, Subject, trials};
use sandboxer_extension::port::{SystemClock, SystemIds};
use sandboxer_host::SshSettings;
use sandboxer_model::profile::Profile;
use sandboxer_testbed::{Compose, Host, Plan, or_skip};

/// Trials that share a host at the same time. Most of a trial is waiting for the engine.
const AT_ONCE: usize = 4;

/// One service that works on the tree, and has words to say.
const COMPOSE_FILE: &str = "\
services:
  work:
    image: busybox:stable
    init: true
    working_dir: /work
    volumes: ['.:/work']
    command: ['sh', '-c', 'echo it begins; exec sleep 100000']
";

#[test]
fn conforms_with_the_plugin() {
    conforms(Compose::Plugin);
}

#[test]
fn conforms_with_the_standalone_program() {
    conforms(Compose::Standalone);
}

#[test]
fn conforms_with_the_old_program() {
    conforms(Compose::Python);
}

#[test]
fn conforms_with_podman() {
    conforms(Compose::Podman);
}

fn conforms(compose: Compose) {
    let what = format!("compose-ssh conformance with {compose:?}");
    let host = or_skip!(&what, Host::start(Plan::new().compose(compose)));
    let before = host.audit().expect("an audit");
    let work = tempfile::tempdir().expect("a directory");
    let repo = work.path().join("repo");
    std::fs::create_dir(&repo).expect("a repository");
    std::fs::write(repo.join("compose.yml"), COMPOSE_FILE).expect("a Compose file");

    let started = Instant::now();
    let report = all(&|| subject(&host, work.path(), &repo));
    eprintln!("{compose:?}, {:.0?}:\n{report}", started.elapsed());
    for (name, why) in &report.skipped {
        skip(&what, name, why);
    }
    let is_kept = |line: &str| !line.contains("sbx-");
    let left = host
        .leftovers(&before, Duration::from_secs(30), is_kept)
        .expect("an audit");
    assert!(report.failed.is_empty(), "{compose:?}: {:#?}", report.failed);
    assert!(left.is_empty(), "{compose:?}: {left:#?}");
    host.down();
}

/// Every trial, some at a time; each with an owner of its own, so that none sees what another makes.
fn all(subject: &(dyn Fn() -> Subject + Sync)) -> Report {
    let filter = std::env::var("SBX_TRIAL").unwrap_or_default();
    let all = trials(&subject().extension.capabilities());
    let all: Vec<_> = all.into_iter().filter(|trial| trial.name.contains(&filter)).collect();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some(trial) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let started = Instant::now();
            let outcome = runtime.block_on(run_one(&subject(), trial));
            if std::env::var_os("SBX_TRIAL").is_some() {
                eprintln!("{:>6.1?} {}", started.elapsed(), trial.name);
            }
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            outcomes.push((trial.name, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let mut report = Report::default();
    for (name, outcome) in outcomes.into_inner().unwrap_or_else(PoisonError::into_inner) {
        report.add(name, outcome);
    }
    report
}

fn subject(host: &Host, work: &Path, repo: &Path) -> Subject {
    let extension = ComposeSshExtension::new(Settings {
        ssh: Arc::new(SshSettings {
            config_file: Some(host.ssh_config()),
            user: None,
            key: None,
            cert_command: None,
            connect_timeout: Duration::from_secs(10),
            state_dir: work.join("ssh"),
        }),
        base_dir: "/tmp/sandboxer".to_owned(),
        compose_command: None,
        clock: Arc::new(SystemClock),
    });
    let profile = Profile::new("profile.compose-e2e", "ext.compose-ssh");
    let mut subject = Subject {
        host: Some(host.alias().to_owned()),
        neighbours: vec![host.ssh_socket()],
        pace: Duration::from_secs(5),
        timeout: Duration::from_secs(120),
        patience: Duration::from_secs(150),
        ..Subject::new(extension, profile, Arc::new(SystemClock), Arc::new(SystemIds))
    };
    subject.inputs.insert("repo".to_owned(), repo.display().to_string());
    subject
}

/// Says so where the summary of all tests counts it.
fn skip(what: &str, name: &str, why: &str) {
    use std::io::Write as _;
    if let Some(path) = std::env::var_os("SBX_SKIP_LOG") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("the log of skips"), "SKIPPED: {what}: {name}: {why}").expect("it can be written");
    }
}
