//! The rules of a profile that a schema cannot say.

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, shorten};
use super::egress::parse_destination;
use super::read::{Findings, read};
use crate::profile::{InputKind, NetworkDefault, Profile, WorkspaceAccess};

/// Reads a profile from YAML or JSON.
///
/// # Errors
/// Every problem that could be found, in the order of the text.
pub fn parse_profile(file: &str, text: &str) -> Result<Profile, Vec<Diagnostic>> {
    read(file, text, rules)
}

/// Whether `id` is `profile.<slug>`, so that it can also name a file.
pub fn is_profile_id(id: &str) -> bool {
    id.strip_prefix("profile.").is_some_and(is_slug)
}

/// Whether `id` is `ext.<slug>`.
pub fn is_extension_id(id: &str) -> bool {
    id.strip_prefix("ext.").is_some_and(is_slug)
}

fn is_slug(slug: &str) -> bool {
    (1..=63).contains(&slug.len())
        && slug
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-')
}

fn rules(profile: &Profile, found: &mut Findings) {
    identity(profile, found);
    network(profile, found);
    lifetime_and_limits(profile, found);
    names(profile, found);
    inputs(profile, found);
}

fn identity(profile: &Profile, found: &mut Findings) {
    if !is_profile_id(&profile.id) {
        let message = format!("`{}` is not a profile id", shorten(&profile.id));
        found.add_with_help(
            &["id"],
            message,
            "write `profile.<name>`, the name of a-z, 0-9 and `-`, at most 63 characters",
        );
    }
    if !is_version(&profile.version) {
        let message = format!("`{}` is not a version", shorten(&profile.version));
        found.add_with_help(&["version"], message, "write three numbers, such as \"1.0.0\"");
    }
    extension_id(&["extension"], &profile.extension, found);
    if profile
        .description
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        found.add(&["description"], "the description has control characters");
    }
}

fn is_version(version: &str) -> bool {
    let part = |part: &str| {
        (1..=9).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    version.split('.').count() == 3 && version.split('.').all(part)
}

fn extension_id(path: &[&str], id: &str, found: &mut Findings) {
    if !is_extension_id(id) {
        found.add_with_help(
            path,
            format!("`{}` is not an extension id", shorten(id)),
            "write `ext.<name>`, such as `ext.native`",
        );
    }
}

fn network(profile: &Profile, found: &mut Findings) {
    for (at, entry) in profile.network.egress.iter().enumerate() {
        if let Err(why) = parse_destination(entry) {
            found.add(
                &["network", "egress", &at.to_string()],
                format!("`{}` {why}", shorten(entry)),
            );
        }
    }
    if profile.network.default == NetworkDefault::Allow && !profile.network.egress.is_empty() {
        let message = "`network.egress` lists what is allowed under `deny`, but `network.default` is `allow`";
        found.add_with_help(
            &["network", "egress"],
            message,
            "set `network.default: deny`, or remove the list",
        );
    }
}

fn lifetime_and_limits(profile: &Profile, found: &mut Findings) {
    let ttl = &profile.ttl;
    if ttl.default > ttl.max {
        let message = format!("`ttl.default` ({}) is longer than `ttl.max` ({})", ttl.default, ttl.max);
        found.add(&["ttl", "default"], message);
    }
    let resources = &profile.resources;
    if let Some(cpu) = resources.cpu
        && !(0.01..=1024.0).contains(&cpu)
    {
        found.add(
            &["resources", "cpu"],
            format!("`resources.cpu` is {cpu}; it must be from 0.01 to 1024"),
        );
    }
    let limits = [
        ("memory_mb", resources.memory_mb, 4, 1_048_576 * 4, " MiB"),
        ("disk_mb", resources.disk_mb, 1, 1 << 40, " MiB"),
        ("pids", resources.pids, 1, 4_194_304, ""),
        ("gpu", resources.gpu.map(u64::from), 0, 1024, ""),
    ];
    for (key, value, low, high, unit) in limits {
        if let Some(value) = value
            && !(low..=high).contains(&value)
        {
            let message = format!("`resources.{key}` is {value}{unit}; it must be from {low} to {high}{unit}");
            found.add(&["resources", key], message);
        }
    }
}

fn names(profile: &Profile, found: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (at, name) in profile.setup.secret_refs.iter().enumerate() {
        let path = ["setup", "secret_refs", &at.to_string()];
        let good = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !good {
            let message = format!("`{}` is not the name of a secret", shorten(name));
            found.add_with_help(
                &path,
                message,
                "use letters, digits, `_` and `-`, at most 64 characters",
            );
        } else if !seen.insert(name) {
            found.add(&path, format!("the secret `{name}` is listed twice"));
        }
    }
    for (list, hosts) in [
        ("prefer", &profile.placement.prefer),
        ("fallback", &profile.placement.fallback),
    ] {
        for (at, host) in hosts.iter().enumerate() {
            let good = (1..=253).contains(&host.len())
                && !host.starts_with('-')
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@:".contains(&b));
            if !good {
                let message = format!("`{}` is not the name of a host", shorten(host));
                let path = ["placement", list, &at.to_string()];
                found.add_with_help(&path, message, "write an SSH alias, a host name, or user@host");
            }
        }
    }
    let Some(route) = &profile.route else { return };
    let mut seen = BTreeSet::new();
    for (list, ids) in [("extensions", &route.extensions), ("fallback", &route.fallback)] {
        for (at, id) in ids.iter().enumerate() {
            let path = ["route", list, &at.to_string()];
            extension_id(&path, id, found);
            if !seen.insert(id) {
                found.add(&path, format!("`{}` is a candidate already", shorten(id)));
            }
        }
    }
    if let Some(cost) = &route.constraints.max_cost_per_hour
        && !is_amount(cost)
    {
        let message = format!("`{}` is not an amount of USD per hour", shorten(cost));
        let path = ["route", "constraints", "max_cost_per_hour"];
        found.add_with_help(
            &path,
            message,
            "write a decimal number in quotes with at most six decimals, such as \"1.00\"",
        );
    }
}

fn is_amount(text: &str) -> bool {
    let digits = |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, decimals)) => digits(whole, 9) && digits(decimals, 6),
        None => digits(text, 9),
    }
}

fn inputs(profile: &Profile, found: &mut Findings) {
    for (name, spec) in &profile.inputs {
        let good = (1..=63).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !good {
            let message = format!("`{}` cannot be the name of an input", shorten(name));
            found.add_with_help(
                &["inputs", name],
                message,
                "begin with a-z; use a-z, 0-9 and `_`, at most 63 characters",
            );
        }
        if let Some(default) = &spec.default {
            let path = ["inputs", name.as_str(), "default"];
            if spec.required {
                let message = format!("the input `{}` is required and has a default", shorten(name));
                found.add_with_help(&path, message, "remove `required` or `default`");
            }
            if let Err(why) = check_input_value(spec.kind, default) {
                found.add(
                    &path,
                    format!(
                        "the default `{}` of the input `{}` {why}",
                        shorten(default),
                        shorten(name)
                    ),
                );
            }
        }
        if spec.required && spec.kind == InputKind::Directory && profile.workspace.access == WorkspaceAccess::None {
            let message = format!(
                "the directory `{}` is required, but `workspace.access` is `none`",
                shorten(name)
            );
            found.add_with_help(
                &["inputs", name],
                message,
                "set `workspace.access` to `ro` or `rw`, or do not require it",
            );
        }
    }
}

/// Whether `value` looks like `kind`, as far as that can be told without looking at the machine.
///
/// # Errors
/// Why it does not, as a fragment that follows the value.
pub fn check_input_value(kind: InputKind, value: &str) -> Result<(), String> {
    if value.len() > 64 * 1024 {
        return Err("is longer than 64 KiB".to_owned());
    }
    if value.contains('\0') {
        return Err("has a NUL character".to_owned());
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (fits, what) = match kind {
        InputKind::String => (true, ""),
        InputKind::Directory => (!value.is_empty(), "is not a directory: it is empty"),
        InputKind::Integer => (
            digits(value.strip_prefix('-').unwrap_or(value)) && value.parse::<i64>().is_ok(),
            "is not a whole number",
        ),
        InputKind::Boolean => (matches!(value, "true" | "false"), "is neither `true` nor `false`"),
        InputKind::Port => (
            digits(value) && value.parse::<u16>().is_ok_and(|port| port > 0),
            "is not a port; ports are whole numbers from 1 to 65535",
        ),
    };
    if fits { Ok(()) } else { Err(what.to_owned()) }
}
