//! `cargo xtask test`: all tests, as root and as an ordinary user, and an audit of what they left behind.
//!
//! How a test says that it could not run: it appends a line `name: reason` to the file named by `SBX_SKIP_LOG`, or
//! prints `SKIPPED: name: reason`. Such a test is counted as skipped, never as passed.

mod api;
mod audit;
mod hosts;
mod prerequisites;
mod rootless;
mod supervisor;
mod tally;

pub(crate) use prerequisites::{Need, bring_up};
pub(crate) use rootless::free_user;
pub(crate) use supervisor::{Supervisor, descendants};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{Outcome, process, workspace};
use tally::Tally;

/// Options of `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A check that could not run counts as a failure.
    #[arg(long)]
    require_all: bool,
    /// What takes long as well: as an ordinary user too, and ten minutes of churn.
    #[arg(long)]
    nightly: bool,
    /// Only this stage: workspace, rootless, weakened, doc or api.
    #[arg(long, value_name = "STAGE")]
    only: Option<String>,
    /// With `--only workspace`: only tests whose name holds one of these.
    #[arg(last = true, value_name = "NAME", requires = "only")]
    names: Vec<String>,
}

/// What the stages share.
struct Run {
    supervisor: Supervisor,
    /// `TMPDIR` of the tests; whatever is left here at the end was leaked.
    scratch: PathBuf,
    skip_log: PathBuf,
    /// Names the machines the tests share, as long as there are some.
    testbed: PathBuf,
    nightly: bool,
}

const STAGES: &[&str] = &["workspace", "rootless", "weakened", "doc", "api"];

/// Runs the stages and says how many tests passed, failed and were skipped.
pub(crate) fn run(options: &Options) -> Outcome {
    if let Some(only) = &options.only
        && !STAGES.contains(&only.as_str())
    {
        return Err(format!("no stage `{only}`; there are: {}", STAGES.join(", ")));
    }
    if !options.names.is_empty() && options.only.as_deref() != Some("workspace") {
        return Err("names of tests go with `--only workspace`".into());
    }
    let wanted = |stage: &str| options.only.as_deref().is_none_or(|only| only == stage);

    let missing = bring_up(Need::Test);
    let folder = PathBuf::from(format!("/tmp/sbx-test-{}", std::process::id()));
    let scratch = folder.join("tmp");
    make_shared(&folder)?;
    make_shared(&scratch)?;
    let run = Run {
        supervisor: Supervisor::new()?,
        skip_log: folder.join("skipped"),
        testbed: folder.join("testbed.json"),
        nightly: options.nightly,
        scratch,
    };
    let before = audit::Baseline::take();

    let mut total = Tally::default();
    let mut skipped: BTreeSet<String> = missing.into_iter().collect();
    let mut left_on_hosts = Vec::new();
    if wanted("workspace") {
        let hosts = hosts::Hosts::start(&run.testbed);
        let stage = workspace_stage(&run, &options.names);
        left_on_hosts = hosts.down();
        let (tally, names) = stage?;
        total += tally;
        skipped.extend(names);
    }
    if wanted("rootless") {
        match rootless::stage(&run)? {
            rootless::Stage::Ran(tally) => total += tally,
            rootless::Stage::Skipped(reason) => {
                skipped.insert(format!("rootless: {reason}"));
            }
        }
    }
    if wanted("weakened") {
        let (tally, names) = weakened_stage(&run)?;
        total += tally;
        skipped.extend(names);
    }
    if wanted("doc") {
        total += doc_stage(&run)?;
    }
    if wanted("api") {
        let (tally, names) = api::stage(&run)?;
        total += tally;
        skipped.extend(names);
    }

    let mut leaks = before.leaks(&run.supervisor, &run.scratch);
    leaks.extend(left_on_hosts);
    for leak in &leaks {
        eprintln!("LEAKED: {leak}");
    }
    eprintln!(
        "leak audit: {}",
        if leaks.is_empty() {
            "same as before".into()
        } else {
            format!("{} left", leaks.len())
        }
    );
    // The folder is ours and the leaks in it were reported.
    let _ = std::fs::remove_dir_all(&folder);

    for skip in &skipped {
        println!("SKIPPED: {skip}");
    }
    total.skipped += u64::try_from(skipped.len()).unwrap_or(u64::MAX);
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    if total.failed > 0 {
        return Err(format!("{} tests failed", total.failed));
    }
    if !leaks.is_empty() {
        return Err(format!("the tests left {} things behind", leaks.len()));
    }
    if total.passed == 0 {
        return Err("no test ran".into());
    }
    if options.require_all && total.skipped > 0 {
        return Err(format!(
            "{} checks could not run, and --require-all asks for all",
            total.skipped
        ));
    }
    Ok(())
}

/// Tests that take minutes and go the way of others that always run: the whole suite of trials with the plugin's program under
/// its other name, and with the old program, whose sandbox `every_compose_tool_gives_the_same_sandbox` looks at in any case; and
/// fifty races of a deadline that is moved as it passes, which the simulator runs by the thousand.
const ONLY_NIGHTLY: &[&str] = &[
    "conforms_with_the_standalone_program",
    "conforms_with_the_old_program",
    "a_move_that_was_acknowledged_is_never_lost",
];

/// Unit and integration tests of every crate, as the user who called. Returns the checks that skipped themselves.
fn workspace_stage(run: &Run, names: &[String]) -> Outcome<(Tally, BTreeSet<String>)> {
    eprintln!("── workspace");
    let mut cargo = workspace::cargo();
    let has_nextest = process::is_installed("cargo-nextest");
    if has_nextest {
        cargo.args([
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--profile",
            "ci",
        ]);
    } else {
        eprintln!("   cargo-nextest is not installed: using `cargo test`");
        cargo.args([
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
            "--locked",
            "--no-fail-fast",
        ]);
    }
    cargo.arg("--").args(names);
    let left_out = if run.nightly || !names.is_empty() {
        &[]
    } else {
        ONLY_NIGHTLY
    };
    cargo.args(left_out.iter().flat_map(|name| ["--skip", name]));
    run.environment(&mut cargo);
    let (mut tally, success) = run.supervisor.tests(&mut cargo)?;
    if !left_out.is_empty() {
        eprintln!("   left to --nightly: {}", left_out.join(", "));
    }
    if has_nextest {
        // It counts what it was told to leave out among what did not run.
        tally.skipped = tally.skipped.saturating_sub(left_out.len().try_into().unwrap_or(0));
    }
    if !success && tally.failed == 0 {
        tally.failed = 1;
    }
    let skipped = run.take_skips(&mut tally);
    Ok((tally, skipped))
}

/// Tests that need a build in which single protections can be switched off: each shows that a probe is able to fail.
fn weakened_stage(run: &Run) -> Outcome<(Tally, BTreeSet<String>)> {
    eprintln!("── weakened");
    let metadata = workspace::Metadata::read()?;
    let mut total = Tally::default();
    let mut skipped = BTreeSet::new();
    for package in metadata.members() {
        for test in package.weakened_tests() {
            let mut cargo = workspace::cargo();
            cargo.args([
                "test",
                "--locked",
                "--workspace",
                "--features",
                &format!("{}/{}", package.name, workspace::WEAKEN),
                "--test",
                test,
            ]);
            run.environment(&mut cargo);
            let (mut tally, success) = run.supervisor.tests(&mut cargo)?;
            if !success && tally.failed == 0 {
                tally.failed = 1;
            }
            skipped.extend(run.take_skips(&mut tally));
            total += tally;
        }
    }
    Ok((total, skipped))
}

/// Examples in documentation.
fn doc_stage(run: &Run) -> Outcome<Tally> {
    eprintln!("── doc");
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace", "--doc", "--locked", "--no-fail-fast", "--quiet"]);
    run.environment(&mut cargo);
    let (mut tally, success) = run.supervisor.tests(&mut cargo)?;
    if !success && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

impl Run {
    /// What every test process gets.
    fn environment(&self, command: &mut std::process::Command) {
        command
            .env("SBX_SKIP_LOG", &self.skip_log)
            .env("TMPDIR", &self.scratch)
            .env("INSTA_UPDATE", "no");
        if self.nightly {
            command.env("SBX_CHURN_SECONDS", "600");
        }
        let compose = workspace::target_dir().join(sandboxer_testbed::plan::COMPOSE_PROGRAM);
        if compose.exists() {
            command.env("SBX_COMPOSE_V2", compose);
        }
        if self.testbed.exists() {
            command.env(sandboxer_testbed::shared::VARIABLE, &self.testbed);
        }
        // A test that forgets to name its own directories must not touch those of the person who runs it.
        for (variable, folder) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
        ] {
            command.env(variable, self.scratch.join(folder));
        }
        // Those of the caller would change what the tests see.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SANDBOXER_") {
                command.env_remove(name);
            }
        }
    }

    /// Takes what the tests logged as skipped, and counts them out of the passed ones.
    fn take_skips(&self, tally: &mut Tally) -> BTreeSet<String> {
        let logged = std::fs::read_to_string(&self.skip_log).unwrap_or_default();
        let _ = std::fs::remove_file(&self.skip_log);
        let lines = logged
            .lines()
            .map(|line| line.strip_prefix("SKIPPED: ").unwrap_or(line).to_owned());
        let names: BTreeSet<String> = lines
            .chain(std::mem::take(&mut tally.said_skipped))
            .filter(|line| !line.trim().is_empty())
            .collect();
        tally.passed = tally.passed.saturating_sub(u64::try_from(names.len()).unwrap_or(0));
        names
    }
}

/// A folder that any user may write to, as /tmp is.
fn make_shared(folder: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o1777)).map_err(failed)
}
