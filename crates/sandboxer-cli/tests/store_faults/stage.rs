//! A sandbox that a command is about, one that it is not about, and what must be true once all is well again.

use crate::sane::{checked, sane, works};
use crate::support::{Answer, World, wait_until};

/// What is done while the store fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Create,
    Destroy,
    Extend,
    /// A look, which finishes what a dead process left.
    Recover,
}

pub(crate) const VERBS: [Verb; 4] = [Verb::Create, Verb::Destroy, Verb::Extend, Verb::Recover];

/// A world with a sandbox that is not concerned.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) bystander: String,
}

/// A sandbox that is.
pub(crate) struct Target {
    id: Option<String>,
    expires_at: String,
}

impl Stage {
    pub(crate) fn new(world: World) -> Stage {
        let bystander = world.create(&[]);
        works(&world, &bystander, "before anything failed");
        Stage { world, bystander }
    }

    /// Makes what the verb is about.
    pub(crate) fn prepare(&self, verb: Verb) -> Target {
        let mut target = Target {
            id: None,
            expires_at: String::new(),
        };
        if verb != Verb::Create {
            let id = self.world.create(&["--ttl", "1h"]);
            let record = self.world.run(&["get", &id]).json();
            target.expires_at = record["expires_at"].as_str().unwrap().to_owned();
            if verb == Verb::Recover {
                let killed = self
                    .world
                    .run_with(&["destroy", &id], &[("SBX_CRASH_AT", "destroy.intend.after_commit")]);
                assert_eq!(killed.code, -9, "{killed:?}");
            }
            target.id = Some(id);
        }
        target
    }

    /// The command.
    pub(crate) fn args(verb: Verb, target: &Target) -> Vec<&str> {
        let id = target.id.as_deref().unwrap_or_default();
        match verb {
            Verb::Create => vec!["create", "--profile", "profile.native"],
            Verb::Destroy => vec!["destroy", id],
            Verb::Extend => vec!["extend-ttl", id, "--duration", "2h"],
            Verb::Recover => vec!["list"],
        }
    }

    /// While it fails: the answer is sane, and whoever is not concerned works on.
    #[track_caller]
    pub(crate) fn meanwhile(&self, verb: Verb, target: &Target, answer: Answer, case: &str) -> Answer {
        let answer = checked(answer, &Stage::args(verb, target), case);
        let used = sane(&self.world, &["exec", &self.bystander, "--", "echo", "alive"], case);
        assert_eq!((used.code, used.stdout.as_str()), (0, "alive\n"), "{case}: {used:?}");
        let got = sane(&self.world, &["get", &self.bystander], case).json();
        assert_eq!(got["state"], "active", "{case}");
        answer
    }

    /// All is well again: one look brings everything to rest, and what was acknowledged is on record.
    #[track_caller]
    pub(crate) fn comes_to_rest(&self, verb: Verb, target: &Target, answer: &Answer, case: &str) {
        let world = &self.world;
        let listed = world.run(&["list", "--all"]).json();
        let acknowledged = answer.code == 0;
        let record = |id: &str| {
            let all = listed.as_array().unwrap();
            let found = all.iter().find(|one| one["sandbox_id"] == id).cloned();
            found.unwrap_or_else(|| panic!("{case}: {id} is not on record: {listed}"))
        };
        for one in listed.as_array().unwrap() {
            let state = one["state"].as_str().unwrap();
            assert!(
                ["ready", "active", "failed", "destroyed"].contains(&state),
                "{case}: not at rest: {one}"
            );
        }
        match (verb, target.id.as_deref()) {
            (Verb::Create, _) if acknowledged => {
                let id = answer.json()["sandbox_id"].as_str().unwrap().to_owned();
                assert_eq!(record(&id)["state"], "ready", "{case}");
            }
            (Verb::Destroy, Some(id)) if acknowledged => assert_eq!(record(id)["state"], "destroyed", "{case}"),
            (Verb::Recover, Some(id)) => assert_eq!(record(id)["state"], "destroyed", "{case}"),
            (Verb::Extend, Some(id)) => {
                let now = record(id)["expires_at"].as_str().unwrap().to_owned();
                assert!(
                    now > target.expires_at || !acknowledged,
                    "{case}: the extension is lost"
                );
                works(world, id, case);
            }
            _ => {}
        }
        works(world, &self.bystander, case);
        self.clear();
        wait_until("only the bystander is left", || {
            let sandboxes = std::fs::read_dir(world.data.join("native/sb")).unwrap().flatten();
            let left: Vec<String> = sandboxes
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|name| !name.contains(&self.bystander))
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{case}: {left:?}"))
            }
        });
    }

    /// Removes every sandbox but the bystander.
    pub(crate) fn clear(&self) {
        for one in self
            .world
            .run(&["list", "--state", "ready", "--state", "active", "--state", "failed"])
            .json()
            .as_array()
            .unwrap()
        {
            let id = one["sandbox_id"].as_str().unwrap();
            if id != self.bystander {
                self.world.destroy(id);
            }
        }
    }

    /// The bystander goes, and with it everything.
    pub(crate) fn end(&self) {
        self.world.destroy(&self.bystander);
    }
}
