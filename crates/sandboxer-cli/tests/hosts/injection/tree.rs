//! What a repository brings: names of files, values and names in Compose files; and what real sandboxes are labelled with.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use sandboxer_testbed::{Plan, or_skip};
use serde_json::{Value, json};

use super::canary::Canary;
use super::tally::{Tally, each, holds};
use crate::lab::{Lab, SINGLE, id};

/// Sandboxes that are made for real with a payload in their labels and names.
const REAL: usize = 20;

/// Where in a Compose file a payload goes.
const PLACES: [&str; 8] = [
    "image", "service", "volume", "network", "key", "command", "value", "hostname",
];

/// Compose takes two dollars for one.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// JSON as YAML: what YAML does not take as it is, is written out.
fn yaml(file: &Value) -> String {
    let odd = |c: &char| *c >= '\u{7f}' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'));
    let text = file.to_string();
    text.chars()
        .map(|c| {
            if odd(&c) {
                format!("\\u{:04x}", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// A Compose file, in the part of YAML that is JSON, with the payload in one place.
fn compose_with(place: &str, text: &str) -> Value {
    let mut service = json!({ "image": "busybox:stable", "init": true, "command": ["sleep", "100000"] });
    match place {
        "image" => service["image"] = json!(text),
        "command" => service["command"] = json!(["echo", literal(text)]),
        "value" => service["environment"] = json!({ "NAME": literal(text) }),
        "hostname" => service["hostname"] = json!(text),
        "volume" => service["volumes"] = json!([{ "type": "volume", "source": text, "target": "/data" }]),
        "network" => service["networks"] = json!([text]),
        "key" => service[text] = json!("x"),
        _ => {}
    }
    let name = if place == "service" { text } else { "one" };
    let mut file = json!({ "services": { name: service } });
    match place {
        "volume" => file["volumes"] = json!({ text: {} }),
        "network" => file["networks"] = json!({ text: {} }),
        _ => {}
    }
    file
}

#[test]
fn names_in_compose_files_are_data_or_refused() {
    let lab = or_skip!("injection into Compose files", Lab::start(Plan::new()));
    let canary = Canary::new("compose");
    let texts: Vec<(usize, String)> = canary.texts().into_iter().enumerate().collect();
    let tally = Tally::default();
    each(&texts, |(number, text)| {
        for place in PLACES {
            let file = format!("{place}-{number}/compose.yml");
            let path = lab.world.write(&file, yaml(&compose_with(place, text)));
            let repo = format!("repo={}", path.parent().expect("a folder").display());
            let words = [
                "create",
                "--dry-run",
                "--profile",
                "profile.compose-e2e",
                "--host",
                lab.host.alias(),
                "--input",
                &repo,
            ];
            let output = tally.run(place, text.as_bytes(), &mut lab.command(&words));
            let Some(output) = output else { continue };
            let plan: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let written = match place {
                "command" => holds(&plan, &literal(text)),
                "value" => holds(&plan, &literal(text)) || holds(&plan, &format!("NAME={}", literal(text))),
                _ => true,
            };
            if !written {
                tally.wrong(format!("{place} {text:?} is not in the plan as it was written: {plan}"));
            }
        }
    });
    canary.nobody_obeyed(&lab, None);
    tally.close(texts.len(), PLACES.len());
    lab.nothing_is_left();
    lab.host.down();
}

/// Whether a file can have this name.
fn is_a_name(payload: &[u8]) -> bool {
    let taken = [&b""[..], b".", b"..", b"compose.yml"];
    !taken.contains(&payload) && payload.len() < 256 && !payload.contains(&b'/') && !payload.contains(&0)
}

/// A tree of files that are called and filled like payloads, and a service that has them all as variables.
fn hostile_tree(lab: &Lab, payloads: &[Vec<u8>], variables: &[&String]) -> PathBuf {
    let environment: serde_json::Map<String, Value> = variables
        .iter()
        .enumerate()
        .map(|(number, text)| (format!("V{number}"), json!(literal(text))))
        .collect();
    let file = json!({ "services": { "one": {
        "image": "busybox:stable",
        "init": true,
        "working_dir": "/work",
        "volumes": [".:/work"],
        "environment": environment,
        "command": ["sleep", "100000"],
    } } });
    let repository = lab.repository_of("hostile", &yaml(&file));
    for payload in payloads.iter().filter(|payload| is_a_name(payload)) {
        std::fs::write(repository.join(OsStr::from_bytes(payload)), payload).expect("a file");
    }
    repository
}

#[test]
fn files_values_and_labels_come_back_as_they_were_written() {
    let lab = or_skip!("injection into trees", Lab::start(Plan::new()));
    let canary = Canary::new("tree");
    let payloads = canary.payloads();
    let tally = Tally::default();
    let texts = canary.texts();
    let variables: Vec<&String> = texts.iter().filter(|text| !text.contains('\0')).collect();
    let made = id(&lab.created(&hostile_tree(&lab, &payloads, &variables), &[]));

    // Names and contents: each file says its own name.
    let script = "for f in * .[!.]* ..?*; do [ -f \"./$f\" ] || continue; [ \"$f\" = compose.yml ] || { printf '%s\\0' \"$f\"; cat \"./$f\"; printf '\\0'; }; done";
    let listed = lab
        .command(&["exec", &made, "--", "sh", "-c", script])
        .output()
        .expect("it starts");
    let expected: BTreeSet<&[u8]> = payloads
        .iter()
        .map(Vec::as_slice)
        .filter(|payload| is_a_name(payload))
        .collect();
    let mut seen = BTreeSet::new();
    let mut parts = listed.stdout.split(|b| *b == 0);
    while let (Some(name), Some(content)) = (parts.next(), parts.next()) {
        if name == content {
            seen.insert(name);
        } else {
            tally.wrong(format!("the file {name:?} holds {content:?}"));
        }
    }
    for name in &expected {
        if seen.contains(name) {
            tally.arrived();
        } else {
            tally.wrong(format!("no file {:?} arrived", String::from_utf8_lossy(name)));
        }
    }

    // Variables of a service.
    let mut script = "printf '%s\\0'".to_owned();
    for number in 0..variables.len() {
        script.push_str(&format!(" \"$V{number}\""));
    }
    let printed = lab
        .command(&["exec", &made, "--", "sh", "-c", &script])
        .output()
        .expect("it starts");
    let came: Vec<&[u8]> = printed.stdout.split(|b| *b == 0).collect();
    for (number, text) in variables.iter().enumerate() {
        if came.get(number) == Some(&text.as_bytes()) {
            tally.arrived();
        } else {
            tally.wrong(format!("the variable {text:?} came back as {:?}", came.get(number)));
        }
    }
    canary.nobody_obeyed(&lab, Some(&made));
    lab.destroy(&made);

    // Names with line breaks, and of sandboxes that never were, would make a list of everything unreadable.
    let left = lab.host.leftovers_of(&made, Duration::from_secs(10)).expect("an audit");
    assert!(left.is_empty(), "{left:#?}");

    labels_come_back(&lab, &tally, &texts);
    canary.nobody_obeyed(&lab, None);
    tally.close(payloads.len(), 5);
    lab.host.down();
}

/// Real sandboxes with payloads as label, project and run.
fn labels_come_back(lab: &Lab, tally: &Tally, texts: &[String]) {
    let repository = lab.repository_of("plain", SINGLE);
    let allowed = |text: &&String| text.len() < 200 && !text.is_empty() && !text.chars().any(char::is_control);
    let fitting: Vec<&String> = texts.iter().filter(allowed).collect();
    let some: Vec<&String> = fitting.iter().step_by(fitting.len() / REAL).copied().collect();
    assert!(some.len() >= REAL, "{}", some.len());
    each(&some, |text| {
        let label = format!("--label=odd={text}");
        let (project, run) = (format!("--project={text}"), format!("--run-id={text}"));
        let created = lab.create(&repository, &[&label, &project, &run]);
        if created.code != 0 {
            tally.wrong(format!("{text:?}: {created:?}"));
            return;
        }
        let made = id(&created.json());
        let got = lab.run(&["get", &made]).json();
        for (what, value) in [
            ("label", &got["labels"]["odd"]),
            ("project", &got["consumer"]["project"]),
            ("run", &got["consumer"]["run_id"]),
        ] {
            if value == text.as_str() {
                tally.arrived();
            } else {
                tally.wrong(format!("the {what} {text:?} came back as {value}"));
            }
        }
        lab.destroy(&made);
    });
}
