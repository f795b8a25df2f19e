//! How a command inside ended, where its exit code leaves that open: the host is asked once more.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_host::{Machine, Program};

/// Looks for the mark, which goes, and for a container. Words: ENGINE PROJECT SERVICE MARK.
const TEXT: &str = r#"engine=$1 project=$2 service=$3 mark=$4
if [ -e "$mark" ]; then rm -f "$mark"; echo marked; fi
id=$("$engine" ps -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$service") || exit 1
[ -n "$id" ] || echo gone"#;
/// How long the host may take for that.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked of the host about one command.
pub(crate) struct Ending {
    machine: Machine,
    words: Vec<String>,
}

impl Ending {
    /// For a command that starts now in the service: the engine, the project and the service.
    pub(crate) fn new(machine: &Machine, base_dir: &str, now: Timestamp, service: [&str; 3]) -> Ending {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let [engine, project, name] = service;
        let mark = if machine.address().is_local() {
            "-".to_owned()
        } else {
            // Among all clients of a host nobody else starts a command under this name.
            let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            format!("{base_dir}/.sbx/{project}/exit-{}-{process}-{count}", now.as_nanosecond())
        };
        Ending {
            machine: machine.clone(),
            words: vec![engine.to_owned(), project.to_owned(), name.to_owned(), mark],
        }
    }

    /// ENGINE PROJECT SERVICE MARK.
    pub(crate) fn words(&self) -> Vec<String> {
        self.words.clone()
    }

    /// Whether the service certainly has no container any more.
    pub(crate) async fn is_gone(&self) -> bool {
        self.says("gone").await
    }

    /// Whether the command left its mark: it ended with 255 by itself.
    pub(crate) async fn was_marked(&self) -> bool {
        self.says("marked").await
    }

    async fn says(&self, word: &str) -> bool {
        let program = Program {
            text: Cow::Borrowed(TEXT),
            words: self.words(),
            timeout: TIMEOUT,
            output_cap: 4096,
        };
        let answer = self.machine.run(program, Vec::new()).await;
        answer.is_ok_and(|answer| {
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            answer.code == 0 && text.lines().any(|line| line == word)
        })
    }
}
