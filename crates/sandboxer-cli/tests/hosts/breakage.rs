//! Machines that fail in ways of their own: the engine is dead, a transfer breaks off, the disk is full. A call comes back,
//! and when the machine is well again nothing is left.

use std::time::Duration;

use sandboxer_testbed::{Plan, Proxy, or_skip};

use crate::lab::{Lab, SINGLE, id};
use crate::support::wait_until;

/// Ids of everything that is not gone.
fn alive(lab: &Lab) -> Vec<String> {
    let listed = lab.run(&["list"]).json();
    let all = listed.as_array().expect("a list").iter();
    all.filter_map(|one| one["sandbox_id"].as_str().map(str::to_owned))
        .collect()
}

/// Removes everything there is a record of, and looks.
pub(crate) fn converges(lab: &Lab) {
    for one in alive(lab) {
        wait_until("it can be removed", || {
            let removed = lab.run(&["destroy", &one]);
            if removed.code == 0 {
                Ok(())
            } else {
                Err(format!("{removed:?}"))
            }
        });
    }
    lab.nothing_is_left();
}

#[test]
fn absence_is_not_claimed_while_the_engine_is_dead() {
    let lab = or_skip!("a dead engine", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let created = lab.created(&repository, &[]);
    lab.host.kill_dockerd().expect("it dies");
    let stuck = lab.run(&["destroy", &id(&created)]);
    assert!(
        stuck.code != 0,
        "absence cannot be proven without the engine: {stuck:?}"
    );
    lab.host.start_dockerd().expect("it comes back");
    converges(&lab);
    lab.host.down();
}

/// An engine says "cannot be executed" of a command whose container dies under it, and still lists the container.
#[test]
fn what_an_engine_says_of_a_command_during_a_removal_is_not_its_code() {
    let lab = or_skip!("a command during a removal", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let id_ = id(&lab.created(&repository, &[]));
    let code = |code: &str| lab.inside(&id_, "one", &["sh", "-c", &format!("exit {code}")]).code;
    assert_eq!([code("126"), code("7")], [126, 7]);
    let mark = format!("/tmp/sandboxer/.sbx/{id_}/running");
    let marked = lab
        .host
        .over_ssh(&format!("echo 4194305 1 teardown >{mark}"))
        .expect("ssh");
    assert!(marked.is_success(), "{marked:?}");
    assert_eq!(
        [code("126"), code("7")],
        [137, 7],
        "137 is what a command that went with its sandbox comes to"
    );
    lab.destroy(&id_);
    lab.nothing_is_left();
    lab.host.down();
}

#[test]
fn a_build_cannot_name_somebody_elses_layer_as_its_own() {
    let lab = or_skip!("a lying build", Lab::start(Plan::new()));
    let built = lab
        .host
        .over_ssh("printf 'FROM busybox:stable\nENV somebody=else\n' | DOCKER_BUILDKIT=0 docker build -q -");
    let built = built.expect("ssh").stdout;
    let layer = built.trim().trim_start_matches("sha256:").get(..12).expect("an id");
    let repository = lab.repository_of("lying", "services:\n  one:\n    build: .\n");
    lab.world.write(
        "lying/Dockerfile",
        format!("FROM busybox:stable\nENV its=own\nRUN echo ' ---> {layer}' && echo it ran && exit 1\n"),
    );
    let created = lab.create(&repository, &[]);
    assert_ne!(created.code, 0, "{created:?}");
    for one in alive(&lab) {
        lab.destroy(&one);
    }
    let images = lab.host.over_ssh("docker images -aq").expect("ssh").stdout;
    assert!(images.contains(layer), "{layer} of somebody else is gone: {images}");
    let unnamed = lab
        .host
        .over_ssh("docker images -q -f dangling=true")
        .expect("ssh")
        .stdout;
    assert_eq!(unnamed.trim(), layer, "a layer of the broken build is left");
    let left = lab.leftovers(Duration::from_secs(10));
    assert!(left.iter().all(|line| line.contains(layer)), "{left:#?}");
    lab.host.down();
}

#[test]
fn a_transfer_that_breaks_off_anywhere_leaves_no_half_tree() {
    let mut lab = or_skip!("a broken transfer", Lab::start(Plan::new()));
    let repository = lab.repository_of("big", SINGLE);
    let noise: Vec<u8> = (0..500_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    std::fs::write(repository.join("big.bin"), &noise).expect("a file");
    for part in 1..=10u64 {
        // A new tree each time, so that it is really sent.
        std::fs::write(repository.join("n"), part.to_string()).expect("a file");
        let proxy = Proxy::cut_after(&lab.host, 60_000 + part * 190_000).expect("a proxy");
        let direct = lab.host.ssh_config();
        lab.through(proxy.ssh_config(&lab.host).expect("a way"));
        let broken = lab.create(&repository, &[]);
        lab.through(direct);
        assert!(broken.code == 0 || !broken.stderr.is_empty(), "{broken:?}");
        let placed = lab
            .host
            .sh("find /tmp/sandboxer -maxdepth 2 -name big.bin -size -1900k | wc -l")
            .expect("a look");
        assert_eq!(placed.trim(), "0", "a half tree has a name");
        converges(&lab);
        let parts = lab.host.sh("ls /tmp/sandboxer/.sbx/incoming 2>/dev/null | wc -l");
        assert_eq!(parts.expect("a look").trim(), "0", "a part of a tree is left");
    }
    lab.host.down();
}

#[test]
fn a_full_disk_is_said_and_nothing_stays() {
    let mut lab = or_skip!("a full disk", Lab::start(Plan::new()));
    lab.at("/root/sandboxer");
    let repository = lab.repository_of("one", SINGLE);
    std::fs::write(repository.join("some.bin"), vec![7u8; 3_000_000]).expect("a file");
    lab.host.fill_disk(256).expect("it is full");
    let full = lab.create(&repository, &[]);
    assert_ne!(full.code, 0, "{full:?}");
    lab.host.free_disk().expect("it has room");
    converges(&lab);
    let created = lab.created(&repository, &[]);
    lab.destroy(&id(&created));
    lab.nothing_is_left();
    lab.host.down();
}

#[test]
fn a_host_that_nobody_vouched_for_is_refused_with_what_to_do() {
    let lab = or_skip!("an unknown host key", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let config = std::fs::read_to_string(lab.host.ssh_config()).expect("a configuration");
    let known = lab.host.known_hosts();
    let nobody = lab.world.write("known_hosts", "");
    let text = config.replace(known.to_str().expect("a path"), nobody.to_str().expect("a path"));
    let file = lab.world.write("ssh_config", text);
    let repo = format!("repo={}", repository.display());
    let words = lab.create_words(&repo);
    let refused = lab
        .world
        .run_with(&words, &[("SANDBOXER_SSH_CONFIG", file.to_str().expect("a path"))]);
    assert!(refused.code != 0 && refused.stderr.contains("hosts add"), "{refused:?}");
    lab.nothing_is_left();
    lab.host.down();
}
