//! Where the workspace is and what it consists of.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Outcome, process};

/// The top folder of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo this program was started by.
pub(crate) fn cargo() -> std::process::Command {
    let mut command = process::command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where builds go.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// What cargo says of the workspace and everything it depends on.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    /// Every package, ours and others'.
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

/// One package.
#[derive(Deserialize)]
pub(crate) struct Package {
    id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence as an SPDX expression.
    pub(crate) license: Option<String>,
    /// Where it comes from; `None` for our own.
    pub(crate) source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

/// The cargo feature of a build in which tests can switch single protections off, to show that probes can fail.
pub(crate) const WEAKEN: &str = "weaken";

impl Package {
    /// Its tests that need the weakened build.
    pub(crate) fn weakened_tests(&self) -> impl Iterator<Item = &str> {
        let needs = |target: &&Target| {
            target.kind.iter().any(|kind| kind == "test") && target.required_features.iter().any(|name| name == WEAKEN)
        };
        self.targets.iter().filter(needs).map(|target| target.name.as_str())
    }
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read() -> Outcome<Metadata> {
        let text = process::capture(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
        serde_json::from_str(&text).map_err(|error| format!("cannot read the output of `cargo metadata`: {error}"))
    }

    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// Every file the repository tracks, relative to its top; files that are new but not ignored count too.
pub(crate) fn tracked_files() -> Outcome<Vec<PathBuf>> {
    let mut git = process::command("git");
    git.current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listing = process::capture(&mut git)?;
    let files = listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}

/// Reads a file of the repository.
pub(crate) fn read(file: impl AsRef<Path>) -> Outcome<String> {
    let path = root().join(file);
    std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Writes a file, with the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Outcome {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
