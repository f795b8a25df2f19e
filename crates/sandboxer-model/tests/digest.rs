//! The digest of a profile is stable, and no field can change without it.

use sandboxer_model::document::parse_profile;
use sandboxer_model::profile::Profile;
use serde_json::Value;

/// A profile in which every field says something.
const FULL: &str = r#"
id: profile.full
version: "1.2.3"
description: everything
extension: ext.native
isolation: {level: microvm}
network: {default: deny, egress: [pypi.org]}
workspace: {mode: mirror, access: ro}
scope_default: agent
ttl: {default: 1h, max: 2h, idle_reap: 5m}
resources: {cpu: 1.5, memory_mb: 64, disk_mb: 65, pids: 66, gpu: 1, strict: true}
setup: {instructions: hello, secret_refs: [token]}
placement: {prefer: [a], fallback: [b]}
reachability: {tunnel: t, identity: i}
metadata: {cost_class: saas-metered, latency_class: fast}
route:
  strategy: prefer-self-hosted
  extensions: [ext.a]
  fallback: [ext.b]
  constraints: {max_cost_per_hour: "1.5", require_isolation: microvm, region: eu}
inputs:
  repo: {type: directory, required: true, description: d}
  n: {type: integer, default: "4"}
trust: full
config: {a: 1}
"#;

#[test]
fn it_is_stable() {
    let profile = parse_profile("full", FULL).unwrap();
    assert_eq!(
        profile.digest(),
        "blake3:abc5363fc1e00a4c397c470fe2e91f15a9204346ed365d4ad91b4d621e05c364"
    );
    assert_eq!(profile.digest(), parse_profile("again", FULL).unwrap().digest());
    let json = serde_json::to_string(&profile).unwrap();
    assert_eq!(parse_profile("json", &json).unwrap(), profile);
}

#[test]
fn it_changes_with_every_field() {
    let profile = parse_profile("full", FULL).unwrap();
    let json = serde_json::to_value(&profile).unwrap();
    let mut seen = std::collections::BTreeSet::from([profile.digest()]);
    let leaves = leaves(&json, String::new());
    assert!(leaves.len() > 35, "{}", leaves.len());
    for pointer in leaves {
        let mut changed = json.clone();
        let leaf = changed.pointer_mut(&pointer).unwrap();
        *leaf = match leaf.clone() {
            Value::Bool(value) => Value::Bool(!value),
            Value::Number(number) if number.is_f64() => serde_json::json!(2.5),
            Value::Number(number) => serde_json::json!(number.as_u64().unwrap() + 1),
            Value::String(text) => Value::String(other_word(&text)),
            other => panic!("{pointer}: {other}"),
        };
        let changed: Profile = serde_json::from_value(changed).unwrap_or_else(|error| panic!("{pointer}: {error}"));
        assert!(seen.insert(changed.digest()), "{pointer} does not count");
    }
}

/// Another value that is valid wherever `text` was.
fn other_word(text: &str) -> String {
    match text {
        "microvm" => "container",
        "deny" => "allow",
        "mirror" => "remote-canonical",
        "ro" => "rw",
        "agent" => "shared",
        "saas-metered" => "self-hosted",
        "prefer-self-hosted" => "explicit",
        "directory" | "integer" => "string",
        "full" => "none",
        _ if text.ends_with(['h', 'm']) && text.starts_with(|c: char| c.is_ascii_digit()) => "7s",
        _ => return format!("{text}x"),
    }
    .to_owned()
}

fn leaves(value: &Value, pointer: String) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| leaves(value, format!("{pointer}/{key}")))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .flat_map(|(at, value)| leaves(value, format!("{pointer}/{at}")))
            .collect(),
        Value::Null => Vec::new(),
        _ => vec![pointer],
    }
}
