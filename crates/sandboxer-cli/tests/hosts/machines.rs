//! Virtual machines: a workspace on one that runs, and an image built with the real Packer.

use std::time::{Duration, Instant};

use sandboxer_testbed::{Compose, Plan, or_skip};

use crate::lab::{Lab, id};
use crate::support::{World, wait_until};

#[test]
fn a_workspace_comes_and_goes_and_the_machine_stays() {
    let mut lab = or_skip!(
        "a workspace on a machine",
        Lab::start(Plan::new().compose(Compose::None).without_image())
    );
    lab.at("/build");
    let before = lab.host.processes().expect("processes");
    let repository = lab.repository_of("code", "nothing: here\n");
    lab.world.write("code/src/main.hs", "main = pure ()\n");
    let repo = format!("repo={}", repository.display());
    let target = format!("ssh_target={}", lab.host.alias());
    let create = [
        "create",
        "--profile",
        "profile.vm-haskell-build",
        "--input",
        &repo,
        "--input",
        &target,
    ];
    let created = lab.run(&create).json();
    let id_ = id(&created);
    let directory = format!("/build/{id_}");
    assert_eq!(created["reachability"]["remote_dir"], directory.as_str());
    assert_eq!(created["host"], lab.host.alias());
    assert_eq!(
        lab.host
            .sh(&format!("cat {directory}/src/main.hs"))
            .expect("it is there"),
        "main = pure ()\n"
    );
    let ran = lab.run(&[
        "exec",
        &id_,
        "--env",
        "A=b c",
        "--",
        "sh",
        "-c",
        "pwd; echo \"$A\" '$(id)'; exit 5",
    ]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (5, format!("{directory}\nb c $(id)\n").as_str()),
        "{ran:?}"
    );
    lab.destroy(&id_);
    lab.nothing_is_left();

    // With nobody of ours left, the machine ends it itself.
    let short = lab.run(&[&create[..], &["--ttl", "5s"]].concat()).json();
    let gone_by = Instant::now() + Duration::from_secs(60);
    let directory = format!("/build/{}", id(&short));
    while lab
        .host
        .sh(&format!("test -e {directory} && echo there || echo gone"))
        .expect("a look")
        .trim()
        != "gone"
    {
        assert!(Instant::now() < gone_by, "{directory} is there after its time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    wait_until("its guard has ended", || {
        let now = lab.host.processes().expect("processes");
        if now == before { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let gone = lab.run(&["destroy", &id(&short)]).json();
    assert_eq!(gone["reason"], "ttl", "{gone}");
    lab.nothing_is_left();
    lab.host.down();
}

#[test]
fn packer_builds_and_what_it_built_stays() {
    if !std::path::Path::new("/usr/bin/packer").exists() {
        return crate::support::skip("packer_builds_and_what_it_built_stays", "no packer (package packer)");
    }
    let world = World::new();
    let image = world.path().join("image.txt");
    world.write(
        "template/template.json",
        format!(
            r#"{{"variables": {{"vm_name": "", "flavour": ""}},
               "builders": [{{"type": "null", "communicator": "none"}}],
               "provisioners": [{{"type": "shell-local", "inline": ["echo {{{{user `vm_name`}}}} {{{{user `flavour`}}}} > {}"]}}]}}"#,
            image.display()
        ),
    );
    world.write(
        "packer.yaml",
        "id: profile.images\nextension: ext.vm-packer\nisolation: {level: microvm}\nnetwork: {default: allow}\nconfig: {mode: build}\ninputs:\n  packer_template: {type: directory, required: true}\n  vm_name: {type: string}\n  packer_var_flavour: {type: string}\n",
    );
    let words = [
        "create",
        "--profile",
        "./packer.yaml",
        "--input",
        "packer_template=template",
        "--input",
        "vm_name=haskell build",
        "--input",
        "packer_var_flavour=plain",
    ];
    let created = world.run(&words).json();
    assert_eq!(created["state"], "ready", "{created}");
    assert_eq!(
        std::fs::read_to_string(&image).expect("it was built"),
        "haskell build plain\n"
    );
    let log =
        std::path::PathBuf::from(created["reachability"]["workspace"].as_str().expect("a directory")).join("build.log");
    assert!(std::fs::read_to_string(log).expect("a log").contains("Builds finished"));
    world.destroy(created["sandbox_id"].as_str().expect("an id"));
    assert!(image.exists(), "what was built stays");
    world.write(
        "template/template.json",
        r#"{"builders": [{"type": "no-such-builder"}]}"#,
    );
    let failed = world.run(&words);
    assert!(
        failed.code != 0 && failed.stderr.contains("packer ended with code"),
        "{failed:?}"
    );
    world.write("template/second.json", "{}");
    let several = world.run(&words);
    assert!(
        several.code != 0 && several.stderr.contains("several templates"),
        "{several:?}"
    );
}
