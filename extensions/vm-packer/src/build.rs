//! Images built with Packer on this machine. A build is one program from start to end; what it built stays.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandboxer_extension::port::{HostCommand, HostExec, HostExecError};
use sandboxer_extension::{Call, ErrorKind, ExtensionError, Handle, ProvisionRequest, Ready};
use sandboxer_host::tree;
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};
use sandboxer_model::isolation::{IsolationReport, Mechanism, MechanismState};
use sandboxer_model::profile::IsolationLevel;
use sandboxer_model::reachability::Reachability;

/// What is kept of what Packer prints.
const OUTPUT_CAP: usize = 4 << 20;
const MARGIN: Duration = Duration::from_secs(2);
/// Inputs that become variables of the template.
const VARIABLE: &str = "packer_var_";

/// Where a build works: a copy of its template, and its log.
pub(crate) fn directory(data_dir: &Path, id: &str) -> PathBuf {
    data_dir.join("packer").join(id)
}

/// The command line of Packer, for a template that lies in `directory`.
pub(crate) fn command_line(inputs: &BTreeMap<String, String>, template: &str) -> Vec<String> {
    let mut argv: Vec<String> = ["packer", "build", "-color=false", "-on-error=cleanup"]
        .map(str::to_owned)
        .to_vec();
    if let Some(name) = inputs.get("vm_name") {
        argv.extend(["-var".to_owned(), format!("vm_name={name}")]);
    }
    for (key, value) in inputs {
        if let Some(name) = key.strip_prefix(VARIABLE) {
            argv.extend(["-var".to_owned(), format!("{name}={value}")]);
        }
    }
    argv.push(template.to_owned());
    argv
}

/// The template in a directory: the one `.json` file, or the directory itself for HCL.
fn template(directory: &Path) -> Result<String, ExtensionError> {
    let mut json = Vec::new();
    let mut hcl = false;
    let entries = std::fs::read_dir(directory).map_err(|error| {
        ExtensionError::new(
            ErrorKind::Invalid,
            format!("cannot read {}: {error}", directory.display()),
        )
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        hcl |= name.ends_with(".pkr.hcl");
        if name.ends_with(".json") && !name.ends_with(".auto.pkrvars.json") {
            json.push(name);
        }
    }
    json.sort();
    match (json.as_slice(), hcl) {
        (_, true) => Ok(".".to_owned()),
        ([only], false) => Ok(only.clone()),
        ([], false) => Err(ExtensionError::new(
            ErrorKind::Invalid,
            format!(
                "{} holds no Packer template: no .json and no .pkr.hcl",
                directory.display()
            ),
        )),
        (several, false) => Err(ExtensionError::new(
            ErrorKind::Invalid,
            format!(
                "{} holds several templates: {}",
                directory.display(),
                several.join(", ")
            ),
        )
        .hint("pass a directory with one")),
    }
}

/// Refuses what a build would refuse, and touches nothing.
pub(crate) fn validate(inputs: &BTreeMap<String, String>) -> Result<Vec<String>, ExtensionError> {
    let from = inputs.get("packer_template").map(PathBuf::from).unwrap_or_default();
    Ok(command_line(inputs, &template(&from)?))
}

/// Builds the image.
pub(crate) async fn provision(
    exec: &dyn HostExec,
    data_dir: &Path,
    call: &Call,
    request: &ProvisionRequest,
) -> Result<Handle, ExtensionError> {
    let id = request.sandbox_id.as_str();
    let directory = directory(data_dir, id);
    let log = directory.join("build.log");
    let done = directory.join("done");
    let handle = Handle::from([
        ("mode".to_owned(), "build".to_owned()),
        ("directory".to_owned(), directory.display().to_string()),
        ("log".to_owned(), log.display().to_string()),
    ]);
    // It was built before, and the answer was lost.
    if done.is_file() {
        return Ok(handle);
    }
    let from = request
        .inputs
        .get("packer_template")
        .map(PathBuf::from)
        .unwrap_or_default();
    let work = directory.join("template");
    copy(&from, &work).await?;
    let argv = command_line(&request.inputs, &template(&work)?);
    // Packer runs where its template lies.
    let script = r#"cd "$1" && shift && exec "$@""#;
    let mut words: Vec<String> = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    words.push(work.display().to_string());
    words.extend(argv);
    let kept = ["HOME", "PATH", "PACKER_PLUGIN_PATH", "PACKER_CACHE_DIR"];
    let command = HostCommand {
        argv: words,
        env: kept
            .iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)))
            .chain([("CHECKPOINT_DISABLE".to_owned(), "1".to_owned())])
            .collect(),
        stdin: Vec::new(),
        timeout: call.timeout.saturating_sub(MARGIN).max(MARGIN),
        output_cap: OUTPUT_CAP,
    };
    let output = exec.run(command).await.map_err(|error| {
        let kind = match &error {
            HostExecError::Start { .. } => ErrorKind::MissingPrerequisite,
            HostExecError::Timeout { .. } => ErrorKind::Timeout,
        };
        ExtensionError::new(kind, error.to_string())
    })?;
    let mut text = output.stdout.clone();
    text.extend_from_slice(&output.stderr);
    write(&log, &text)?;
    if output.code != 0 {
        let tail: String = String::from_utf8_lossy(&text)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let tail: String = tail.chars().skip(tail.chars().count().saturating_sub(600)).collect();
        return Err(ExtensionError::new(
            ErrorKind::Failed,
            format!("packer ended with code {}: {}", output.code, tail.trim()),
        ));
    }
    write(&done, b"")?;
    Ok(handle)
}

async fn copy(from: &Path, to: &Path) -> Result<(), ExtensionError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        let tree = tree::Tree::scan(&from, tree::Limits::default())?;
        tree.copy_to(&to)
    });
    match copied.await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => Err(ExtensionError::new(
            ErrorKind::Failed,
            format!("copying the template ended early: {error}"),
        )),
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), ExtensionError> {
    std::fs::File::create(file)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| ExtensionError::new(ErrorKind::Failed, format!("cannot write {}: {error}", file.display())))
}

/// The image is there.
pub(crate) fn ready(handle: &Handle) -> Ready {
    Ready {
        reachability: Reachability {
            host: Some("local".to_owned()),
            workspace: handle.get("directory").cloned(),
            ..Reachability::default()
        },
        isolation: IsolationReport {
            level: IsolationLevel::Microvm,
            mechanisms: vec![Mechanism {
                name: "packer".to_owned(),
                state: MechanismState::Missing,
                detail: "a template is the operator's own code: Packer runs it on this machine".to_owned(),
            }],
            limits: Vec::new(),
            attestations: Vec::new(),
        },
        guard_deadline: None,
        delta: None,
    }
}

/// Removes the copy of the template and the log; what was built stays.
#[expect(clippy::disallowed_methods, reason = "a directory of this backend's own")]
pub(crate) fn remove(data_dir: &Path, id: &str) -> CleanupReport {
    let directory = directory(data_dir, id);
    let found = directory.exists();
    let failed = std::fs::remove_dir_all(&directory).err();
    let now = match (directory.try_exists(), failed) {
        (Ok(false), _) => (Presence::Absent, String::new()),
        (Ok(true), failed) => (
            Presence::Present,
            failed.map(|error| error.to_string()).unwrap_or_default(),
        ),
        (Err(error), _) => (Presence::Unknown, error.to_string()),
    };
    CleanupReport::new(vec![CleanupItem {
        kind: "directory".to_owned(),
        name: directory.display().to_string(),
        found,
        now: now.0,
        detail: now.1,
    }])
}
