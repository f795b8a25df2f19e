//! The same life with each Compose tool.

use sandboxer_testbed::{Compose, Plan, fixture, or_skip};

use crate::lab::{Lab, SINGLE, id};

#[test]
fn every_compose_tool_gives_the_same_sandbox() {
    for compose in [Compose::Plugin, Compose::Standalone, Compose::Python, Compose::Podman] {
        let lab = or_skip!("every compose tool", Lab::start(Plan::new().compose(compose)));
        let repository = lab.repository();
        let created = lab.created(&repository, &[]);
        let id_ = id(&created);
        let web = created["reachability"]["services"]["web"][0]["address"]
            .as_str()
            .expect("an address");
        assert_eq!(lab.get(&format!("http://{web}/")), fixture::PAGE, "{compose:?}");
        assert_eq!(
            lab.get(&format!("http://{web}/cgi-bin/peers")),
            "db:5432: 1\ncache:6379: +PONG\n",
            "{compose:?}"
        );
        let out = lab.inside(&id_, "web", &["nc", "-w", "2", &lab.host.peer_ip(), "22"]);
        assert_ne!(out.code, 0, "{compose:?}: {out:?}");
        assert_eq!(lab.inside(&id_, "db", &["sh", "-c", "exit 3"]).code, 3, "{compose:?}");
        let attested = created["isolation"]["attestations"].as_array().expect("attestations");
        assert!(
            !attested.is_empty() && attested.iter().all(|one| one["held"] == true),
            "{compose:?}"
        );
        lab.destroy(&id_);
        // What is written one way by hand, some tools read as a drive of another system.
        let lettered = lab.repository_of(
            "lettered",
            &format!("{SINGLE}    volumes: [\"d:/kept\"]\nvolumes:\n  d:\n"),
        );
        let id_ = id(&lab.created(&lettered, &[]));
        let out = lab.inside(
            &id_,
            "one",
            &["sh", "-c", "echo x > /kept/x && grep -c ' /kept ' /proc/mounts"],
        );
        assert_eq!(out.stdout.trim(), "1", "{compose:?}: {out:?}");
        lab.destroy(&id_);
        lab.nothing_is_left();
        lab.host.down();
    }
}
