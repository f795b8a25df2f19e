//! What is listed is let out, and nothing else.

use sandboxer_testbed::{Plan, or_skip};

use crate::lab::{Lab, SINGLE, id};

#[test]
fn only_what_is_listed_is_let_out() {
    let lab = or_skip!("an allow-list", Lab::start(Plan::new()));
    // Two services beyond the host, at the other end of its cable: one is listed.
    let listeners: Vec<_> = ["8201", "8202"]
        .iter()
        .map(|port| {
            let address = format!("{}:{port}", lab.host.peer_ip());
            let listener = std::net::TcpListener::bind(&address).expect("it listens");
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = std::io::Write::write_all(&mut &stream, b"hello\n");
                }
            })
        })
        .collect();
    let repository = lab.repository_of("one", SINGLE);
    lab.world.write(
        "listed.yaml",
        format!(
            "id: profile.listed\nextension: ext.compose-ssh\ninputs:\n  repo: {{type: directory}}\nnetwork:\n  egress: [\"{}/32:8201\"]\n",
            lab.host.peer_ip()
        ),
    );
    let repo = format!("repo={}", repository.display());
    let created = lab
        .run(&[
            "create",
            "--profile",
            "./listed.yaml",
            "--input",
            &repo,
            "--host",
            lab.host.alias(),
        ])
        .json();
    let id_ = id(&created);
    let reach = |port: &str| lab.run(&["exec", &id_, "--", "nc", "-w", "2", &lab.host.peer_ip(), port]);
    let listed = reach("8201");
    assert_eq!(listed.stdout, "hello\n", "{listed:?}");
    let other = reach("8202");
    assert!(other.code != 0 && other.stdout.is_empty(), "{other:?}");
    let host = lab.run(&["exec", &id_, "--", "nc", "-w", "2", &lab.host.ip(), "22"]);
    assert!(host.code != 0 && host.stdout.is_empty(), "{host:?}");
    lab.destroy(&id_);

    lab.world.write(
        "wild.yaml",
        "id: profile.wild\nextension: ext.compose-ssh\ninputs:\n  repo: {type: directory}\nnetwork:\n  egress: [\"*.example.org\"]\n",
    );
    let refused = lab.run(&[
        "create",
        "--profile",
        "./wild.yaml",
        "--input",
        &repo,
        "--host",
        lab.host.alias(),
    ]);
    assert!(
        refused.code != 0 && refused.stderr.contains("*.example.org"),
        "{refused:?}"
    );
    lab.nothing_is_left();
    lab.host.down();
    drop(listeners);
}
