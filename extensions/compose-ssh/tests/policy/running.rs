//! Ordinary files as containers of a real engine: each is what the fresh file says, field by field.

use std::collections::BTreeSet;

use extension_compose_ssh::policy::{Stack, compare};
use sandboxer_testbed::{Host, Plan, or_skip};
use serde_json::Value;

use super::ordinary::corpus;
use super::support::{ID, project, read};

/// Stands in for images of the corpus, which nobody downloads here: it waits to be used.
const STAND_IN: &str = "stand-in:latest";

#[test]
fn containers_of_every_ordinary_file_are_what_its_fresh_file_says() {
    let host = or_skip!("containers of ordinary files", Host::start(Plan::new()));
    host.sh(&format!(
        "docker create --name stand-in busybox:stable true && \
         docker commit --change 'CMD [\"sleep\", \"100000\"]' stand-in {STAND_IN} && docker rm stand-in"
    ))
    .expect("an image");
    let dir = project();
    let (mut containers, mut running) = (0, 0);
    let files = corpus();
    for (name, text) in &files {
        let mut stack = read(dir.path(), text).unwrap_or_else(|refusals| panic!("{name}: {refusals:?}"));
        give_images(&host, &mut stack);
        let document = stack.document.to_string();
        let made = host
            .run_with(
                &[
                    "sh",
                    "-c",
                    "cat >/root/fresh.json && mkdir -p /root/empty && cd /root/empty && env -i PATH=\"$PATH\" HOME=/root/empty docker compose \
                     -p \"$1\" -f /root/fresh.json create 2>&1",
                    "sh",
                    ID,
                ],
                document.as_bytes(),
            )
            .expect("compose runs");
        assert!(made.is_success(), "{name}: {made:?}\n{document}");
        let (all, _) = look(&host, name, &stack);
        containers += all;
        // Those whose command is the image's own run, too; others name programs that the stand-in lacks.
        host.run(&["sh", "-c", "docker start $(docker ps -aq) >/dev/null 2>&1"])
            .expect("docker runs");
        running += look(&host, name, &stack).1;
        host.sh(
            "docker rm -f -v $(docker ps -aq) >/dev/null; docker network prune -f >/dev/null; docker volume prune -f >/dev/null",
        )
        .expect("a clean host");
    }
    assert!(running > 0, "none ran, so nothing was seen running");
    eprintln!(
        "{} ordinary files: {containers} containers are what was written, {running} of them looked at while they ran",
        files.len()
    );
    host.down();
}

/// Compares every container with the fresh file. How many there are, and how many of them run.
#[track_caller]
fn look(host: &Host, name: &str, stack: &Stack) -> (usize, usize) {
    let inspected = host.sh("docker inspect $(docker ps -aq)").expect("containers");
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    let mismatches = compare(stack, &inspected);
    assert!(mismatches.is_empty(), "{name}: {mismatches:#?}\n{}", stack.document);
    let all = inspected.as_array().expect("a list");
    let up = all.iter().filter(|one| one["State"]["Running"] == true);
    (all.len(), up.count())
}

/// Every image of the file is the stand-in; one that is named by its content is put in its place.
fn give_images(host: &Host, stack: &mut Stack) {
    let mut names = BTreeSet::new();
    let services = stack.document["services"].as_object_mut().expect("services");
    for service in services.values_mut() {
        let image = service["image"].as_str().expect("an image").to_owned();
        if image.contains('@') {
            service["image"] = STAND_IN.into();
        } else {
            names.insert(image);
        }
    }
    for image in names {
        host.docker(&["tag", STAND_IN, &image]).expect("a tag");
    }
}
