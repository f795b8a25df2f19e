//! How a command inside ended, where its exit code leaves that open: the host is asked once more.

use std::borrow::Cow;
use std::time::Duration;

use sandboxer_host::{Machine, Program};

/// Looks for a container that runs and is not about to go: an engine learns of a container's death later than a command in
/// it, but a removal is written down before it begins. Words: ENGINE PROJECT SERVICE STATE.
const TEXT: &str = r#"engine=$1 project=$2 service=$3 state=$4
if ! [ -d "$state" ] || [ -e "$state/expired" ] || grep -qs ' teardown$' "$state/running"; then echo gone; exit 0; fi
id=$("$engine" ps -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$service") || exit 1
[ -n "$id" ] || echo gone"#;
/// How long the host may take for that.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What our program on the host says when there is no container, what the engine says when the container dies while the
/// command starts in it, and when it was killed with the command in it. Commands end with these by themselves as well.
const DOUBTFUL: [i32; 3] = [125, 126, 137];

/// What is asked of the host about one command.
pub(crate) struct Ending {
    machine: Machine,
    words: Vec<String>,
}

impl Ending {
    /// Of a command in a service: the engine, the project, the service, and where the host keeps what it knows of the
    /// sandbox.
    pub(crate) fn new(machine: &Machine, engine: &str, project: &str, service: &str, state: &str) -> Ending {
        Ending {
            machine: machine.clone(),
            words: [engine, project, service, state].map(str::to_owned).to_vec(),
        }
    }

    /// ENGINE PROJECT SERVICE STATE.
    pub(crate) fn words(&self) -> Vec<String> {
        self.words.clone()
    }

    /// Whether a command that ended with this code certainly ended with its container.
    pub(crate) async fn is_gone(&self, code: i32) -> bool {
        if !DOUBTFUL.contains(&code) {
            return false;
        }
        let program = Program {
            text: Cow::Borrowed(TEXT),
            words: self.words(),
            timeout: TIMEOUT,
            output_cap: 4096,
        };
        let answer = self.machine.run(program, Vec::new()).await;
        answer.is_ok_and(|answer| answer.code == 0 && answer.stdout == b"gone\n")
    }
}
