//! A place of its own for one run of the bench: binary, data directories, one sandbox that is always running.

use std::path::{Path, PathBuf};

use super::timer::Spec;
use crate::test::free_user;
use crate::{Outcome, process, workspace};

/// The place.
pub(super) struct Place {
    /// Its folder, on a real disk.
    pub(super) folder: PathBuf,
    binary: String,
    /// The callers: root and an ordinary user, or just whoever called.
    pub(super) callers: Vec<Caller>,
}

/// Somebody who runs sandboxes.
#[derive(Clone)]
pub(super) struct Caller {
    /// `root` or `rootless`.
    pub(super) name: &'static str,
    /// The user to become.
    pub(super) user: Option<u32>,
    data: PathBuf,
}

impl Place {
    /// Makes it. Not below /tmp, which may be kept in memory.
    pub(super) fn make() -> Outcome<Place> {
        let folder = PathBuf::from(format!("/var/tmp/sbx-bench-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("cannot make {}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(failed)?;
        open_to_all(&folder).map_err(failed)?;
        let binary = folder.join("sandboxer");
        std::fs::copy(workspace::target_dir().join("release/sandboxer"), &binary)
            .map_err(|error| format!("cannot copy the release binary: {error}"))?;
        let mut callers = Vec::new();
        let mut add = |name, user: Option<u32>| {
            let data = folder.join(name);
            std::fs::create_dir_all(&data)?;
            std::os::unix::fs::chown(&data, user, user)?;
            callers.push(Caller { name, user, data });
            Ok(())
        };
        if process::is_root() {
            add("root", None).map_err(failed)?;
            if let Some(user) = free_user() {
                add("rootless", Some(user)).map_err(failed)?;
            }
        } else {
            add("rootless", None).map_err(failed)?;
        }
        Ok(Place {
            binary: binary.to_string_lossy().into_owned(),
            folder,
            callers,
        })
    }

    /// Our binary, as that caller.
    pub(super) fn sandboxer(&self, caller: &Caller, words: &[&str]) -> Spec {
        let mut spec = Spec::new(&[&[self.binary.as_str()], words].concat());
        let home = caller.data.to_string_lossy().into_owned();
        spec.env.push((
            "SANDBOXER_DATA_DIR".into(),
            caller.data.join("data").to_string_lossy().into_owned(),
        ));
        spec.env.push(("HOME".into(), home));
        spec.user = caller.user;
        spec
    }

    /// Creates a sandbox; its id.
    pub(super) fn create(&self, caller: &Caller) -> Outcome<String> {
        id_of(
            &self
                .sandboxer(caller, &["create", "--profile", "profile.native"])
                .output()?,
        )
    }

    /// Destroys every sandbox of every caller.
    pub(super) fn destroy_running(&self) -> Outcome {
        for caller in &self.callers {
            let listing = self.sandboxer(caller, &["list", "--output", "json"]).output()?;
            let listed: serde_json::Value = serde_json::from_str(&listing).map_err(|error| error.to_string())?;
            let ids: Vec<_> = listed
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|item| item.get("sandbox_id")?.as_str())
                .collect();
            if !ids.is_empty() {
                self.sandboxer(caller, &[&["destroy"], ids.as_slice()].concat())
                    .output()?;
            }
        }
        Ok(())
    }

    /// A folder in it.
    pub(super) fn sub(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes it.
    pub(super) fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("LEFT BEHIND: {}: {error}", self.folder.display());
        }
    }
}

/// The id in what `create` printed.
pub(super) fn id_of(printed: &str) -> Outcome<String> {
    let value: serde_json::Value =
        serde_json::from_str(printed).map_err(|error| format!("cannot read what create printed: {error}"))?;
    let id = value.get("sandbox_id").and_then(serde_json::Value::as_str);
    id.map(str::to_owned)
        .ok_or_else(|| format!("create printed no sandbox_id: {printed}"))
}

fn open_to_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}
