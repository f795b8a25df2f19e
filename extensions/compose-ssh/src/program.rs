//! The program that runs on the host, and one call of it.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use sandboxer_extension::Call;
use sandboxer_host::{Program, shell};

/// What a container's description may come to: some 10 KiB each, and dozens of them.
const OUTPUT_CAP: usize = 4 << 20;
/// The answer must be on its way before the caller gives up.
const MARGIN: Duration = Duration::from_secs(1);

/// The whole text.
pub(crate) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        shell::join(&[
            shell::BASE,
            shell::GUARD,
            shell::TREE,
            shell::VERBS,
            shell::SNAPSHOT,
            include_str!("program/engine.sh"),
            include_str!("program/network.sh"),
            include_str!("program/podman.sh"),
            include_str!("program/main.sh"),
        ])
    })
}

/// One call of it: `VERB BASE ID INSTALLATION EPOCH OPERATION …`. Words are ours alone: ids, numbers, checked names.
pub(crate) fn program(verb: &str, base_dir: &str, id: &str, call: &Call, more: Vec<String>) -> Program {
    let operation = call.operation_id.as_ref().map_or("none", |id| id.as_str());
    let mut words = vec![
        verb.to_owned(),
        base_dir.to_owned(),
        id.to_owned(),
        call.installation_id.to_string(),
        call.epoch.0.to_string(),
        operation.to_owned(),
    ];
    words.extend(more);
    Program {
        text: Cow::Borrowed(text()),
        words,
        timeout: call.timeout.saturating_sub(MARGIN).max(MARGIN),
        output_cap: OUTPUT_CAP,
    }
}
