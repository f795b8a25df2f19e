//! Where profiles are looked for.

use std::path::{Path, PathBuf};

pub use sandboxer_api::catalog::Layer;

/// The directories of the layers that belong to the machine and the user. `None` leaves a layer out.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// For everybody on this machine, `/etc/sandboxer/profiles`.
    pub system: Option<PathBuf>,
    /// For this user, `~/.config/sandboxer/profiles`.
    pub user: Option<PathBuf>,
}

/// Where a repository keeps its profiles.
pub(super) const REPOSITORY_DIR: &str = ".sandboxer/profiles";

/// Most directories walked up in search of a repository.
const MAX_WALK: usize = 64;

/// One directory that may hold profiles.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    pub(super) layer: Layer,
    /// For a repository: the directory nothing may lead out of.
    pub(super) root: Option<PathBuf>,
    pub(super) dir: PathBuf,
}

/// Every directory that may hold profiles for somebody who works in `working_dir`, nearest first.
pub(super) fn shelves(layers: &Layers, working_dir: &Path) -> Vec<Shelf> {
    let repository = |root: &Path| Shelf {
        layer: Layer::Repository,
        root: Some(root.to_owned()),
        dir: root.join(REPOSITORY_DIR),
    };
    let walked: Vec<&Path> = working_dir.ancestors().take(MAX_WALK).collect();
    // Without a repository around it, only the directory itself speaks: parents such as /tmp belong to anybody.
    let top = walked
        .iter()
        .position(|dir| dir.join(".git").symlink_metadata().is_ok())
        .unwrap_or(0);
    let mut shelves: Vec<Shelf> = walked.iter().take(top + 1).map(|dir| repository(dir)).collect();
    shelves.extend(own_shelves(layers));
    shelves
}

/// Those of the user and the machine, nearest first.
pub(super) fn own_shelves(layers: &Layers) -> Vec<Shelf> {
    let more = [(Layer::User, &layers.user), (Layer::System, &layers.system)];
    more.into_iter()
        .filter_map(|(layer, dir)| {
            dir.as_ref().map(|dir| Shelf {
                layer,
                root: None,
                dir: dir.clone(),
            })
        })
        .collect()
}
