//! No place is forgotten: every step of every operation, every takeover, and every place that the sources name, is one that
//! some test reaches and kills at.

use std::collections::BTreeSet;
use std::path::Path;

use sandboxer_engine::operation::steps;
use sandboxer_model::operation::OperationKind;

use crate::{VERBS, clean_up, hits, killed_at, places};

const KINDS: [OperationKind; 5] = [
    OperationKind::Create,
    OperationKind::Destroy,
    OperationKind::Recreate,
    OperationKind::ExtendTtl,
    OperationKind::Expire,
];
/// Places that other tests kill at, by how their names begin: `events/killed.rs`, `hosts/registry.rs`, `server.rs`.
const ELSEWHERE: [&str; 3] = ["deliver.", "reap.", "reconcile."];

fn name(hit: &str) -> String {
    hit.rsplit_once(':').map_or(hit, |(name, _)| name).to_owned()
}

/// Every place that the verbs reach, and the commands that finish or undo them after their first commit.
fn reached() -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for verb in VERBS {
        reached.extend(places(verb).iter().map(|hit| name(hit)));
        let world = killed_at(verb, "store.commit.after:1");
        let log = world.path().join("cuts");
        world
            .run_with(&["list"], &[("SBX_CUT_LOG", log.to_str().unwrap())])
            .json();
        reached.extend(hits(&log).iter().map(|hit| name(hit)));
        clean_up(&world);
    }
    reached
}

/// Names that the sources spell out.
fn named(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split("cut!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(calls.filter(|name| !name.contains('{')).map(str::to_owned));
        }
    }
}

#[test]
fn no_place_is_forgotten() {
    let reached = reached();
    let mut wanted = BTreeSet::new();
    for kind in KINDS {
        let kind_name = kind.name();
        wanted.insert(format!("takeover.{kind_name}.after_commit"));
        for step in steps(kind) {
            for moment in ["before_effect", "after_effect"] {
                wanted.insert(format!("{kind_name}.{step}.{moment}"));
            }
        }
    }
    // As somebody who may not read the sources this is left to the run that may.
    if rustix::process::geteuid().is_root() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for crates in ["crates", "extensions"] {
            for one in std::fs::read_dir(top.join(crates)).unwrap() {
                let sources = one.unwrap().path().join("src");
                if sources.is_dir() {
                    named(&sources, &mut wanted);
                }
            }
        }
    }
    let missing: Vec<&String> = wanted
        .difference(&reached)
        .filter(|name| !ELSEWHERE.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    assert!(
        missing.is_empty(),
        "nobody is killed at {missing:?}; reached: {reached:?}"
    );
    eprintln!("{} places are named, {} reached", wanted.len(), reached.len());
}
