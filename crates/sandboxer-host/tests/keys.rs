//! Host keys that were vouched for, certificates, and who we are here, against a real server.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests make servers and keep their own time"
)]

#[path = "support/loopback.rs"]
mod loopback;

use std::path::Path;
use std::time::{Duration, Instant};

use loopback::{Lab, machine, program, runtime, settings};
use sandboxer_host::machine::{MachineErrorKind, ShownKey, pin, shown_keys};
use sandboxer_host::{Machine, SshSettings};
use sandboxer_testbed::{Stopwatch, or_skip};

const ENOUGH: Duration = Duration::from_secs(20);

fn key_of(name: &str) -> ShownKey {
    ShownKey {
        line: format!("{name} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExam"),
        fingerprint: String::new(),
    }
}

/// A configuration of this server that knows no key of it.
fn unknown(lab: &Lab) -> std::path::PathBuf {
    lab.config("Host *\n  UserKnownHostsFile /dev/null")
}

#[test]
fn no_pin_is_lost_however_many_there_are_and_whoever_pins_meanwhile() {
    let room = tempfile::tempdir().expect("a directory");
    let settings = settings(Path::new("/dev/null"), room.path());
    let many: Vec<ShownKey> = (0..2_000).map(|number| key_of(&format!("host-{number}"))).collect();
    pin(&many, &settings).expect("they are kept");
    let list = room.path().join("known_hosts");
    assert!(std::fs::metadata(&list).expect("a list").len() > 128 * 1024);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let settings = &settings;
            scope.spawn(move || {
                for number in 0..8 {
                    pin(&[key_of(&format!("new-{thread}-{number}"))], settings).expect("it is kept");
                }
            });
        }
    });
    // Another key of the same name takes the place of the first.
    pin(&[key_of("host-1999")], &settings).expect("it is kept");
    let text = std::fs::read_to_string(&list).expect("a list");
    assert_eq!(text.lines().count(), 2_000 + 64);
    for key in &many {
        assert_eq!(text.lines().filter(|line| *line == key.line).count(), 1, "{key:?}");
    }
}

#[test]
fn a_list_that_cannot_be_read_is_not_an_empty_one() {
    let room = tempfile::tempdir().expect("a directory");
    let settings = settings(Path::new("/dev/null"), room.path());
    std::fs::create_dir(room.path().join("known_hosts")).expect("a directory where the list should be");
    let refused = pin(&[key_of("a")], &settings).expect_err("it cannot be kept");
    assert!(
        refused.message.contains("known_hosts") && refused.nothing_sent(),
        "{refused:?}"
    );
}

#[test]
fn folders_of_any_name_hold_keys() {
    let lab = or_skip!("names of files for ssh", Lab::start());
    let odd = lab.room.path().join("a \"b %d 'c\\ #");
    std::fs::create_dir(&odd).expect("a folder");
    let key = odd.join("my %h key");
    std::fs::copy(lab.server.key(), &key).expect("a key");
    let config = std::fs::read_to_string(unknown(&lab)).expect("a configuration");
    let config: String = config
        .lines()
        .filter(|line| !line.contains("IdentityFile"))
        .map(|line| format!("{line}\n"))
        .collect();
    let file = odd.join("config of %u");
    std::fs::write(&file, config).expect("a file");
    let mut settings = settings(&file, &odd.join("state %%"));
    settings.key = Some(key);
    let address = "loopback".parse().expect("an address");
    let shown = shown_keys(&address, &settings).expect("it shows its key");
    pin(&shown, &settings).expect("it is kept");
    let output = runtime().block_on(machine(settings).run(program("echo well", ENOUGH), Vec::new()));
    assert_eq!(output.expect("it answers").stdout, b"well\n");
}

#[test]
fn a_changed_key_is_told_beside_the_one_that_was_vouched_for() {
    let lab = or_skip!("a host key that changed", Lab::start());
    let settings = settings(&unknown(&lab), &lab.room.path().join("state of keys"));
    let address = "loopback".parse().expect("an address");
    let real = shown_keys(&address, &settings).expect("it shows its key");
    // The client's own key stands for one that the host had once.
    let once = std::fs::read_to_string(lab.server.key().with_extension("pub")).expect("a key");
    let once: Vec<&str> = once.split(' ').take(2).collect();
    let name = real[0].line.split(' ').next().expect("a name").to_owned();
    pin(&[key_of("another")], &settings).expect("it is kept");
    let line = format!("{name} {}", once.join(" "));
    pin(
        &[ShownKey {
            line,
            fingerprint: String::new(),
        }],
        &settings,
    )
    .expect("it is kept");
    let print = |file: &Path| {
        let output = std::process::Command::new("ssh-keygen").arg("-lf").arg(file).output();
        let text = String::from_utf8(output.expect("ssh-keygen runs").stdout).expect("text");
        text.split(' ').nth(1).expect("a fingerprint").to_owned()
    };
    let machine = machine(settings);
    let error = runtime()
        .block_on(machine.run(program("true", ENOUGH), Vec::new()))
        .expect_err("it is another key");
    assert_eq!(error.kind, MachineErrorKind::HostKeyChanged, "{error:?}");
    assert!(error.nothing_sent(), "{error:?}");
    assert!(
        error.message.contains(&print(&lab.server.key())),
        "the pinned one: {error:?}"
    );
    let shown = print(&lab.room.path().join("server/host_key"));
    assert!(error.message.contains(&shown), "the one it shows: {error:?}");
    assert!(error.message.contains("line 2 of "), "{error:?}");
    assert!(error.hint.expect("a hint").contains("hosts add loopback --pin"));
}

#[test]
fn a_certificate_that_never_comes_ends_the_call_at_its_deadline() {
    let room = tempfile::tempdir().expect("a directory");
    let pids = room.path().join("pids");
    let mut settings: SshSettings = settings(Path::new("/dev/null"), &room.path().join("state"));
    settings.cert_command = Some(format!("sleep 300 & echo $! $$ > {}; sleep 300", pids.display()));
    let machine: Machine = machine(settings);
    let call = |is_talk: bool, deadline: Duration| {
        let watch = Stopwatch::start();
        let error = runtime()
            .block_on(async {
                if is_talk {
                    machine.talk(program("true", deadline)).await.map(drop)
                } else {
                    machine.run(program("true", deadline), Vec::new()).await.map(drop)
                }
            })
            .expect_err("there is no certificate");
        let took = watch.elapsed();
        assert!(took < deadline + Duration::from_secs(2), "{took:?}");
        assert_eq!(error.kind, MachineErrorKind::Certificate, "{error:?}");
        assert!(error.nothing_sent(), "{error:?}");
    };
    for is_talk in [false, true] {
        let mut deadline = Duration::from_secs(2);
        call(is_talk, deadline);
        // Where the machine stood still meanwhile, the command needs more time to begin.
        while !std::fs::read_to_string(&pids).is_ok_and(|text| text.ends_with('\n')) {
            deadline *= 2;
            assert!(deadline <= Duration::from_secs(16), "it does not run");
            call(is_talk, deadline);
        }
        let text = std::fs::read_to_string(&pids).expect("it ran");
        std::fs::remove_file(&pids).expect("it goes");
        for pid in text.split_whitespace() {
            let until = Instant::now() + ENOUGH;
            let lives = || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                !stat.is_empty() && !stat.contains(") Z ")
            };
            while lives() {
                assert!(Instant::now() < until, "{pid} lives on");
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

/// Says to the test below that it is run by itself, as such a user.
const NAMELESS: &str = "SBX_TEST_NAMELESS";

fn as_a_user_without_a_name() {
    let room = std::env::temp_dir().join(format!("nameless-{}", std::process::id()));
    let machine = machine(settings(Path::new("/dev/null"), &room));
    let error = runtime()
        .block_on(machine.run(program("true", ENOUGH), Vec::new()))
        .expect_err("it cannot start");
    assert_eq!(error.kind, MachineErrorKind::Start, "{error:?}");
    assert!(error.nothing_sent(), "{error:?}");
    assert!(error.message.contains("user id 54321"), "{error:?}");
    assert!(error.hint.is_some_and(|hint| hint.contains("/etc/passwd")));
}

#[test]
fn a_user_without_a_name_is_told_so() {
    if std::env::var_os(NAMELESS).is_some() {
        return as_a_user_without_a_name();
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    let itself = std::env::current_exe().expect("this program");
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", "54321", "--regid", "54321", "--clear-groups"])
        .arg(itself)
        .args(["--exact", "a_user_without_a_name_is_told_so", "--nocapture"])
        .env(NAMELESS, "yes")
        .env_remove("HOME")
        .output()
        .expect("setpriv runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
