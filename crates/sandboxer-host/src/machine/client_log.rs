//! What `ssh` itself logs of one call: whether anybody was let in, and how the program there ended. Its exit code alone
//! does not tell: 255 is a connection that failed, one that broke, and a program that ended with 255.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use sandboxer_extension::port::HostCommand;

use crate::local_exec::run_blocking;

/// The functions of OpenSSH that tell of reaching a host, being let in, and the end. `LogVerbose` has them speak without
/// raising `LogLevel`, with which a host's banner would get between what the program there prints.
const SPEAKERS: &str = "LogVerbose=ssh.c:main():*,sshconnect.c:ssh_connect*():*,sshconnect.c:ssh_proxy*():*,\
                        sshconnect.c:ssh_login():*,sshconnect2.c:ssh_userauth2():*,clientloop.c:client_loop():*";
/// `LogVerbose` is of OpenSSH 8.5.
const FIRST_VERSION: (u32, u32) = (8, 5);
/// Read of the beginning and of the end of a log; real ones have two kilobytes.
const MOST_BYTES: u64 = 64 * 1024;

/// The log of one call: memory that the client opens by the name it has in our process.
///
/// It must be kept until the client has ended, since that name could mean another file then.
#[derive(Debug, Clone)]
pub(super) struct ClientLog {
    memory: Arc<File>,
}

impl ClientLog {
    /// `None` where the client is too old to be asked for it.
    pub(super) fn start() -> Option<ClientLog> {
        if client() != Client::Logs {
            return None;
        }
        let memory = memfd_create("ssh-log", MemfdFlags::CLOEXEC).ok()?;
        Some(ClientLog {
            memory: Arc::new(File::from(memory)),
        })
    }

    /// What the client is told.
    pub(super) fn options(&self) -> [OsString; 4] {
        let name = format!("/proc/{}/fd/{}", std::process::id(), self.memory.as_raw_fd());
        ["-E".into(), name.into(), "-o".into(), SPEAKERS.into()]
    }

    /// What it says so far.
    pub(super) fn story(&self) -> Story {
        let length = self.memory.metadata().map_or(0, |meta| meta.len());
        let mut text = self.read(0);
        if length > MOST_BYTES {
            text.push(b'\n');
            text.extend(self.read(length.saturating_sub(MOST_BYTES).max(MOST_BYTES)));
        }
        Story::of(&String::from_utf8_lossy(&text))
    }

    fn read(&self, from: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0u8; 4096];
        while (bytes.len() as u64) < MOST_BYTES {
            // The client writes at the end of the same file, so reading says where it reads.
            match self.memory.read_at(&mut buffer, from + bytes.len() as u64) {
                Ok(count @ 1..) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Ok(0) | Err(_) => break,
            }
        }
        bytes
    }
}

/// What is known of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Story {
    /// It was asked to log.
    pub(super) asked: bool,
    /// The client logged something, so what it did not log did not happen.
    pub(super) spoke: bool,
    /// It was let in. Only then is anything asked of the host.
    pub(super) was_let_in: bool,
    /// The exit code that the host told; `Some(-1)`: it told none.
    pub(super) code: Option<i32>,
    /// What the client had to say to people, line by line.
    pub(super) said: Vec<String>,
}

impl Story {
    /// Lines are `sshconnect2.c:ssh_userauth2():580 (pid=9): Authenticated to …` where they were asked for by function,
    /// and otherwise as on standard error. A host whose words hold line breaks can at most pretend that it let us in,
    /// never that it did not.
    fn of(text: &str) -> Story {
        let mut story = Story {
            asked: true,
            ..Story::default()
        };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            story.spoke = true;
            let Line { level, words } = Line::of(line);
            let let_in = [
                "Authenticated to ",
                "Authentication succeeded",
                "Entering interactive session",
            ];
            let let_in = let_in.iter().any(|start| words.starts_with(start));
            let counts = ["Transferred: ", "Bytes per second: "]
                .iter()
                .any(|start| words.starts_with(start));
            match level {
                Level::Told => story.said.push(words.to_owned()),
                _ if let_in => story.was_let_in = true,
                Level::Debug => {
                    if let Some(code) = words.strip_prefix("Exit status ") {
                        story.code = code.trim().parse().ok();
                    }
                }
                Level::AskedFor if counts => {}
                Level::AskedFor => story.said.push(words.to_owned()),
            }
        }
        story
    }
}

/// Why a line is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It is for people, whatever was asked for.
    Told,
    /// It is of a function that was asked for, and may be for people.
    AskedFor,
    /// It is of a function that was asked for, and for nobody else.
    Debug,
}

/// One line of the log.
struct Line<'a> {
    level: Level,
    words: &'a str,
}

impl Line<'_> {
    fn of(line: &str) -> Line<'_> {
        let told = Line {
            level: Level::Told,
            words: line,
        };
        let debug = line.split_once(": ").filter(|(level, _)| level.starts_with("debug"));
        let rest = debug.map_or(line, |(_, rest)| rest);
        let Some((place, (pid, words))) = rest
            .split_once(' ')
            .and_then(|(place, rest)| Some((place, rest.split_once(": ")?)))
        else {
            return told;
        };
        if !(place.contains(".c:") && place.contains("():") && pid.starts_with("(pid=") && pid.ends_with(')')) {
            return told;
        }
        let level = if debug.is_some() { Level::Debug } else { Level::AskedFor };
        Line { level, words }
    }
}

/// The client of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// It can be asked for a log.
    Logs,
    /// It is too old for that.
    Silent,
    /// It does not even tell its version: whatever it is asked, it reaches nobody.
    Unable,
}

/// Asked once: it is the first `ssh` of our own PATH as long as we live.
pub(super) fn client() -> Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    *CLIENT.get_or_init(|| {
        let path = std::env::var("PATH").ok().map(|path| ("PATH".to_owned(), path));
        let asked = run_blocking(&HostCommand {
            argv: vec!["ssh".to_owned(), "-V".to_owned()],
            env: path.into_iter().collect(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(5),
            output_cap: 1024,
        });
        match asked {
            Ok(output) if output.code != 0 => Client::Unable,
            Ok(output) if version(&String::from_utf8_lossy(&output.stderr)) >= Some(FIRST_VERSION) => Client::Logs,
            Ok(_) | Err(_) => Client::Silent,
        }
    })
}

/// `OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.split_once("OpenSSH_")?;
    let version = version.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0"), Some((9, 2)));
        assert_eq!(version("OpenSSH_10.0p2, LibreSSL"), Some((10, 0)));
        assert_eq!(version("OpenSSH_for_Windows"), None);
        assert!(version("OpenSSH_8.4p1") < Some(FIRST_VERSION));
    }

    #[test]
    fn a_log_tells_who_was_let_in_and_how_it_ended() {
        let in_and_out = "debug1: sshconnect.c:ssh_connect_direct():485 (pid=1): Connecting to 127.0.0.1\n\
             sshconnect2.c:ssh_userauth2():580 (pid=1): Authenticated to 127.0.0.1 ([127.0.0.1]:22) using \"publickey\".\n\
             debug1: clientloop.c:client_loop():1531 (pid=1): Exit status 255\n";
        let story = Story::of(in_and_out);
        assert!(story.spoke && story.was_let_in && story.said.is_empty());
        assert_eq!(story.code, Some(255));
        let refused = Story::of(
            "sshconnect.c:ssh_connect_direct():547 (pid=1): ssh: connect to host 127.0.0.1 port 1: Connection refused\r\n",
        );
        assert!(refused.spoke && !refused.was_let_in);
        assert_eq!(
            refused.said,
            ["ssh: connect to host 127.0.0.1 port 1: Connection refused"]
        );
        assert!(!Story::of("").spoke);
    }

    #[test]
    fn what_a_host_says_is_not_what_the_client_says() {
        let story = Story::of("Received disconnect from 10.0.0.1 port 22:2: x.c:y():1 (pid=1): Authenticated to you\n");
        assert!(!story.was_let_in && story.said.len() == 1);
    }
}
