//! A host, and a world that knows the way to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sandboxer_testbed::audit::Audit;
use sandboxer_testbed::{Host, Plan, Unavailable, fixture};
use serde_json::Value;

use crate::support::{Answer, World, wait_until};

/// A host, and a world that knows the way to it.
pub(crate) struct Lab {
    pub(crate) world: World,
    pub(crate) host: Host,
    before: Audit,
    config: PathBuf,
    base: &'static str,
}

/// A file of one small service.
pub(crate) const SINGLE: &str =
    "services:\n  one:\n    image: busybox:stable\n    init: true\n    command: [\"sleep\", \"100000\"]\n";

impl Lab {
    pub(crate) fn start(plan: Plan) -> Result<Lab, Unavailable> {
        let host = Host::start(plan)?;
        let before = host.audit()?;
        let world = World::new();
        Ok(Lab {
            config: host.ssh_config(),
            base: "/tmp/sandboxer",
            world,
            host,
            before,
        })
    }

    /// Another way to the host from here on.
    pub(crate) fn through(&mut self, config: PathBuf) {
        self.config = config;
    }

    /// Another directory on the host from here on.
    pub(crate) fn at(&mut self, base: &'static str) {
        self.base = base;
    }

    /// The binary with these words, knowing the way to the host.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.command(words);
        command.env("SANDBOXER_SSH_CONFIG", &self.config);
        command.env("SANDBOXER_BASE_DIR", self.base);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Answer {
        self.run_with(words, &[])
    }

    pub(crate) fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Answer {
        let mut all = vec![
            ("SANDBOXER_SSH_CONFIG", self.config.to_str().expect("a path")),
            ("SANDBOXER_BASE_DIR", self.base),
        ];
        all.extend(variables);
        self.world.run_with(words, &all)
    }

    /// The repository of the fixture: a page, a database, a cache.
    pub(crate) fn repository(&self) -> PathBuf {
        let folder = self.world.work.join("repository");
        std::fs::create_dir_all(&folder).expect("a folder");
        fixture::web_db_cache(&folder).expect("the fixture");
        folder
    }

    /// A repository with this Compose file and nothing else.
    pub(crate) fn repository_of(&self, name: &str, compose: &str) -> PathBuf {
        self.world.write(&format!("{name}/compose.yml"), compose);
        self.world.work.join(name)
    }

    /// The words of a `create` on the host; `repo` is the whole input, `repo=` and the folder.
    pub(crate) fn create_words<'w>(&'w self, repo: &'w str) -> [&'w str; 7] {
        let host = self.host.alias();
        [
            "create",
            "--profile",
            "profile.compose-e2e",
            "--input",
            repo,
            "--host",
            host,
        ]
    }

    /// `create` of a stack on the host.
    pub(crate) fn create(&self, repository: &Path, more: &[&str]) -> Answer {
        let repo = format!("repo={}", repository.display());
        let words = self.create_words(&repo);
        self.run(&[&words, more].concat())
    }

    /// The same, which must come off.
    #[track_caller]
    pub(crate) fn created(&self, repository: &Path, more: &[&str]) -> Value {
        let created = self.create(repository, more).json();
        assert_eq!(created["state"], "ready", "{created}");
        created
    }

    /// Removes a sandbox, which must come off with proof.
    #[track_caller]
    pub(crate) fn destroy(&self, id: &str) -> Value {
        let receipt = self.run(&["destroy", id]).json();
        assert_eq!(receipt["state"], "destroyed", "{receipt}");
        assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
        receipt
    }

    /// What is on the host and was not before, without what is kept on purpose: trees for the next time, and the notes
    /// that late effects are refused by.
    pub(crate) fn leftovers(&self, patience: Duration) -> Vec<String> {
        let is_kept = |line: &str| is_kept(self.base, line);
        self.host.leftovers(&self.before, patience, is_kept).expect("an audit")
    }

    /// Fails when anything of any sandbox is left.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        let left = self.leftovers(Duration::from_secs(30));
        assert!(left.is_empty(), "{left:#?}");
    }

    /// Asks an address from the host itself, until it answers: ready is a service that runs, not one that listens.
    #[track_caller]
    pub(crate) fn get(&self, url: &str) -> String {
        wait_until("it answers", || {
            let fetched = self.host.over_ssh(&format!("timeout 3 busybox wget -q -O - {url}"));
            let fetched = fetched.map_err(|error| error.to_string())?;
            if fetched.is_success() {
                Ok(fetched.stdout)
            } else {
                Err(format!("{fetched:?}"))
            }
        })
    }

    /// Runs a command in a service, and tells whether it came off.
    pub(crate) fn inside(&self, id: &str, service: &str, command: &[&str]) -> Answer {
        let words = [&["exec", id, "--service", service, "--"], command].concat();
        self.run(&words)
    }
}

fn is_kept(base: &str, line: &str) -> bool {
    // Native sandboxes and machines of other tests have their control groups beside everybody's.
    let of_others = line.contains("/sandboxer") || (line.contains("sbx-testbed-") && !line.contains("/docker/"));
    if line.starts_with("cgroup ") && of_others {
        return true;
    }
    // The engine's own, from the first container with the host's network on.
    if line == "mount /run/docker/netns/default" {
        return true;
    }
    // A ghost of the engine: it died between starting this and hearing of it, and knows no such container.
    if line.starts_with("process /usr/bin/containerd-shim") {
        return true;
    }
    let Some(path) = line.strip_prefix(&format!("file {base}")) else {
        return false;
    };
    !path.contains("sbx-") && (path.is_empty() || path.starts_with("/.sbx"))
}

/// The id in an answer.
pub(crate) fn id(created: &Value) -> String {
    created["sandbox_id"].as_str().expect("an id").to_owned()
}
