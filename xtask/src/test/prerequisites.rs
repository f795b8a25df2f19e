//! What tests and benchmarks need from the machine, and getting it where that is allowed.

use crate::process;

/// Who needs it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench`.
    Bench,
}

struct Prerequisite {
    program: &'static str,
    package: &'static str,
    for_tests: bool,
    why: &'static str,
}

const PREREQUISITES: &[Prerequisite] = &[
    Prerequisite {
        program: "git",
        package: "git",
        for_tests: true,
        why: "the list of files the checks look at",
    },
    Prerequisite {
        program: "setpriv",
        package: "util-linux",
        for_tests: true,
        why: "tests as an ordinary user",
    },
    Prerequisite {
        program: "unshare",
        package: "util-linux",
        for_tests: true,
        why: "restricted environments",
    },
    Prerequisite {
        program: "bwrap",
        package: "bubblewrap",
        for_tests: false,
        why: "peer of one-shot runs",
    },
    Prerequisite {
        program: "crun",
        package: "crun",
        for_tests: false,
        why: "peer of exec",
    },
    Prerequisite {
        program: "dockerd",
        package: "docker.io",
        for_tests: false,
        why: "peer of the whole life",
    },
    Prerequisite {
        program: "iptables",
        package: "iptables",
        for_tests: false,
        why: "dockerd asks for it",
    },
    Prerequisite {
        program: "busybox",
        package: "busybox-static",
        for_tests: false,
        why: "root file system of peers",
    },
];

/// Installs what is missing where this is root on Debian. Returns what is missing still, `name: reason` each.
pub(crate) fn bring_up(need: Need) -> Vec<String> {
    let missing = || {
        let wanted = PREREQUISITES.iter().filter(move |p| p.for_tests || need == Need::Bench);
        wanted.filter(|p| !process::is_installed(p.program)).collect::<Vec<_>>()
    };
    let before = missing();
    if before.is_empty() {
        return Vec::new();
    }
    let mut packages: Vec<_> = before.iter().map(|p| p.package).collect();
    packages.dedup();
    let refused = if !process::is_root() {
        Some("not root, so it could not be installed".to_owned())
    } else if !process::is_installed("apt-get") {
        Some("no apt-get here, so it could not be installed".to_owned())
    } else {
        eprintln!("installing {}", packages.join(" "));
        install(&packages).err()
    };
    let why_not = refused.unwrap_or_else(|| "it was installed and still is not there".into());
    missing()
        .into_iter()
        .map(|p| format!("{} ({}): {}: {why_not}", p.program, p.package, p.why))
        .collect()
}

fn install(packages: &[&str]) -> crate::Outcome {
    let apt = |arguments: &[&str]| {
        let mut command = process::command("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("NEEDRESTART_SUSPEND", "1")
            .args(arguments);
        process::capture(&mut command).map(drop)
    };
    let with =
        |packages: &[&str]| apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat());
    // Most machines have lists already; fetching them is the slow part.
    with(packages).or_else(|_| apt(&["update", "--quiet"]).and_then(|()| with(packages)))
}
