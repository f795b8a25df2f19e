//! Fencing: the highest epoch seen for a sandbox, kept while it exists and for a while after.
//!
//! While it exists the number is in its directory. A removal under a newer epoch than the sandbox was made with, or
//! of a sandbox that was never made, leaves the number behind: an older owner may still be on its way to make it.

use std::time::Duration;

use crate::error::{Kind, NativeError, Tried};
use crate::files;
use crate::layout::Layout;
use crate::spec::Intent;

/// Longer than any call of an owner that lost its right can still be on its way.
const KEEP: Duration = Duration::from_secs(3600);

/// The highest epoch on record.
pub(crate) fn highest(layout: &Layout, id: &str) -> u64 {
    let home = layout.home(id);
    let number = |path| {
        files::read_line(path)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let made = files::read_json::<Intent>(&home.intent()).map_or(0, |intent| intent.epoch);
    made.max(number(home.epoch())).max(number(layout.fence(id)))
}

/// Refuses an epoch that is older than one seen before; the highest seen so far.
pub(crate) fn check(layout: &Layout, id: &str, epoch: u64) -> Result<u64, NativeError> {
    let seen = highest(layout, id);
    if epoch < seen {
        return Err(NativeError::new(
            Kind::Fenced,
            format!("epoch {epoch} of {id} is over: epoch {seen} has taken over"),
        ));
    }
    Ok(seen)
}

/// Records a newer epoch on a sandbox that exists.
pub(crate) fn raise(layout: &Layout, id: &str, epoch: u64) -> Result<(), NativeError> {
    let seen = check(layout, id, epoch)?;
    let home = layout.home(id);
    if home.path.is_dir() && epoch > seen {
        let temporary = home.path.join("epoch.new");
        files::write_new(&temporary, epoch.to_string().as_bytes(), 0o600)
            .and_then(|()| std::fs::rename(&temporary, home.epoch()))
            .tried("write down the epoch")?;
    }
    Ok(())
}

/// Leaves the number behind for a sandbox that is gone or never was.
pub(crate) fn leave(layout: &Layout, id: &str, epoch: u64) -> Result<(), NativeError> {
    let fence = layout.fence(id);
    let temporary = fence.with_extension("new");
    files::write_new(&temporary, epoch.to_string().as_bytes(), 0o600)
        .and_then(|()| std::fs::rename(&temporary, &fence))
        .tried("leave the epoch behind")?;
    forget_old(layout);
    Ok(())
}

fn forget_old(layout: &Layout) {
    let dir = layout.root.join("fence");
    let Ok(names) = files::names(&dir) else { return };
    let now = crate::identity::unix_ms();
    for path in names.into_iter().map(|name| dir.join(name)) {
        let age = std::fs::metadata(&path).ok().map(|meta| {
            use std::os::unix::fs::MetadataExt;
            now - meta.mtime() * 1000
        });
        if age.is_some_and(|age| u128::try_from(age).is_ok_and(|age| age > KEEP.as_millis())) {
            let _ = std::fs::remove_file(&path);
        }
    }
}
