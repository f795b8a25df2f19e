//! Cutting cables, killing daemons, filling disks.

use std::time::{Duration, Instant};

use sandboxer_testbed::{Compose, Direction, Host, Plan, or_skip};

fn plain() -> Plan {
    Plan::new().compose(Compose::None)
}

/// Whether a new SSH connection is made within two seconds.
fn answers(host: &Host) -> bool {
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F")
        .arg(host.ssh_config())
        .args(["-o", "ConnectTimeout=2", host.alias(), "true"]);
    ssh.output().unwrap().status.success()
}

/// Whether one is made before long: a machine that stands still makes the first one late.
fn comes_to_answer(host: &Host) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let is_there = answers(host);
        if is_there || Instant::now() >= deadline {
            return is_there;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_cut_cable_is_silent_and_can_be_mended() {
    let host = or_skip!("a cut cable", Host::start(plain().without_image()));
    assert!(comes_to_answer(&host));
    for direction in [Direction::Both, Direction::ToHost, Direction::FromHost] {
        host.partition(direction).unwrap();
        let started = Instant::now();
        assert!(!answers(&host), "{direction:?}");
        assert!(
            started.elapsed() > Duration::from_millis(1500),
            "{direction:?} was refused, not dropped"
        );
        // From inside nothing is cut.
        host.must(&["docker", "version"]).unwrap();
        host.heal().unwrap();
        assert!(comes_to_answer(&host), "{direction:?}");
    }
}

#[test]
fn the_engine_can_be_killed_frozen_and_started_again() {
    let host = or_skip!("a killed engine", Host::start(plain()));
    host.docker(&[
        "run",
        "--detach",
        "--name",
        "one",
        "--init",
        "busybox:stable",
        "sleep",
        "1000",
    ])
    .unwrap();
    host.kill_dockerd().unwrap();
    assert!(!host.run(&["docker", "version"]).unwrap().is_success());
    assert!(
        host.processes().unwrap().iter().any(|line| line.contains("sleep 1000")),
        "containers live on"
    );
    host.start_dockerd().unwrap();
    host.docker(&["rm", "--force", "one"]).unwrap();
    host.docker(&["run", "--rm", "busybox:stable", "true"]).unwrap();

    use sandboxer_testbed::daemon::Frozen;
    host.freeze_dockerd(Frozen::Yes).unwrap();
    assert_eq!(host.run(&["timeout", "1", "docker", "ps"]).unwrap().code, 124);
    host.freeze_dockerd(Frozen::No).unwrap();
    host.docker(&["ps"]).unwrap();
}

#[test]
fn the_ssh_server_can_be_killed_and_started_again() {
    let host = or_skip!("a killed SSH server", Host::start(plain().without_image()));
    host.kill_sshd().unwrap();
    assert!(!answers(&host));
    host.start_sshd().unwrap();
    assert!(comes_to_answer(&host));
}

#[test]
fn a_full_disk_is_full_and_can_be_freed() {
    let host = or_skip!("a full disk", Host::start(plain()));
    host.fill_disk(0).unwrap();
    for place in ["/root/file", "/etc/file", "/tmp/file", "/var/lib/docker/file"] {
        let write = host
            .run(&["dd", "if=/dev/zero", &format!("of={place}"), "bs=1M", "count=1"])
            .unwrap();
        assert!(write.stderr.contains("No space left"), "{place}: {write:?}");
    }
    let script = "docker run --name full busybox:stable sh -c 'dd if=/dev/zero of=/x bs=1M count=1'";
    assert!(!host.run(&["sh", "-c", script]).unwrap().is_success());
    host.free_disk().unwrap();
    host.sh("docker rm -f full; dd if=/dev/zero of=/root/file bs=1M count=1")
        .unwrap();
}
