//! The commands trials run inside a sandbox: a closed list, each with the argument vector real backends are given.
//! A fake recognises the vector with [`ProbeCommand::parse`] and does the same by itself.

use std::net::SocketAddr;

/// A command a trial runs inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeCommand {
    /// Exits with this code.
    Exit(u8),
    /// Copies standard input to standard output.
    Cat,
    /// `out` on standard output, `err` on standard error.
    TwoStreams,
    /// Prints a variable, or `unset`.
    Variable(String),
    /// Prints the directory it started in.
    WorkingDirectory,
    /// Sleeps for ten minutes.
    Sleep,
    /// Prints `armed`, then exits with 7 on the terminate signal.
    Trap,
    /// Kills itself with this signal.
    KillSelf(u8),
    /// Writes a file of the workspace.
    Write {
        /// Its name, without a slash.
        name: String,
        /// What it then holds.
        text: String,
    },
    /// Waits a second, then writes a file of the workspace.
    WriteLater {
        /// Its name, without a slash.
        name: String,
        /// What it then holds.
        text: String,
    },
    /// Prints a file of the workspace; exits with a failure when it is not there.
    Read {
        /// Its name, without a slash.
        name: String,
    },
    /// Prints `terminal ROWS COLUMNS` if its three streams are one.
    Terminal,
    /// Starts this many processes that stay; prints `done` if all could be started.
    Processes(u64),
    /// Holds this many MiB of memory, then prints how many bytes it held.
    Memory(u64),
    /// Writes a file of this many MiB; prints `done` if it fits.
    Disk(u64),
    /// Connects over TCP; exits with 127 where it has no means to try.
    Connect(SocketAddr),
}

const EXIT: &str = r#"exit "$1""#;
const CAT: &str = "exec cat";
const TWO_STREAMS: &str = "printf out; printf err >&2";
const VARIABLE: &str = r#"eval "printf %s \"\${$1-unset}\"""#;
const WORKING_DIRECTORY: &str = "pwd -P";
const SLEEP: &str = "exec sleep 600";
const TRAP: &str = "trap 'exit 7' TERM; echo armed; while :; do sleep 0.05; done";
const KILL_SELF: &str = r#"kill -"$1" $$; sleep 600"#;
const WRITE: &str = r#"printf %s "$2" > "$1""#;
const WRITE_LATER: &str = r#"sleep 1; printf %s "$2" > "$1""#;
const READ: &str = r#"exec cat "$1""#;
// An engine that learns the size when the command runs already tells it a moment later.
const TERMINAL: &str = "test -t 0 && test -t 1 && test -t 2 || exit 1
i=0; while size=$(stty size 2>/dev/null); [ -z \"$size\" ] || [ \"$size\" = '0 0' ] && [ \"$i\" -lt 100 ]; do sleep 0.05; i=$((i+1)); done
printf 'terminal %s\\n' \"$size\"";
const PROCESSES: &str =
    r#"i=0; while [ "$i" -lt "$1" ]; do sleep 600 >/dev/null 2>&1 </dev/null & i=$((i+1)); done; printf done"#;
const MEMORY: &str = r#"head -c "$1" /dev/zero | tail | wc -c"#;
const DISK: &str = r#"head -c "$1" /dev/zero > big && printf done"#;
const CONNECT: &str = r#"if command -v bash >/dev/null; then exec timeout 5 bash -c 'exec 3<>/dev/tcp/"$1"/"$2"' bash "$1" "$2"; fi
command -v nc >/dev/null || exit 127; exec nc -w 2 "$1" "$2" </dev/null"#;

const MIB: u64 = 1024 * 1024;

impl ProbeCommand {
    /// What a real backend is asked to run.
    pub fn argv(&self) -> Vec<Vec<u8>> {
        let (script, arguments): (&str, Vec<String>) = match self {
            ProbeCommand::Exit(code) => (EXIT, vec![code.to_string()]),
            ProbeCommand::Cat => (CAT, vec![]),
            ProbeCommand::TwoStreams => (TWO_STREAMS, vec![]),
            ProbeCommand::Variable(name) => (VARIABLE, vec![name.clone()]),
            ProbeCommand::WorkingDirectory => (WORKING_DIRECTORY, vec![]),
            ProbeCommand::Sleep => (SLEEP, vec![]),
            ProbeCommand::Trap => (TRAP, vec![]),
            ProbeCommand::KillSelf(signal) => (KILL_SELF, vec![signal.to_string()]),
            ProbeCommand::Write { name, text } => (WRITE, vec![name.clone(), text.clone()]),
            ProbeCommand::WriteLater { name, text } => (WRITE_LATER, vec![name.clone(), text.clone()]),
            ProbeCommand::Read { name } => (READ, vec![name.clone()]),
            ProbeCommand::Terminal => (TERMINAL, vec![]),
            ProbeCommand::Processes(count) => (PROCESSES, vec![count.to_string()]),
            ProbeCommand::Memory(mib) => (MEMORY, vec![(mib * MIB).to_string()]),
            ProbeCommand::Disk(mib) => (DISK, vec![(mib * MIB).to_string()]),
            ProbeCommand::Connect(to) => (CONNECT, vec![to.ip().to_string(), to.port().to_string()]),
        };
        let fixed = ["/bin/sh", "-c", script, "sh"].map(str::to_owned);
        fixed.into_iter().chain(arguments).map(String::into_bytes).collect()
    }

    /// The command whose [`argv`](ProbeCommand::argv) this is.
    pub fn parse(argv: &[Vec<u8>]) -> Option<ProbeCommand> {
        let words: Vec<&str> = argv
            .iter()
            .map(|word| std::str::from_utf8(word).ok())
            .collect::<Option<_>>()?;
        let ["/bin/sh", "-c", script, "sh", arguments @ ..] = words.as_slice() else {
            return None;
        };
        Some(match (*script, arguments) {
            (EXIT, [code]) => ProbeCommand::Exit(code.parse().ok()?),
            (CAT, []) => ProbeCommand::Cat,
            (TWO_STREAMS, []) => ProbeCommand::TwoStreams,
            (VARIABLE, [name]) => ProbeCommand::Variable((*name).to_owned()),
            (WORKING_DIRECTORY, []) => ProbeCommand::WorkingDirectory,
            (SLEEP, []) => ProbeCommand::Sleep,
            (TRAP, []) => ProbeCommand::Trap,
            (KILL_SELF, [signal]) => ProbeCommand::KillSelf(signal.parse().ok()?),
            (WRITE, [name, text]) => ProbeCommand::Write {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
            },
            (WRITE_LATER, [name, text]) => ProbeCommand::WriteLater {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
            },
            (READ, [name]) => ProbeCommand::Read {
                name: (*name).to_owned(),
            },
            (TERMINAL, []) => ProbeCommand::Terminal,
            (PROCESSES, [count]) => ProbeCommand::Processes(count.parse().ok()?),
            (MEMORY, [bytes]) => ProbeCommand::Memory(bytes.parse::<u64>().ok()? / MIB),
            (DISK, [bytes]) => ProbeCommand::Disk(bytes.parse::<u64>().ok()? / MIB),
            (CONNECT, [ip, port]) => ProbeCommand::Connect(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_recognised_by_its_argv() {
        let (name, text) = ("n".to_owned(), "t t".to_owned());
        for command in [
            ProbeCommand::Exit(42),
            ProbeCommand::Cat,
            ProbeCommand::TwoStreams,
            ProbeCommand::Variable("A".into()),
            ProbeCommand::WorkingDirectory,
            ProbeCommand::Sleep,
            ProbeCommand::Trap,
            ProbeCommand::KillSelf(9),
            ProbeCommand::Write {
                name: name.clone(),
                text: text.clone(),
            },
            ProbeCommand::WriteLater {
                name: name.clone(),
                text,
            },
            ProbeCommand::Read { name },
            ProbeCommand::Terminal,
            ProbeCommand::Processes(3),
            ProbeCommand::Memory(3),
            ProbeCommand::Disk(3),
            ProbeCommand::Connect(([127, 0, 0, 1], 3).into()),
        ] {
            assert_eq!(ProbeCommand::parse(&command.argv()), Some(command));
        }
        assert_eq!(ProbeCommand::parse(&[b"/bin/true".to_vec()]), None);
    }
}
