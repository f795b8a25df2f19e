//! What is in a directory.

use std::sync::Arc;
use std::time::Duration;

use sandboxer_api::request::FileEntry;
use sandboxer_engine::Engine;
use sandboxer_engine::files::{WorkspacePath, parse_list};
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::session::gathered::Gathered;
use crate::session::streams::source;
use crate::session::unary::no_pipes;

/// Bytes of a listing at most.
const MOST: usize = 16 * 1024 * 1024;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The entries of a directory, sorted by name.
///
/// # Errors
/// `NotFound`, `InvalidInput` when it is no directory, `Busy`, `TooLarge`, `Timeout`, and those of [`Engine::exec`].
pub(crate) async fn list(
    engine: &Engine,
    clock: Arc<dyn Clock>,
    id: &str,
    path: &WorkspacePath,
) -> Result<Vec<FileEntry>, UserError> {
    let (source, far) = source().map_err(no_pipes)?;
    let outgoing = engine.list_files(id, path, far).await?;
    let mut printed = Gathered::new(MOST);
    let whole = async {
        printed.fill(&source).await.map_err(no_pipes)?;
        outgoing.finish().await
    };
    tokio::select! {
        done = whole => done?,
        () = clock.sleep(PATIENCE) => {
            let what = format!("the directory was not listed after {} s", PATIENCE.as_secs());
            return Err(UserError::new(ErrorCode::Timeout, what));
        }
    }
    if printed.is_truncated() {
        return Err(
            UserError::new(ErrorCode::TooLarge, "the directory has too many entries to list")
                .hint("list a part of it, or look with a command"),
        );
    }
    parse_list(printed.bytes())
}
