//! The repository of the fixture comes up with each Compose tool.

use std::process::Command;
use std::time::{Duration, Instant};

use sandboxer_testbed::{Compose, Host, Plan, fixture, or_skip};

#[test]
fn the_repository_comes_up_with_each_compose_tool() {
    for compose in Compose::FLAVOURS {
        let host = or_skip!(
            "the fixture with each compose tool",
            Host::start(Plan::new().compose(compose))
        );
        let before = host.audit().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fixture::web_db_cache(folder.path()).unwrap();
        let copied = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "tar -C {} -c . | ssh -F {} {} 'mkdir repo && tar -C repo -x'",
                folder.path().display(),
                host.ssh_config().display(),
                host.alias()
            ))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
        let tool = compose.command().join(" ");
        let started = Instant::now();
        let up = host.over_ssh(&format!("cd repo && {tool} up -d 2>&1")).unwrap();
        assert!(up.is_success(), "{compose:?}: {}", up.stdout);

        assert_eq!(get(&host, "/"), fixture::PAGE, "{compose:?}: {}", up.stdout);
        let env = get(&host, "/cgi-bin/env");
        assert!(
            env.contains(&format!("{}={}\n", fixture::VARIABLE, fixture::VALUE)),
            "{env}"
        );
        assert!(env.contains(fixture::BUILT), "{env}");
        let peers = get(&host, "/cgi-bin/peers");
        assert_eq!(peers, "db:5432: 1\ncache:6379: +PONG\n", "{compose:?}");

        eprintln!("{compose:?}: up after {:?}", started.elapsed());
        let down = host
            .over_ssh(&format!("cd repo && {tool} down -v 2>&1; cd; rm -r repo"))
            .unwrap();
        assert!(down.is_success(), "{compose:?}: {}", down.stdout);
        eprintln!("{compose:?}: down after {:?}", started.elapsed());
        if compose == Compose::Podman {
            // podman-compose 1.0 leaves it.
            host.must(&["podman", "network", "rm", "repo_default"]).unwrap();
        }
        // What was built stays with every one of them.
        let engine = if compose == Compose::Podman { "podman" } else { "docker" };
        let names = host.must(&[engine, "images", "--format", "{{.Repository}}"]).unwrap();
        let built: Vec<_> = names.lines().filter(|name| name.contains("repo")).collect();
        assert_eq!(built.len(), 1, "{compose:?}: {names}");
        let seen = host.audit().unwrap().of("repo").len();
        assert!(seen > 0, "{compose:?}: the image that was built is not seen");
        host.must(&[engine, "rmi", built[0]]).unwrap();
        let left = host.leftovers(&before, Duration::from_secs(30), |_| false).unwrap();
        assert_eq!(left, Vec::<String>::new(), "{compose:?}");
    }
}

/// Asks the page, through the published port, until it answers.
fn get(host: &Host, path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let url = format!("http://127.0.0.1:8080{path}");
        let output = host.run(&["busybox", "wget", "-q", "-O", "-", &url]).unwrap();
        if output.is_success() || Instant::now() > deadline {
            return output.stdout;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
