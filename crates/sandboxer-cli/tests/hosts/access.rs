//! Getting in: certificates that an authority signs on demand, and keys that are vouched for.

use std::process::Command;

use sandboxer_testbed::{Plan, or_skip};

use crate::lab::{Lab, SINGLE, id};

fn keygen(words: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(words)
        .output()
        .expect("ssh-keygen runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_tunnel_is_found_by_name_and_looked_at() {
    let lab = or_skip!("tunnels", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    lab.world.write(
        "bridged.yaml",
        "id: profile.bridged\nextension: ext.compose-ssh\ninputs:\n  repo: {type: directory}\nconfig: {tunnel: to-the-host}\n",
    );
    let repo = format!("repo={}", repository.display());
    let created = lab
        .run(&[
            "create",
            "--profile",
            "./bridged.yaml",
            "--input",
            &repo,
            "--host",
            lab.host.alias(),
        ])
        .json();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("an address").port()
    };
    let config = lab.world.write(
        "tunnels.yaml",
        format!("tunnels:\n  to-the-host:\n    host: {}\n    direction: local\n    local_port: {port}\n    remote_port: 2222\n", lab.host.alias()),
    );
    let show = || {
        lab.run_with(
            &["reachability", "show", &id(&created)],
            &[("BRIDGE_CONFIG", config.to_str().expect("a path"))],
        )
        .json()
    };
    let down = show();
    assert_eq!(
        (&down["tunnel_name"], &down["tunnel_status"]),
        (&"to-the-host".into(), &"down".into()),
        "{down}"
    );
    assert_eq!(down["tunnel"], format!("localhost:{port}"));
    let mut tunnel = Command::new("ssh")
        .arg("-F")
        .arg(lab.host.ssh_config())
        .args(["-N", "-L", &format!("{port}:127.0.0.1:2222"), lab.host.alias()])
        .spawn()
        .expect("a tunnel");
    crate::support::wait_until("the tunnel is seen", || {
        let shown = show();
        if shown["tunnel_status"] == "up" {
            Ok(())
        } else {
            Err(shown.to_string())
        }
    });
    tunnel.kill().expect("it ends");
    tunnel.wait().expect("it ended");
    assert_eq!(show()["tunnel_status"], "down");
    lab.destroy(&id(&created));
    lab.nothing_is_left();
    lab.host.down();
}

#[test]
fn a_certificate_is_signed_on_demand_kept_and_renewed() {
    let lab = or_skip!("certificates", Lab::start(Plan::new()));
    let path = |name: &str| lab.world.path().join(name).display().to_string();
    let (authority, key) = (path("ca"), path("agent"));
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &authority]);
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &key]);
    let public = std::fs::read_to_string(format!("{authority}.pub")).expect("a key");
    // Only certificates of this authority let this key in.
    lab.host
        .authorize(&format!("cert-authority,principals=\"deploy\" {public}"))
        .expect("it is trusted");
    let signed = path("signed");
    let sign = |validity: &str, principal: &str| {
        format!(
            "echo x >> {signed}; ssh-keygen -q -s {authority} -I agt-tester -n {principal} -V {validity} {key}.pub >&2 && cat {key}-cert.pub"
        )
    };
    // Without the key of the test host itself.
    let config = std::fs::read_to_string(lab.host.ssh_config()).expect("a configuration");
    let config: String = config
        .lines()
        .filter(|line| !line.trim().starts_with("IdentityFile"))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = lab.world.write("ssh_config", config);
    let repository = lab.repository_of("one", SINGLE);
    let repo = format!("repo={}", repository.display());
    let create = lab.create_words(&repo);
    let with = |words: &[&str], command: &str| {
        lab.world.run_with(
            words,
            &[
                ("SANDBOXER_SSH_CONFIG", config.to_str().expect("a path")),
                ("SANDBOXER_SSH_KEY", &key),
                ("SANDBOXER_CERT_COMMAND", command),
            ],
        )
    };
    let count = || {
        std::fs::read_to_string(&signed)
            .map(|text| text.lines().count())
            .unwrap_or(0)
    };

    let denied = with(&create, &sign("+1h", "somebody"));
    assert!(
        denied.code != 0 && denied.stderr.contains("Permission denied"),
        "{denied:?}"
    );
    let good = sign("+1h", "deploy");
    let created = with(&create, &good).json();
    assert_eq!(created["reachability"]["identity"], "agt-tester");
    let signings = count();
    let gone = with(&["destroy", &id(&created)], &good).json();
    assert_eq!(gone["state"], "destroyed");
    assert_eq!(count(), signings, "a good certificate is used again");

    // One that ends within five minutes is renewed before the next connection.
    let short = sign("+5m10s", "deploy");
    let created = with(&create, &short).json();
    let signings = count();
    let renewing = std::time::Instant::now() + std::time::Duration::from_secs(15);
    while let Some(wait) = renewing.checked_duration_since(std::time::Instant::now()) {
        std::thread::park_timeout(wait);
    }
    assert_eq!(with(&["destroy", &id(&created)], &short).json()["state"], "destroyed");
    assert!(count() > signings, "it was not renewed");

    for (command, why) in [
        ("exit 3", "ended with code 3"),
        ("echo no certificate", "something other than one certificate"),
    ] {
        let failed = with(&create, command);
        assert!(failed.code != 0 && failed.stderr.contains(why), "{command}: {failed:?}");
    }
    lab.nothing_is_left();
    lab.host.down();
}
