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

        let down = host
            .over_ssh(&format!("cd repo && {tool} down -v 2>&1; cd; rm -r repo"))
            .unwrap();
        assert!(down.is_success(), "{compose:?}: {}", down.stdout);
        let left = host.leftovers(&before, Duration::from_secs(5)).unwrap();
        // What was built stays, and with podman some of its own bookkeeping.
        let other: Vec<_> = left.iter().filter(|line| !line.starts_with("image ")).collect();
        assert!(other.is_empty(), "{compose:?}: {other:#?}");
        assert!(!left.is_empty(), "{compose:?}: the image that was built is not seen");
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
        std::thread::yield_now();
    }
}
