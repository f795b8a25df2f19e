//! A test host is a machine: it can be reached, runs containers, can be cut off, and is gone afterwards.

use std::time::Instant;

use sandboxer_testbed::{Compose, Host, Plan, or_skip};

#[test]
fn a_host_can_be_reached_and_runs_containers() {
    let started = Instant::now();
    let host = or_skip!("a host runs containers", Host::start(Plan::default()));
    eprintln!("up after {:?}", started.elapsed());
    let said = host
        .over_ssh("hostname; docker run --rm busybox:stable echo from inside")
        .unwrap();
    assert_eq!(said.stdout, format!("{}\nfrom inside\n", host.alias()), "{said:?}");
    let version = host.over_ssh("docker compose version --short").unwrap();
    assert!(
        version.stdout.starts_with('5') || version.stdout.starts_with("v5"),
        "{version:?}"
    );
    let ending = Instant::now();
    let (init, folder) = (host.init(), host.key().parent().unwrap().to_owned());
    host.down();
    eprintln!("down after {:?}", ending.elapsed());
    assert!(!std::path::Path::new(&format!("/proc/{init}")).exists());
    assert!(!folder.exists());
}

#[test]
fn each_host_has_the_compose_tool_of_its_plan_and_no_other() {
    for (compose, there, absent) in [
        (Compose::Plugin, "docker compose version", "docker-compose version"),
        (Compose::Standalone, "docker-compose version", "docker compose version"),
        (Compose::Python, "docker-compose --version", "docker compose version"),
        (Compose::Podman, "podman-compose version", "docker version"),
    ] {
        let plan = Plan::new().compose(compose);
        let host = or_skip!("compose tools of hosts", Host::start(plan));
        let found = host.over_ssh(there).unwrap();
        assert!(found.is_success(), "{compose:?}: {found:?}");
        let missing = host.over_ssh(absent).unwrap();
        assert!(!missing.is_success(), "{compose:?}: {missing:?}");
        eprintln!(
            "{compose:?}: {}",
            found.stdout.trim().lines().last().unwrap_or_default()
        );
    }
}
