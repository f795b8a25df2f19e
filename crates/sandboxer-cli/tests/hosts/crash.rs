//! The real binary killed at every place of a creation and a removal on a host: the next command finishes or undoes it.

use sandboxer_testbed::{Plan, or_skip};

use crate::lab::{Lab, SINGLE, id};

#[test]
fn a_command_that_is_killed_anywhere_leaves_nothing() {
    let lab = or_skip!("killed on a host", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let repo = format!("repo={}", repository.display());
    let create = lab.create_words(&repo);
    for step in ["place", "provision", "wait_ready", "publish"] {
        for moment in ["before_effect", "after_effect", "after_commit"] {
            let at = format!("create.{step}.{moment}");
            let killed = lab.run_with(&create, &[("SBX_CRASH_AT", &at)]);
            if killed.code == 0 {
                // Not every step has every place: what was made is removed by hand.
                lab.destroy(&id(&killed.json()));
                continue;
            }
            assert_eq!(killed.code, -9, "{at}: {killed:?}");
            // Any command takes over what a dead one left.
            let listed = lab.run(&["list"]).json();
            for one in listed.as_array().expect("a list") {
                lab.destroy(one["sandbox_id"].as_str().expect("an id"));
            }
            lab.nothing_is_left();
        }
    }
    for step in ["intend", "teardown", "settle"] {
        for moment in ["before_effect", "after_effect", "after_commit"] {
            let created = lab.created(&repository, &[]);
            let at = format!("destroy.{step}.{moment}");
            let _ = lab.run_with(&["destroy", &id(&created)], &[("SBX_CRASH_AT", &at)]);
            lab.run(&["list"]).json();
            let gone = lab.run(&["destroy", &id(&created)]).json();
            assert_eq!(gone["state"], "destroyed", "{at}: {gone}");
        }
    }
    lab.nothing_is_left();
    lab.host.down();
}
