//! Why something of a Compose file is not accepted.

use std::fmt;

use sandboxer_model::document::{Diagnostic, Place};

/// Something that is not accepted: where it stands, what it is and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file, relative to the project.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The service it belongs to, if any.
    pub service: Option<String>,
    /// The key, such as `services.web.privileged`.
    pub key: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Refusal {
    pub(super) fn new(file: &str, place: Place, path: &[String], why: impl Into<String>) -> Refusal {
        let service = match path {
            [top, service, ..] if top == "services" => Some(printable(service)),
            _ => None,
        };
        Refusal {
            file: printable(file),
            line: place.line.max(1),
            column: place.column.max(1),
            service,
            key: printable(&path.join(".")),
            why: printable(&why.into()),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }
}

impl From<Diagnostic> for Refusal {
    fn from(problem: Diagnostic) -> Refusal {
        let path: Vec<String> = problem.path.split('.').map(str::to_owned).collect();
        let place = Place {
            line: problem.line,
            column: problem.column,
            width: 1,
        };
        Refusal {
            help: problem.help,
            ..Refusal::new(&problem.file, place, &path, problem.message)
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        match &self.service {
            Some(service) => write!(f, "service `{service}`: `{}` {}", self.key, self.why)?,
            None if self.key.is_empty() => f.write_str(&self.why)?,
            None => write!(f, "`{}` {}", self.key, self.why)?,
        }
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Why well-known keys are refused; others are simply not known.
pub(super) fn reason(key: &str) -> Option<&'static str> {
    Some(match key {
        "privileged" | "cap_add" | "devices" | "device_cgroup_rules" | "security_opt" | "sysctls" | "gpus" => {
            "would give the container rights on the host"
        }
        "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" | "cgroup_parent" | "network_mode" => {
            "would take a wall between the container and the host away"
        }
        "provider" | "develop" | "post_start" | "pre_stop" => "would run programs on the host",
        "include" | "extends" | "label_file" | "credential_spec" | "content" | "environment" | "template_driver" => {
            "would bring in files that are not looked at here"
        }
        "volumes_from" | "external_links" | "use_api_socket" => {
            "would reach into containers that are not the sandbox's"
        }
        "dns" | "dns_search" | "dns_opt" | "extra_hosts" | "mac_address" => {
            "would decide about the network, which the profile does"
        }
        "driver_opts" | "driver" | "external" | "ipam" => {
            "could make it something else than a volume or network of the sandbox"
        }
        "additional_contexts" | "ssh" | "network" | "entitlements" | "cache_from" | "cache_to" | "platforms" => {
            "would give the build more than its context"
        }
        _ => return None,
    })
}

/// Short, and without anything a terminal would obey.
fn printable(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut short: String = text
        .chars()
        .take(240)
        .map(|c| if hostile(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(240).is_some() {
        short.push('…');
    }
    short
}
