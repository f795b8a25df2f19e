//! Pid 1's loop: takes commands, reaps what ended, and ends everything when the deadline passes. From the first command on
//! a thread waits for the deadline too: a command can hold up the loop (it stops the next one before that becomes a
//! program, say), and must not hold up the deadline.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SocketFlags;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::error::{NativeError, Tried};
use crate::exec_wire::{self, ExecReply, Stdio, ToInit};
use crate::identity;
use crate::init::{SMALL_STACK, command};
use crate::spec::EXIT_DEADLINE;
use crate::sys::{self, ChildEnd};
use crate::wire;

/// What pid 1 holds while it serves.
pub(crate) struct Session {
    signals: OwnedFd,
    timer: OwnedFd,
    /// Time since boot at which it ends: wall clocks may jump, this one does not.
    deadline: Duration,
}

impl Session {
    pub(crate) fn new(ttl_secs: u64, signals: OwnedFd) -> Result<Session, NativeError> {
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
                .tried("make the deadline timer")?;
        let mut session = Session {
            signals,
            timer,
            deadline: Duration::ZERO,
        };
        session.arm(ttl_secs)?;
        Ok(session)
    }

    /// Moves the deadline to this many seconds from now.
    fn arm(&mut self, in_secs: u64) -> Result<(), NativeError> {
        self.deadline = identity::boottime() + Duration::from_secs(in_secs.max(1));
        let at = Timespec {
            tv_sec: i64::try_from(self.deadline.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(self.deadline.subsec_nanos()),
        };
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: at,
        };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)
            .tried("set the deadline timer")?;
        Ok(())
    }

    pub(crate) fn deadline_ms(&self) -> i64 {
        let left = self.deadline.saturating_sub(identity::boottime());
        identity::unix_ms() + i64::try_from(left.as_millis()).unwrap_or(i64::MAX)
    }
}

struct Connection {
    socket: OwnedFd,
    /// The command it waits for.
    command: Option<i32>,
    /// Nothing is wanted after that command.
    last: bool,
}

struct Server {
    /// The thread that waits for the deadline runs.
    guarded: bool,
    session: Session,
    link: OwnedFd,
    listener: OwnedFd,
    connections: HashMap<i32, Connection>,
    link_open: bool,
}

/// Most connections at once; more wait in the listen queue.
const MAX_CONNECTIONS: usize = 512;

/// Serves until the deadline. Its end ends every process of the sandbox.
pub(crate) fn run(session: Session, link: OwnedFd, listener: OwnedFd) -> ! {
    close_everything_else([&session.signals, &session.timer, &link, &listener]);
    let mut server = Server {
        guarded: false,
        session,
        link,
        listener,
        connections: HashMap::new(),
        link_open: true,
    };
    loop {
        server.turn();
    }
}

/// Starts the thread that ends everything when the deadline passes; whether it runs. While commands take every process
/// there may be, it cannot be started, and no command that could hold up the loop can be either.
fn guard(session: &Session) -> bool {
    let timer = session.timer.try_clone();
    let started = timer.and_then(|timer| {
        std::thread::Builder::new()
            .name("deadline".to_owned())
            .stack_size(SMALL_STACK)
            .spawn(move || {
                loop {
                    let mut fds = [PollFd::new(&timer, PollFlags::IN)];
                    let _ = poll(&mut fds, None);
                    end_if_due(&timer);
                }
            })
    });
    started.is_ok()
}

/// A deadline that was moved since the look cannot be read: whoever moved it was told so.
fn end_if_due(timer: &OwnedFd) {
    if rustix::io::read(timer, &mut [0u8; 8]).is_ok() {
        sys::exit_now(i32::from(EXIT_DEADLINE));
    }
}

/// Closes every descriptor that serving does not need: none of the host's may reach a command.
fn close_everything_else(keep: [&OwnedFd; 4]) {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    keep.sort_unstable();
    let mut first = 3;
    if crate::weaken::is_off("close_fds") {
        return;
    }
    for fd in keep {
        let _ = sys::close_range(first, fd.saturating_sub(1));
        first = fd + 1;
    }
    let _ = sys::close_range(first, u32::MAX);
}

impl Server {
    fn turn(&mut self) {
        let mut order: Vec<i32> = Vec::with_capacity(self.connections.len());
        let mut fds = vec![
            PollFd::new(&self.session.signals, PollFlags::IN),
            PollFd::new(&self.listener, self.accept_flags()),
            PollFd::new(&self.session.timer, PollFlags::IN),
        ];
        // A hung-up link stays readable for ever: it leaves the list once seen.
        let link = if self.link_open {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        if self.link_open {
            fds.push(PollFd::new(&self.link, link));
        }
        let fixed = fds.len();
        for (key, connection) in &self.connections {
            order.push(*key);
            fds.push(PollFd::new(&connection.socket, PollFlags::IN));
        }
        if poll(&mut fds, None).is_err() {
            return;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[0] {
            let mut drain = [0u8; 1024];
            while matches!(rustix::io::read(&self.session.signals, &mut drain), Ok(n) if n > 0) {}
            self.reap();
        }
        if ready[2] {
            end_if_due(&self.session.timer);
        }
        if fixed == 4 && ready[3] && !matches!(wire::recv(self.link.as_fd()), Ok(Some(_))) {
            self.link_open = false;
        }
        for (key, _) in order.iter().zip(&ready[fixed..]).filter(|(_, ready)| **ready) {
            self.serve(*key);
        }
        if ready[1] {
            self.accept();
        }
    }

    fn accept_flags(&self) -> PollFlags {
        if self.connections.len() < MAX_CONNECTIONS {
            PollFlags::IN
        } else {
            PollFlags::empty()
        }
    }

    fn accept(&mut self) {
        if let Ok(socket) = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            let key = socket.as_raw_fd();
            self.connections.insert(
                key,
                Connection {
                    socket,
                    command: None,
                    last: false,
                },
            );
            // Callers send at once: most often the request is here already.
            if wire::wait_readable(self.connections[&key].socket.as_fd(), Duration::ZERO).unwrap_or(false) {
                self.serve(key);
            }
        }
    }

    fn serve(&mut self, key: i32) {
        let Some(connection) = self.connections.get(&key) else {
            return;
        };
        let socket = connection.socket.as_fd();
        let packet = match wire::recv(socket) {
            Ok(Some(packet)) => packet,
            _ => return self.hang_up(key),
        };
        let Some((request, fds)) = exec_wire::parse(packet) else {
            let _ = wire::send_json(
                socket,
                &ExecReply::Refused {
                    why: "not a request".to_owned(),
                },
            );
            return;
        };
        match request {
            ToInit::Exec(spec) if connection.command.is_none() => {
                let last = spec.last;
                let keep_when_caller_leaves = spec.stdio == Stdio::Detached;
                let started = command::start(&spec, fds, socket);
                // The first command finds nobody inside who could hold it up.
                self.guarded = self.guarded || guard(&self.session);
                match started {
                    Ok(pid) => {
                        if !keep_when_caller_leaves && let Some(connection) = self.connections.get_mut(&key) {
                            connection.command = Some(pid);
                            connection.last = last;
                        }
                    }
                    Err(error) => {
                        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                        let _ = wire::send_json(socket, &ExecReply::CannotStart { errno });
                    }
                }
            }
            ToInit::Signal(signal) => {
                if let Some(pid) = connection.command {
                    signal_command(pid, i32::from(signal));
                }
            }
            ToInit::Deadline { in_secs } => {
                let reply = match self.session.arm(in_secs) {
                    Ok(()) => ExecReply::Alive {
                        deadline_ms: self.session.deadline_ms(),
                    },
                    Err(error) => ExecReply::Refused { why: error.to_string() },
                };
                let _ = wire::send_json(socket, &reply);
            }
            ToInit::Ping => {
                let _ = wire::send_json(
                    socket,
                    &ExecReply::Alive {
                        deadline_ms: self.session.deadline_ms(),
                    },
                );
            }
            ToInit::Exec(_) | ToInit::Large { .. } => {
                let _ = wire::send_json(
                    socket,
                    &ExecReply::Refused {
                        why: "one command at a time".to_owned(),
                    },
                );
            }
        }
    }

    /// The caller left: its command goes with it.
    fn hang_up(&mut self, key: i32) {
        if let Some(connection) = self.connections.remove(&key)
            && let Some(pid) = connection.command
        {
            if connection.last {
                sys::exit_now(0);
            }
            signal_command(pid, libc::SIGKILL);
        }
    }

    fn reap(&mut self) {
        while let Ok(Some(ended)) = sys::reap(-1, false) {
            let Some(connection) = self
                .connections
                .values_mut()
                .find(|connection| connection.command == Some(ended.pid))
            else {
                continue;
            };
            connection.command = None;
            let reply = match ended.end {
                ChildEnd::Code(code) => ExecReply::Exited { code },
                ChildEnd::Signal(signal) => ExecReply::Signaled { signal },
            };
            let _ = wire::send_json(connection.socket.as_fd(), &reply);
            if connection.last {
                sys::exit_now(0);
            }
        }
    }
}

/// Signals a command and what it started. It leads its own session, so its number names its process group; before it
/// got that far the group does not exist, and the process alone is meant.
fn signal_command(pid: i32, signal: i32) {
    if sys::kill(-pid, signal).is_err() {
        let _ = sys::kill(pid, signal);
    }
}
