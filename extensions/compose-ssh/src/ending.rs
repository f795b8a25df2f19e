//! How a command inside ended, where its exit code leaves that open: the host is asked once more.

use std::borrow::Cow;
use std::time::Duration;

use sandboxer_host::{Machine, Program};

/// Looks for a container that runs. Words: ENGINE PROJECT SERVICE.
const TEXT: &str = r#"engine=$1 project=$2 service=$3
id=$("$engine" ps -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$service") || exit 1
[ -n "$id" ] || echo gone"#;
/// How long the host may take for that.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What our program on the host says when there is no container, and what the engine says when the container was
/// killed with the command in it. Commands end with these by themselves as well.
const DOUBTFUL: [i32; 2] = [125, 137];

/// What is asked of the host about one command.
pub(crate) struct Ending {
    machine: Machine,
    words: Vec<String>,
}

impl Ending {
    /// Of a command in a service: the engine, the project and the service.
    pub(crate) fn new(machine: &Machine, engine: &str, project: &str, service: &str) -> Ending {
        Ending {
            machine: machine.clone(),
            words: [engine, project, service].map(str::to_owned).to_vec(),
        }
    }

    /// ENGINE PROJECT SERVICE.
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
