//! A server that runs beside commands that make and remove sandboxes all the time: it takes no more of anything the longer
//! that goes on. `SBX_CHURN_SECONDS` says for how long: 600 for a run that is to show slow growth, as at night.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandboxer_testbed::{Plan, or_skip};

use crate::lab::{Lab, SINGLE, id};
use crate::support::{Answer, wait_until};

/// Without that variable.
const SECONDS: u64 = 20;
/// Native sandboxes made, used and destroyed in a round, beside one that expires and one stack.
const NATIVE: usize = 5;
/// What the server's own memory may grow by in ten minutes.
const OWN_KIB_IN_TEN_MINUTES: f64 = 2048.0;
/// What may differ from one look to another: of its own memory, and of all of it. The rest of that is the program itself,
/// of which a part comes in when it is first needed. A server's five connections to its database keep pages, twelve MiB at most,
/// each from when it is first used.
const OWN_KIB_AT_ANY_TIME: f64 = 1024.0;
const ALL_KIB_AT_ANY_TIME: f64 = 2048.0;

fn duration() -> Duration {
    let text = std::env::var("SBX_CHURN_SECONDS");
    Duration::from_secs(text.map_or(SECONDS, |text| text.parse().expect("a number of seconds")))
}

/// What there is between two rounds, when nothing is under way.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    /// Open files of the server.
    fds: usize,
    threads: usize,
    /// Memory in use, and what of it is not the program.
    all_kib: usize,
    own_kib: usize,
    /// Children of the server, alive or dead.
    children: usize,
    /// Dead children of this test that nobody waited for.
    zombies: usize,
    /// In the directory for temporary files, and in that of the records but for what is kept on purpose.
    files: usize,
    /// Notes that late effects are refused by, for an hour, and reports of what creates changed on their host.
    kept: usize,
    records_kib: usize,
    /// Files, containers, networks and volumes on the host.
    on_host: usize,
}

/// It does not outlive the test, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A lab with a server, and what lives all the time.
struct Churn {
    lab: Lab,
    temporary: PathBuf,
    repository: PathBuf,
    server: Server,
    started: Instant,
}

impl Churn {
    fn start(lab: Lab) -> Churn {
        let temporary = lab.world.path().join("temporary");
        std::fs::create_dir_all(&temporary).expect("a folder");
        let log = lab.world.path().join("log");
        let server = lab
            .command(&["serve", "--output", "json"])
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("it starts");
        wait_until("it serves", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("serving") { Ok(()) } else { Err(text) }
        });
        Churn {
            repository: lab.repository_of("one", SINGLE),
            temporary,
            server: Server(server),
            lab,
            started: Instant::now(),
        }
    }

    fn run(&self, words: &[&str]) -> Answer {
        let temporary = self.temporary.to_str().expect("a path");
        self.lab.run_with(words, &[("TMPDIR", temporary)])
    }

    fn native(&self, more: &[&str]) -> String {
        let words = [&["create", "--profile", "profile.native"], more].concat();
        id(&self.run(&words).json())
    }

    fn stack(&self) -> String {
        let repo = format!("repo={}", self.repository.display());
        id(&self.run(&self.lab.create_words(&repo)).json())
    }

    /// Uses a sandbox and removes it.
    fn use_up(&self, one: &str, service: &[&str]) {
        let said = self.run(&[&["exec", one], service, &["--", "echo", "here"]].concat());
        assert_eq!(said.stdout, "here\n", "{said:?}");
        let receipt = self.run(&["destroy", one]).json();
        assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
    }

    /// Makes and removes sandboxes of both kinds at the same time, and waits for the server to remove one by itself.
    fn round(&self) {
        self.native(&["--ttl", "1s"]);
        std::thread::scope(|scope| {
            scope.spawn(|| self.use_up(&self.stack(), &["--service", "one"]));
            for _ in 0..NATIVE {
                self.use_up(&self.native(&[]), &[]);
            }
        });
        wait_until("the server ends what is over", || {
            match count(&self.lab.world.data.join("native/sb")) {
                0 => Ok(()),
                left => Err(format!("{left} files are left")),
            }
        });
    }

    fn sample(&self) -> Sample {
        let proc = PathBuf::from(format!("/proc/{}", self.server.0.id()));
        let entries = |name: &str| std::fs::read_dir(proc.join(name)).expect("it runs").count();
        let status = std::fs::read_to_string(proc.join("status")).expect("it runs");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let figure = line.and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
            figure.expect("a figure")
        };
        let data = &self.lab.world.data;
        let kept = count(&data.join("native/fence")) + count(&data.join("telemetry"));
        let records = std::fs::metadata(data.join("sandboxer.db"));
        let script = "find /tmp /var/tmp -mindepth 1; docker ps -aq; docker network ls -q; docker volume ls -q";
        Sample {
            at: self.started.elapsed(),
            fds: entries("fd"),
            threads: entries("task"),
            all_kib: kib("VmRSS:"),
            own_kib: kib("RssAnon:"),
            children: children(self.server.0.id()).len(),
            zombies: children(std::process::id())
                .iter()
                .filter(|state| *state == "Z")
                .count(),
            files: count(&self.temporary) + count(data) - kept,
            kept,
            records_kib: usize::try_from(records.expect("it is there").len() / 1024).expect("a size"),
            on_host: self.lab.host.sh(script).expect("it answers").lines().count(),
        }
    }
}

/// Everything below a folder.
fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| 1 + count(&entry.path())).sum()
}

/// The states of the children of a process.
fn children(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("it is there").flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let of_it = stats.filter_map(|stat| {
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let (state, of) = (fields.next()?, fields.next()?);
        (of == parent.to_string()).then(|| state.to_owned())
    });
    of_it.collect()
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> usize) -> f64 {
    let mut figures: Vec<usize> = samples.iter().map(of).collect();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default() as f64
}

/// Threads that waited for something and end when they were idle for ten seconds: on a busy machine some third of a run has more.
const IDLE_THREADS: usize = 4;

type Figure = (&'static str, fn(&Sample) -> usize);

/// What may not grow at all.
const COUNTS: [Figure; 6] = [
    ("open files", |sample| sample.fds),
    ("threads", |sample| sample.threads),
    ("children", |sample| sample.children),
    ("zombies", |sample| sample.zombies),
    ("files", |sample| sample.files),
    ("things on the host", |sample| sample.on_host),
];

/// Compares the second third with the last: the first is for warming up.
fn compare(samples: &[Sample]) {
    let third = samples.len() / 3;
    let (before, after) = (&samples[third..2 * third], &samples[2 * third..]);
    for (name, figure) in COUNTS {
        // Now and then the server is in the middle of something of its own; what it never gives back is always there.
        let least = |samples: &[Sample]| samples.iter().map(figure).min().unwrap_or_default();
        eprintln!("{name}: {} then {}", least(before), least(after));
        let idle = if name == "threads" { IDLE_THREADS } else { 0 };
        assert!(least(after) <= least(before) + idle, "{name} grew: {samples:#?}");
    }
    let middle = |samples: &[Sample]| samples[samples.len() / 2].at.as_secs_f64();
    let between = middle(after) - middle(before);
    let figures: [(Figure, f64); 2] = [
        (("memory", |sample| sample.all_kib), ALL_KIB_AT_ANY_TIME),
        (("memory of its own", |sample| sample.own_kib), OWN_KIB_AT_ANY_TIME),
    ];
    for ((name, figure), at_any_time) in figures {
        let (one, other) = (median(before, figure), median(after, figure));
        let slope = (other - one) / between * 600.0;
        eprintln!("{name}: {one} KiB, {between:.0} s later {other} KiB: {slope:.0} KiB in ten minutes");
        let allowed = at_any_time + OWN_KIB_IN_TEN_MINUTES * between / 600.0;
        assert!(other - one <= allowed, "{name} grew: {samples:#?}");
    }
}

#[test]
fn a_server_takes_no_more_the_longer_sandboxes_come_and_go() {
    let plan = Plan::new().disk_mib(65_536);
    let mut churn = Churn::start(or_skip!("churn", Lab::start(plan)));
    // It has a host to probe and a stack to look after all the time.
    churn.run(&["hosts", "add", churn.lab.host.alias()]).json();
    let live = churn.stack();
    let until = churn.started + duration();
    let mut samples = Vec::new();
    while Instant::now() < until || samples.len() < 6 {
        churn.round();
        samples.push(churn.sample());
    }
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    eprintln!(
        "{} sandboxes in {:?}; kept on purpose: {} notes and {} KiB of records, then {} and {}",
        samples.len() * (NATIVE + 2),
        last.at,
        first.kept,
        first.records_kib,
        last.kept,
        last.records_kib
    );
    compare(&samples);
    let receipt = churn.run(&["destroy", &live]).json();
    assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
    churn.run(&["hosts", "remove", churn.lab.host.alias()]).json();
    let ended = Command::new("kill").arg(churn.server.0.id().to_string()).status();
    assert!(ended.expect("kill runs").success());
    let status = wait_until("the server ends", || {
        let ended = churn.server.0.try_wait().map_err(|error| error.to_string())?;
        ended.ok_or_else(|| "it runs".to_owned())
    });
    assert_eq!(status.code(), Some(0));
    churn.lab.nothing_is_left();
    churn.lab.host.down();
}
