//! A stranger's stack: up, isolated, reachable, and gone without a trace.

use sandboxer_testbed::{Plan, fixture, or_skip};

use crate::lab::{Lab, SINGLE, id};

#[test]
fn a_stack_comes_up_isolated_and_reachable_and_goes_without_a_trace() {
    let lab = or_skip!("a stack on a host", Lab::start(Plan::new()));
    let repository = lab.repository();
    let neighbour = lab.created(
        &lab.repository_of(
            "neighbour",
            &SINGLE.replace("[\"sleep\", \"100000\"]", "nc -ll -p 80 -e echo hi"),
        ),
        &[],
    );
    let created = lab.created(&repository, &["--ttl", "30m"]);
    let id_ = id(&created);

    let ways = &created["reachability"];
    assert_eq!(ways["compose_project"], id_.as_str());
    assert_eq!(ways["remote_dir"], format!("/tmp/sandboxer/{id_}"));
    assert_eq!(ways["host"], lab.host.alias());
    assert_eq!(ways["ssh"], format!("root@{}", lab.host.alias()));
    let web = ways["services"]["web"][0]["address"].as_str().expect("an address");
    assert_eq!(ways["services"]["web"][0]["port"], 80);
    assert_eq!(lab.get(&format!("http://{web}/")), fixture::PAGE);
    assert!(lab.get(&format!("http://{web}/cgi-bin/env")).contains(fixture::BUILT));
    assert_eq!(
        lab.get(&format!("http://{web}/cgi-bin/peers")),
        "db:5432: 1\ncache:6379: +PONG\n"
    );

    // A service of the host that really answers, on every address.
    lab.host
        .sh("busybox nc -ll -p 8099 -e echo hello >/dev/null 2>&1 & echo $! >/tmp/listener")
        .expect("a listener");
    let other = neighbour["reachability"]["services"]["one"].as_array().expect("ports");
    assert!(
        other.is_empty(),
        "it names no port, and needs none to be reached if it could be"
    );
    let other = lab.host.docker(&[
        "inspect",
        "-f",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &format!("{}-one-1", id(&neighbour)),
    ]);
    let other = other.expect("the neighbour's address");
    let gateway = format!(
        "{}.1",
        web.rsplit_once(':')
            .expect("a port")
            .0
            .rsplit_once('.')
            .expect("an address")
            .0
    );
    let mut gateways = vec![gateway, lab.host.ip(), lab.host.peer_ip()];
    // The bridge's own address, whatever it is.
    let bridge = lab
        .host
        .sh("ip -4 -o addr show | awk '$2 ~ /^sbx/ { sub(\"/.*\", \"\", $4); print $4 }'")
        .expect("addresses");
    gateways.extend(bridge.lines().map(str::to_owned));
    let mut places: Vec<(String, &str)> = gateways.into_iter().map(|address| (address, "8099")).collect();
    places.push((other.trim().to_owned(), "80"));
    places.push(("198.51.100.7".to_owned(), "80"));
    places.push(("169.254.169.254".to_owned(), "80"));
    places.push((lab.host.ip(), "22"));
    for (address, port) in &places {
        let tried = lab.inside(&id_, "web", &["nc", "-w", "2", address, port]);
        assert!(
            tried.code != 0 && tried.stdout.is_empty(),
            "{address}:{port} answers: {tried:?}"
        );
    }
    // The probe is able to reach what may be reached.
    let within = lab.inside(&id_, "web", &["nc", "-w", "2", "cache", "6379"]);
    assert_eq!(within.stdout, "+PONG\n");
    let resolved = lab.inside(
        &id_,
        "web",
        &["wget", "-T", "2", "-q", "-O", "-", "http://example.org/"],
    );
    assert_ne!(resolved.code, 0);
    let asked = lab.host.asked();
    assert!(asked.is_empty(), "names of the world were asked for: {asked:?}");
    lab.host
        .sh("kill $(cat /tmp/listener); rm /tmp/listener")
        .expect("the listener ends");

    let attested = created["isolation"]["attestations"].as_array().expect("attestations");
    assert!(
        attested.len() >= 9 && attested.iter().all(|one| one["held"] == true),
        "{attested:#?}"
    );

    assert_eq!(lab.inside(&id_, "web", &["sh", "-c", "exit 7"]).code, 7);
    assert!(lab.run(&["logs", &id_, "--service", "web"]).code == 0);
    let unnamed = lab.run(&["exec", &id_, "--", "true"]);
    assert!(unnamed.code != 0 && unnamed.stderr.contains("--service"), "{unnamed:?}");

    lab.destroy(&id_);
    lab.destroy(&id(&neighbour));
    lab.nothing_is_left();
    let again = lab.run(&["destroy", &id_]).json();
    assert_eq!(again["already"], true);
    lab.host.down();
}

#[test]
fn an_unchanged_tree_is_not_sent_again() {
    let mut lab = or_skip!("trees are kept", Lab::start(Plan::new()));
    let repository = lab.repository_of("big", SINGLE);
    let noise: Vec<u8> = (0..4_000_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    std::fs::write(repository.join("big.bin"), noise).expect("a file");
    let proxy = sandboxer_testbed::Proxy::count(&lab.host).expect("a proxy");
    lab.through(proxy.ssh_config(&lab.host).expect("a way"));
    let mut sent = Vec::new();
    for _ in 0..2 {
        let before = proxy.counts();
        let created = lab.created(&repository, &[]);
        let after = proxy.counts();
        sent.push((after.connections - before.connections, after.up - before.up));
        lab.destroy(&id(&created));
    }
    assert!(
        sent.iter().all(|(connections, _)| *connections == 1),
        "one connection each: {sent:?}"
    );
    assert!(sent[0].1 > 16_000_000 && sent[1].1 < 200_000, "{sent:?}");
    lab.nothing_is_left();
    lab.host.down();
}

#[test]
fn what_a_sandbox_must_not_have_is_refused_before_the_host_is_asked() {
    let lab = or_skip!("hostile files", Lab::start(Plan::new()));
    let before = lab.host.processes().expect("processes");
    for (name, more, key) in [
        ("provider", "    provider: {type: ./evil.sh}\n", "services.web.provider"),
        ("privileged", "    privileged: true\n", "services.web.privileged"),
        (
            "socket",
            "    volumes: [\"/var/run/docker.sock:/x\"]\n",
            "services.web.volumes.0",
        ),
        ("namespace", "    pid: host\n", "services.web.pid"),
    ] {
        let text = format!("services:\n  web:\n    image: busybox:stable\n{more}");
        let repository = lab.repository_of(name, &text);
        lab.world
            .write(&format!("{name}/evil.sh"), "#!/bin/sh\ntouch /tmp/evil\n");
        let refused = lab.create(&repository, &[]);
        assert!(refused.code != 0 && refused.code < 100, "{refused:?}");
        for part in ["compose.yml:4:", "service `web`", key] {
            assert!(refused.stderr.contains(part), "{part}: {refused:?}");
        }
    }
    assert_eq!(lab.host.processes().expect("processes"), before);
    lab.nothing_is_left();
    lab.host.down();
}

#[test]
fn a_trusted_file_is_taken_as_it_is_and_goes_all_the_same() {
    let lab = or_skip!("trust: full", Lab::start(Plan::new()));
    let repository = lab.repository_of(
        "trusted",
        "services:\n  web:\n    image: busybox:stable\n    init: true\n    network_mode: host\n    command: sleep 100000\n    volumes: [\"data:/data\", \"/etc:/host-etc:ro\"]\nvolumes:\n  data:\n",
    );
    let refused = lab.create(&repository, &[]);
    assert!(refused.stderr.contains("network_mode"), "{refused:?}");
    let profile = |network: &str| {
        format!(
            "id: profile.own\nextension: ext.compose-ssh\ntrust: full\ninputs:\n  repo: {{type: directory}}\n{network}"
        )
    };
    lab.world.write("half.yaml", profile(""));
    lab.world.write("own.yaml", profile("network:\n  default: allow\n"));
    let repo = format!("repo={}", repository.display());
    let half = lab.run(&[
        "create",
        "--profile",
        "./half.yaml",
        "--input",
        &repo,
        "--host",
        lab.host.alias(),
    ]);
    assert!(
        half.code != 0 && half.stderr.contains("network.default: allow"),
        "{half:?}"
    );
    let created = lab
        .run(&[
            "create",
            "--profile",
            "./own.yaml",
            "--input",
            &repo,
            "--host",
            lab.host.alias(),
        ])
        .json();
    let read = lab.run(&["exec", &id(&created), "--", "cat", "/host-etc/hostname"]);
    assert_eq!(read.code, 0, "{read:?}");
    let mechanisms = created["isolation"]["mechanisms"].as_array().expect("mechanisms");
    assert!(
        mechanisms
            .iter()
            .any(|one| one["name"] == "compose_file" && one["state"] == "missing"),
        "{mechanisms:?}"
    );
    lab.destroy(&id(&created));
    lab.nothing_is_left();
    lab.host.down();
}

/// A container that may write above a place could put a link there, and the engine would follow it for the next one.
#[test]
fn what_lies_beneath_a_writable_place_is_bound_from_a_copy() {
    let lab = or_skip!("nested binds", Lab::start(Plan::new()));
    let repository = lab.repository_of(
        "nested",
        "services:\n  writer:\n    image: busybox:stable\n    init: true\n    volumes: [\".:/app\"]\n    command: [\"sh\", \"-c\", \"rm -r /app/conf; ln -s /etc /app/conf; exec sleep 100000\"]\n    healthcheck: {test: [\"CMD\", \"test\", \"-L\", \"/app/conf\"], interval: 1s, retries: 20}\n  reader:\n    image: busybox:stable\n    init: true\n    volumes: [\"./conf:/conf:ro\"]\n    command: sleep 100000\n    depends_on: {writer: {condition: service_healthy}}\n",
    );
    lab.world.write("nested/conf/own", "mine\n");
    let created = lab.created(&repository, &[]);
    let seen = lab.inside(&id(&created), "reader", &["ls", "/conf"]);
    assert_eq!(seen.stdout, "own\n", "{seen:?}");
    lab.destroy(&id(&created));
    lab.nothing_is_left();
    lab.host.down();
}
