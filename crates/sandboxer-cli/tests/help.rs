//! The help of every verb, word for word, and the pages made from it.
#![allow(clippy::disallowed_methods, reason = "tests read real files")]

mod support;

use support::World;

const VERBS: &[&str] = &[
    "create",
    "run",
    "exec",
    "logs",
    "cp",
    "get",
    "list",
    "wait",
    "destroy",
    "recreate",
    "activate",
    "extend-ttl",
    "expire",
    "explain",
    "reachability",
    "reachability show",
    "label",
    "events",
    "events sinks",
    "events redeliver",
    "webhooks",
    "webhooks add",
    "webhooks list",
    "webhooks remove",
    "webhooks test",
    "profiles",
    "profiles list",
    "profiles show",
    "profiles check",
    "extensions",
    "extensions list",
    "extensions show",
    "hosts",
    "hosts list",
    "hosts show",
    "hosts add",
    "hosts probe",
    "hosts drain",
    "hosts activate",
    "hosts remove",
    "inspect",
    "inspect host",
    "inspect stale",
    "reap-stale",
    "keys",
    "keys create",
    "keys list",
    "keys show",
    "keys rotate",
    "keys revoke",
    "projects",
    "projects list",
    "projects show",
    "projects set",
    "audit",
    "audit list",
    "audit verify",
    "whoami",
    "serve",
    "status",
    "doctor",
    "completions",
    "man",
];

#[test]
fn every_verb_has_help_with_an_example() {
    let world = World::new();
    snapshot!(world, "help", world.run(&["--help"]).stdout);
    for verb in VERBS {
        let mut args: Vec<&str> = verb.split(' ').collect();
        args.push("--help");
        let answer = world.run(&args);
        assert_eq!(answer.code, 0, "{answer:?}");
        let groups = [
            "reachability",
            "profiles",
            "extensions",
            "hosts",
            "inspect",
            "webhooks",
            "keys",
            "projects",
            "audit",
        ];
        assert!(
            groups.contains(verb) || answer.stdout.contains("Example"),
            "{verb} shows no example"
        );
        snapshot!(world, format!("help_{}", verb.replace([' ', '-'], "_")), answer.stdout);
    }
}

#[test]
fn no_verb_is_missing_above() {
    let world = World::new();
    let page = world.run(&["__docs", "cli"]).stdout;
    let documented: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## `sandboxer ")?.strip_suffix('`'))
        .collect();
    assert_eq!(documented, VERBS);
}

#[test]
fn completions_and_manual_name_every_verb() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&["completions", shell]);
        assert_eq!(script.code, 0);
        for verb in VERBS.iter().filter(|verb| !verb.contains(' ')) {
            assert!(script.stdout.contains(verb), "{shell} does not complete {verb}");
        }
    }
    let manual = world.run(&["man"]).stdout;
    assert!(manual.contains(".TH sandboxer 1"), "{manual}");
    let dir = world.work.join("man");
    assert_eq!(world.run(&["man", "--dir", dir.to_str().unwrap()]).code, 0);
    assert!(dir.join("sandboxer-create.1").is_file());
}

#[test]
fn hidden_verbs_stay_hidden() {
    let world = World::new();
    for text in [
        world.run(&["--help"]).stdout,
        world.run(&["man"]).stdout,
        world.run(&["completions", "bash"]).stdout,
    ] {
        assert!(!text.contains("__operate") && !text.contains("__docs"), "{text}");
    }
}

#[test]
fn the_page_of_environment_variables_is_up_to_date() {
    let page = World::new().run(&["__docs", "env"]).stdout;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/env.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, page, "run `cargo xtask generate`");
}
