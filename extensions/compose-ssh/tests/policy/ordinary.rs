//! Files as people write them: all of them come up.

use std::path::Path;
use std::process::{Command, Stdio};

use extension_compose_ssh::policy::Egress;
use extension_compose_ssh::policy::{Project, reconstruct};

use super::support::{ID, project, read, request};

pub(super) fn corpus() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/ordinary");
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("the corpus")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn ordinary_files_are_accepted() {
    let dir = project();
    let files = corpus();
    assert!(files.len() >= 50, "{} files", files.len());
    let mut refused = Vec::new();
    for (name, text) in &files {
        if let Err(refusals) = read(dir.path(), text) {
            let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            refused.push(format!("{name}:\n  {}", lines.join("\n  ")));
        }
    }
    assert!(
        refused.is_empty(),
        "{} of {} refused:\n{}",
        refused.len(),
        files.len(),
        refused.join("\n")
    );
}

/// What every service of every fresh file has, whatever the file said.
#[test]
fn every_fresh_file_keeps_to_the_policy() {
    let dir = project();
    for (name, text) in corpus() {
        let stack = read(dir.path(), &text).unwrap_or_else(|refusals| panic!("{name}: {refusals:?}"));
        let services = stack.document["services"].as_object().expect("services");
        let mut memory = 0;
        let mut cpus = 0.0;
        for (service, emitted) in services {
            let at = format!("{name}: {service}");
            assert_eq!(emitted["cap_drop"], serde_json::json!(["ALL"]), "{at}");
            assert_eq!(
                emitted["security_opt"],
                serde_json::json!(["no-new-privileges:true"]),
                "{at}"
            );
            assert_eq!(emitted["labels"]["dev.sandboxer.sandbox"], ID, "{at}");
            assert!(emitted.get("ports").is_none(), "{at}: nothing is published under deny");
            assert!(
                emitted.get("container_name").is_none() && emitted.get("build").is_none(),
                "{at}"
            );
            assert!(emitted["pids_limit"].as_u64().is_some_and(|pids| pids > 0), "{at}");
            memory += emitted["mem_limit"].as_u64().expect("a limit");
            cpus += emitted["cpus"].as_f64().expect("a limit");
            if emitted.get("network_mode").is_none() {
                assert_eq!(emitted["dns"], serde_json::json!(["127.0.0.1"]), "{at}");
            }
            for volume in emitted["volumes"].as_array().into_iter().flatten() {
                // In the long form only volumes by name are written.
                let Some(text) = volume.as_str() else {
                    assert_eq!(volume["type"], "volume", "{at}: {volume}");
                    continue;
                };
                let inside = text.starts_with("/tmp/sandboxer/sbx-")
                    || text.starts_with("/tmp/sandboxer/.sbx/sbx-")
                    || !text.contains(':')
                    || !text.starts_with('/');
                assert!(inside, "{at}: {text}");
            }
        }
        assert!(memory <= 4096 << 20, "{name}: {memory}");
        assert!(cpus <= 2.0 + 1e-9, "{name}: {cpus}");
        for (network, emitted) in stack.document["networks"].as_object().into_iter().flatten() {
            assert_eq!(emitted["internal"], true, "{name}: {network}");
        }
    }
}

/// The real thing reads what we write, and fills nothing in.
#[test]
fn real_compose_reads_every_fresh_file_as_it_is_meant() {
    let Some(compose) = std::env::var_os("SBX_COMPOSE_V2") else {
        return skip("real_compose_reads_every_fresh_file_as_it_is_meant: SBX_COMPOSE_V2 names no compose binary");
    };
    let dir = project();
    let out = tempfile::tempdir().expect("a directory");
    for (name, text) in corpus() {
        for egress in [Egress::Nothing, Egress::Open] {
            std::fs::write(dir.path().join("compose.yml"), &text).expect("a file");
            let project = Project::open(dir.path()).expect("opens");
            let mut request = request(&project, "compose.yml");
            request.network.egress = egress;
            let stack = reconstruct(&request).unwrap_or_else(|refusals| panic!("{name}: {refusals:?}"));
            let file = out.path().join("fresh.json");
            std::fs::write(&file, stack.document.to_string()).expect("a file");
            let output = Command::new(&compose)
                .args(["-p", ID, "-f"])
                .arg(&file)
                .args(["config", "--format", "json"])
                .current_dir(out.path())
                .env_clear()
                .stdin(Stdio::null())
                .output()
                .expect("compose runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {errors}\n{}", stack.document);
            assert!(!errors.contains("variable is not set"), "{name}: {errors}");
            let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            for (service, emitted) in stack.document["services"].as_object().expect("services") {
                let seen = &read["services"][service];
                assert_eq!(seen["image"], emitted["image"], "{name}: {service}");
                let environment = emitted["environment"].as_object();
                for (variable, value) in environment.into_iter().flatten() {
                    // `config` prints what is in the file with `$` doubled, so that it can be read again.
                    assert_eq!(&seen["environment"][variable], value, "{name}: {service}: {variable}");
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the log of skipped checks is the harness's")]
fn skip(reason: &str) {
    use std::io::Write as _;
    if let Some(log) = std::env::var_os("SBX_SKIP_LOG")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(log)
    {
        let _ = writeln!(file, "{reason}");
    } else {
        eprintln!("SKIPPED: {reason}");
    }
}
