//! What the engine says of the containers, against the fresh file. What cannot be read is not equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::Stack;
use super::service::CAPABILITIES;

/// Something that is not as the fresh file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Whose.
    pub service: String,
    /// The field of the engine's description.
    pub field: &'static str,
    /// What it says.
    pub observed: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service `{}` has {} {}", self.service, self.field, self.observed)
    }
}

/// Compares every container with the fresh file. `inspected` is what `docker inspect` or `podman inspect` prints.
pub fn compare(stack: &Stack, inspected: &Value) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let services = stack.document.get("services").and_then(Value::as_object);
    for container in inspected.as_array().into_iter().flatten() {
        let name = container
            .pointer("/Config/Labels/com.docker.compose.service")
            .and_then(Value::as_str)
            .unwrap_or("");
        let Some((name, expected)) = services.and_then(|all| all.get_key_value(name)) else {
            found.push(Mismatch {
                service: name.to_owned(),
                field: "a container",
                observed: "that the file does not name".to_owned(),
            });
            continue;
        };
        *seen.entry(name.as_str()).or_default() += 1;
        Checking {
            service: name,
            container,
            expected,
            document: &stack.document,
            found: &mut found,
        }
        .all();
    }
    for name in services.into_iter().flat_map(|all| all.keys()) {
        let count = seen.get(name.as_str()).copied().unwrap_or(0);
        if count != 1 {
            found.push(Mismatch {
                service: name.clone(),
                field: "containers",
                observed: count.to_string(),
            });
        }
    }
    found
}

struct Checking<'a> {
    service: &'a str,
    container: &'a Value,
    expected: &'a Value,
    document: &'a Value,
    found: &'a mut Vec<Mismatch>,
}

impl Checking<'_> {
    fn all(&mut self) {
        self.rights();
        self.walls();
        self.limits();
        self.mounts();
        self.networks();
        self.labels();
    }

    fn host(&self, key: &str) -> &Value {
        self.container
            .pointer(&format!("/HostConfig/{key}"))
            .unwrap_or(&Value::Null)
    }

    fn wrong(&mut self, field: &'static str, observed: &Value) {
        let mut observed = observed.to_string();
        observed.truncate(observed.char_indices().nth(120).map_or(observed.len(), |(at, _)| at));
        self.found.push(Mismatch {
            service: self.service.to_owned(),
            field,
            observed,
        });
    }

    fn require(&mut self, field: &'static str, holds: impl FnOnce(&Value) -> bool) {
        let value = self.host(field).clone();
        if !holds(&value) {
            self.wrong(field, &value);
        }
    }

    fn rights(&mut self) {
        self.require("Privileged", |value| value == &Value::Bool(false));
        // Engines write capabilities with and without their prefix, and podman lists what it dropped one by one.
        let bare = |text: &str| text.trim_start_matches("CAP_").to_owned();
        let listed = |value: &Value| -> BTreeSet<String> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(bare)
                .collect()
        };
        let kept: BTreeSet<String> = CAPABILITIES.iter().map(|one| (*one).to_owned()).collect();
        let added = listed(self.host("CapAdd"));
        let dropped = listed(self.host("CapDrop"));
        if !added.is_subset(&kept) {
            let value = self.host("CapAdd").clone();
            self.wrong("CapAdd", &value);
        }
        let drops_what_matters = [
            "SYS_ADMIN",
            "SYS_PTRACE",
            "SYS_MODULE",
            "NET_ADMIN",
            "NET_RAW",
            "MKNOD",
            "SETFCAP",
        ];
        // podman resolves ALL against the default set: what is left is then said by EffectiveCaps.
        let effective = self.container.get("EffectiveCaps").map(listed);
        let all_dropped = dropped.contains("ALL")
            || effective.is_some_and(|left| !dropped.is_empty() && left.is_subset(&kept))
            || drops_what_matters.iter().all(|one| dropped.contains(*one));
        if !all_dropped {
            let value = self.host("CapDrop").clone();
            self.wrong("CapDrop", &value);
        }
        self.require("SecurityOpt", |value| {
            let options: Vec<&str> = value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            options
                .iter()
                .any(|one| one.starts_with("no-new-privileges") && !one.ends_with("false"))
                && options
                    .iter()
                    .all(|one| one.starts_with("no-new-privileges") || *one == "label=disable")
        });
        for field in [
            "Devices",
            "DeviceRequests",
            "DeviceCgroupRules",
            "VolumesFrom",
            "Sysctls",
            "GroupAdd",
        ] {
            self.require(field, is_nothing);
        }
        self.require("ReadonlyRootfs", |value| value.is_boolean());
        let read_only = self.expected.get("read_only") == Some(&Value::Bool(true));
        if read_only {
            self.require("ReadonlyRootfs", |value| value == &Value::Bool(true));
        }
        // Docker writes both down; podman keeps them without saying so.
        for field in ["MaskedPaths", "ReadonlyPaths"] {
            if self.container.pointer(&format!("/HostConfig/{field}")).is_some() {
                self.require(field, |value| value.as_array().is_some_and(|paths| !paths.is_empty()));
            }
        }
    }

    fn walls(&mut self) {
        self.require("PidMode", |value| is_nothing(value) || value == "private");
        self.require("UTSMode", |value| is_nothing(value) || value == "private");
        self.require("UsernsMode", is_nothing);
        self.require("IpcMode", |value| {
            is_nothing(value) || matches!(value.as_str(), Some("private" | "shareable" | "none"))
        });
        self.require("CgroupParent", |value| {
            is_nothing(value) || matches!(value.as_str(), Some("machine.slice" | "/libpod_parent"))
        });
        self.require("Runtime", |value| {
            is_nothing(value)
                || matches!(
                    value.as_str(),
                    Some("runc" | "crun" | "oci" | "io.containerd.runc.v2" | "runsc")
                )
        });
    }

    fn limits(&mut self) {
        let expected = |key: &str| self.expected.get(key).and_then(Value::as_u64);
        let (pids, memory) = (expected("pids_limit"), expected("mem_limit"));
        let cpus = self.expected.get("cpus").and_then(Value::as_f64);
        self.require("PidsLimit", |value| value.as_u64() == pids);
        if memory.is_some() {
            self.require("Memory", |value| value.as_u64() == memory);
        }
        if let Some(cpus) = cpus {
            let nano = self.host("NanoCpus").as_f64().unwrap_or(0.0) / 1e9;
            let period = self
                .host("CpuPeriod")
                .as_f64()
                .filter(|period| *period > 0.0)
                .unwrap_or(100_000.0);
            let quota = self.host("CpuQuota").as_f64().unwrap_or(0.0) / period;
            if (nano - cpus).abs() > 0.006 && (quota - cpus).abs() > 0.006 {
                let value = self.host("NanoCpus").clone();
                self.wrong("NanoCpus", &value);
            }
        }
        let restart = self.expected.get("restart").and_then(Value::as_str).unwrap_or("no");
        let restart = restart.split(':').next().unwrap_or("no").to_owned();
        let observed = self.host("RestartPolicy").get("Name").cloned().unwrap_or_default();
        if observed.as_str() != Some(restart.as_str())
            && !(restart == "no" && observed.as_str().is_none_or(str::is_empty))
        {
            self.wrong("RestartPolicy", &observed);
        }
    }

    fn mounts(&mut self) {
        let texts = |key: &str| -> Vec<&str> {
            self.expected
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect()
        };
        // Target → source on the host (for what is bound) and whether it is read-only.
        let mut allowed: BTreeMap<String, (Option<String>, bool)> = BTreeMap::new();
        for volume in self
            .expected
            .get("volumes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(target) = volume.get("target").and_then(Value::as_str) {
                let read_only = volume.get("read_only").and_then(Value::as_bool) == Some(true);
                allowed.insert(target.replace("$$", "$"), (None, read_only));
            }
        }
        for volume in texts("volumes") {
            let volume = volume.replace("$$", "$");
            let (volume, read_only) = match volume.strip_suffix(":ro") {
                Some(volume) => (volume.to_owned(), true),
                None => (volume, false),
            };
            match volume.split_once(':') {
                Some((source, target)) if source.starts_with('/') => {
                    allowed.insert(target.to_owned(), (Some(source.to_owned()), read_only));
                }
                Some((_, target)) => {
                    allowed.insert(target.to_owned(), (None, read_only));
                }
                None => {
                    allowed.insert(volume, (None, false));
                }
            }
        }
        let memory: BTreeSet<&str> = texts("tmpfs")
            .iter()
            .filter_map(|text| text.split(':').next())
            .collect();
        let mut wrong = Vec::new();
        for mount in self
            .container
            .get("Mounts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or("");
            let (kind, target, source) = (text("Type"), text("Destination"), text("Source"));
            let writable = mount.get("RW").and_then(Value::as_bool).unwrap_or(true);
            let good = match (kind, allowed.get(target)) {
                ("bind", Some((Some(expected), read_only))) => source == expected && !(*read_only && writable),
                ("volume", Some((None, read_only))) => !(*read_only && writable),
                // A volume that the image declares: the engine's own, and gone with the container.
                ("volume", None) => is_anonymous(text("Name")),
                ("tmpfs", None) => memory.contains(target),
                _ => false,
            };
            if !good {
                wrong.push(mount.clone());
            }
        }
        for mount in wrong {
            self.wrong("Mounts", &mount);
        }
        let bound: BTreeSet<&str> = allowed.values().filter_map(|(source, _)| source.as_deref()).collect();
        let binds = self.host("Binds").clone();
        let strays = binds
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|bind| {
                let source = bind.split(':').next().unwrap_or("");
                source.starts_with('/') && !bound.contains(source)
            });
        if strays {
            self.wrong("Binds", &binds);
        }
    }

    fn networks(&mut self) {
        let mode = self.host("NetworkMode").as_str().unwrap_or("").to_owned();
        if self.expected.get("network_mode").and_then(Value::as_str) == Some("none") {
            return self.require("NetworkMode", |value| value == "none");
        }
        if matches!(mode.as_str(), "host" | "none" | "" | "slirp4netns")
            || mode.starts_with("container:")
            || mode.starts_with("ns:")
        {
            let value = self.host("NetworkMode").clone();
            self.wrong("NetworkMode", &value);
        }
        let observed: BTreeSet<String> = self
            .container
            .pointer("/NetworkSettings/Networks")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            // `PROJECT_NETWORK`; a project has no `_` in its name.
            .map(|(name, _)| {
                name.split_once('_')
                    .map_or(name.as_str(), |(_, network)| network)
                    .to_owned()
            })
            .collect();
        let expected: BTreeSet<String> = self
            .expected
            .get("networks")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let runs = self.container.pointer("/State/Running") == Some(&Value::Bool(true));
        if observed != expected && (runs || !observed.is_subset(&expected)) {
            let value = serde_json::json!(observed);
            self.wrong("Networks", &value);
        }
        let published = self.expected.get("ports").is_some();
        let bindings = self.host("PortBindings").clone();
        let good = bindings.as_object().is_none_or(|all| {
            all.values()
                .flat_map(|one| one.as_array().into_iter().flatten())
                .all(|binding| published && binding.get("HostIp").and_then(Value::as_str) == Some("127.0.0.1"))
        });
        if !good {
            self.wrong("PortBindings", &bindings);
        }
        let hosts = self.expected.get("extra_hosts").cloned().unwrap_or_default();
        let given: BTreeSet<&str> = hosts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.require("ExtraHosts", |value| {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .all(|one| given.contains(one))
        });
    }

    fn labels(&mut self) {
        let expected = self.expected.get("labels").and_then(Value::as_object);
        let observed = self.container.pointer("/Config/Labels");
        let missing = expected.into_iter().flatten().find(|(name, value)| {
            let wanted = value.as_str().map(|text| text.replace("$$", "$"));
            observed
                .and_then(|labels| labels.get(name.as_str()))
                .and_then(Value::as_str)
                .is_none_or(|value| {
                    Some(value) != wanted.as_deref() && !is_earlier_owner(name, value, wanted.as_deref())
                })
        });
        if let Some((name, _)) = missing {
            let value = Value::String(name.clone());
            self.wrong("a label other than asked for:", &value);
        }
        debug_assert!(self.document.is_object());
    }
}

/// Whether a container still bears the epoch of the owner it was taken over from. Not every tool makes a container anew when
/// nothing but its labels change.
fn is_earlier_owner(name: &str, value: &str, wanted: Option<&str>) -> bool {
    let epoch = |text: &str| text.parse::<u64>().ok();
    name == "dev.sandboxer.epoch" && epoch(value) < wanted.and_then(epoch) && epoch(value).is_some()
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(_) => false,
    }
}

/// Engines name what nobody named with 64 hexadecimal digits.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
