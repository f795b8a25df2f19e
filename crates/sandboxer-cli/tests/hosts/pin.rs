//! Vouching for the keys of a host, against a real SSH server.

use sandboxer_testbed::loopback::Loopback;
use sandboxer_testbed::or_skip;

use crate::support::World;

#[test]
fn nobody_is_talked_to_whose_key_nobody_vouched_for() {
    let world = World::new();
    let server = or_skip!("pinned host keys", Loopback::start(&world.path().join("sshd")));
    // A configuration that knows the way, and no key.
    let config = std::fs::read_to_string(server.ssh_config()).expect("a configuration");
    let config: String = config
        .lines()
        .filter(|line| !line.contains("KnownHosts"))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = world.write("ssh_config", format!("{config}  UserKnownHostsFile /dev/null\n"));
    let base = world.path().join("base");
    let variables = [
        ("SANDBOXER_SSH_CONFIG", config.to_str().expect("a path")),
        ("SANDBOXER_BASE_DIR", base.to_str().expect("a path")),
    ];
    let run = |words: &[&str]| world.run_with(words, &variables);

    let stranger = run(&["hosts", "add", "loopback"]);
    assert_eq!(stranger.code, 6, "{stranger:?}");
    assert!(stranger.stderr.contains("--pin"), "{stranger:?}");
    assert_eq!(run(&["hosts", "list"]).json(), serde_json::json!([]));

    let pinned = run(&["hosts", "add", "loopback", "--pin"]);
    assert!(
        pinned.stderr.contains("SHA256:") && pinned.stderr.contains("(ED25519)"),
        "{pinned:?}"
    );
    assert_eq!(pinned.json()["state"], "active");
    let list = world.data.join("ssh/known_hosts");
    let vouched = std::fs::read_to_string(&list).expect("a list");
    let known = std::fs::read_to_string(server.known_hosts()).expect("a list");
    assert_eq!(vouched.trim(), known.trim());
    assert_eq!(run(&["hosts", "probe", "loopback"]).json()["state"], "active");

    // Another key than the one that was vouched for: refused, until somebody vouches again.
    let other = Loopback::start(&world.path().join("other")).expect("another server");
    let theirs = std::fs::read_to_string(other.known_hosts()).expect("a list");
    let (name, key) = (known.split_once(' '), theirs.split_once(' '));
    let forged = format!("{} {}", name.expect("a name").0, key.expect("a key").1);
    std::fs::write(&list, forged).expect("a list");
    let changed = run(&["hosts", "probe", "loopback"]);
    assert_eq!(changed.code, 7, "{changed:?}");
    assert!(changed.stdout.contains("\"down\""), "{changed:?}");
    let again = run(&["hosts", "add", "loopback", "--pin"]);
    assert_eq!(again.json()["state"], "active", "{again:?}");
    assert_eq!(std::fs::read_to_string(&list).expect("a list").trim(), known.trim());
}
