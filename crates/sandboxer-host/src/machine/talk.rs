//! A conversation with a program on a machine: its lines, our answers.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::Stdio;
use std::time::Duration;

use sandboxer_extension::port::HostOutput;
use sandboxer_model::host::HostAddress;
use tokio::sync::{mpsc, oneshot};

use super::child::{self, Ended, Wanted};
use super::client_log::ClientLog;
use super::{Machine, MachineError, Program, Time, verdict};
use crate::tree::Tree;

/// What is said to the program.
enum Said {
    Bytes(Vec<u8>),
    Tree(Box<Tree>, oneshot::Sender<Result<(), crate::tree::TreeError>>),
}

/// A program that runs and is talked with. When this value goes, the program is ended on our side.
#[derive(Debug)]
pub struct Talk {
    machine: Machine,
    timeout: Duration,
    say: Option<mpsc::Sender<Said>>,
    hear: mpsc::Receiver<String>,
    errors: oneshot::Receiver<Vec<u8>>,
    ended: oneshot::Receiver<Ended>,
    log: Option<ClientLog>,
    _wanted: Wanted,
}

impl Talk {
    pub(super) fn start(
        machine: &Machine,
        argv: &[OsString],
        program: &Program,
        log: Option<ClientLog>,
        time: &Time,
    ) -> Result<Talk, MachineError> {
        let failed = |error: std::io::Error| MachineError::start(&machine.address, &error.to_string());
        let stdio = [Stdio::piped(), Stdio::piped(), Stdio::piped()];
        let mut child = child::spawn(argv, &machine.environment(), stdio).map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (wanted, ended) = child::watch(child, Some(time.left()), log.clone()).map_err(failed)?;
        let (say, said) = mpsc::channel(16);
        let (heard, hear) = mpsc::channel(256);
        let (kept, errors) = oneshot::channel();
        let cap = program.output_cap;
        if let Some(stdin) = stdin {
            thread(move || write(stdin, said)).map_err(failed)?;
        }
        if let Some(stdout) = stdout {
            thread(move || read_lines(stdout, &heard, cap)).map_err(failed)?;
        }
        if let Some(stderr) = stderr {
            thread(move || {
                let _ = kept.send(read_capped(stderr, 64 * 1024));
            })
            .map_err(failed)?;
        }
        Ok(Talk {
            machine: machine.clone(),
            timeout: time.whole,
            say: Some(say),
            hear,
            errors,
            ended,
            log,
            _wanted: wanted,
        })
    }

    /// The machine that is talked with.
    pub fn address(&self) -> &HostAddress {
        &self.machine.address
    }

    /// Says something. A program that does not listen any more is no error here: its last words say why.
    ///
    /// # Errors
    /// None today.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), MachineError> {
        if let Some(say) = &self.say {
            let _ = say.send(Said::Bytes(bytes.to_vec())).await;
        }
        Ok(())
    }

    /// Sends a whole tree as a tar archive.
    ///
    /// # Errors
    /// A file changed while it was being read: what arrived is not used there.
    pub async fn send_tree(&mut self, tree: Tree) -> Result<(), crate::tree::TreeError> {
        let (tell, told) = oneshot::channel();
        if let Some(say) = &self.say {
            let _ = say.send(Said::Tree(Box::new(tree), tell)).await;
        }
        // Nobody tells when the program stopped listening: its last words say why.
        told.await.unwrap_or(Ok(()))
    }

    /// Its next line, without the line break; `None` when it says no more.
    ///
    /// # Errors
    /// None today; the end is judged by [`Talk::finish`].
    pub async fn line(&mut self) -> Result<Option<String>, MachineError> {
        Ok(self.hear.recv().await)
    }

    /// Says no more, and waits for its end.
    ///
    /// # Errors
    /// The machine could not be reached, the connection broke, or the deadline passed.
    pub async fn finish(mut self) -> Result<HostOutput, MachineError> {
        self.say = None;
        while self.hear.recv().await.is_some() {}
        let ended = self.ended.await.unwrap_or(Ended::Unwanted);
        let stderr = self.errors.await.unwrap_or_default();
        let story = self.log.map(|log| log.story()).unwrap_or_default();
        match ended {
            Ended::Code(code) => match self.machine.classify(code, &story, &stderr) {
                Some(error) => Err(error),
                None => Ok(HostOutput {
                    code,
                    stdout: Vec::new(),
                    stderr,
                }),
            },
            Ended::Deadline | Ended::Unwanted => Err(verdict::of_deadline(&self.machine.address, self.timeout, &story)),
        }
    }
}

fn thread(work: impl FnOnce() + Send + 'static) -> Result<(), std::io::Error> {
    std::thread::Builder::new().spawn(work).map(drop)
}

fn write(mut stdin: std::process::ChildStdin, mut said: mpsc::Receiver<Said>) {
    while let Some(said) = said.blocking_recv() {
        let listens = match said {
            Said::Bytes(bytes) => stdin.write_all(&bytes).is_ok(),
            Said::Tree(tree, tell) => {
                let mut buffered = std::io::BufWriter::with_capacity(256 * 1024, &mut stdin);
                let outcome = tree.write(&mut buffered);
                let listens = buffered.flush().is_ok() && outcome.is_ok();
                let _ = tell.send(outcome);
                listens
            }
        };
        if !listens {
            break;
        }
        let _ = stdin.flush();
    }
}

/// Lines until the end, or until so much came that it cannot be what was asked for.
fn read_lines(stdout: impl Read, heard: &mpsc::Sender<String>, cap: usize) {
    let mut reader = BufReader::new(stdout).take(u64::try_from(cap).unwrap_or(u64::MAX));
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            // A line without its end was cut off.
            Ok(0) | Err(_) => break,
            Ok(_) if line.last() != Some(&b'\n') => break,
            Ok(_) => {
                line.pop();
                if heard
                    .blocking_send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        }
    }
    // What more comes is read and dropped, so that the program does not wait for us.
    let mut rest = reader.into_inner();
    let mut buffer = [0u8; 8192];
    while matches!(rest.read(&mut buffer), Ok(1..)) {}
}

fn read_capped(mut from: impl Read, cap: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0u8; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let room = cap.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    kept
}
