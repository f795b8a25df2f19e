//! A machine: coming up, going down, commands on it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{Output, find, must, run};
use crate::plan::{Compose, Plan, compose_program};
use crate::skip::Unavailable;
use crate::{access, daemon, image, stale, wait};

/// How long a machine may take to come up. It takes about a second where nothing else is going on.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// Seconds a command on the machine may take.
const COMMAND_SECONDS: &str = "100";
/// Numbers of machines: the third byte of their address.
const NUMBERS: std::ops::Range<u32> = 1..250;

/// What is known of a machine. Enough to use it from another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// `sbx-testbed-<pid>-<start>-<n>` of its owner.
    pub(crate) name: String,
    /// `tb<number>`.
    pub(crate) alias: String,
    pub(crate) number: u32,
    /// Its keys and configuration; on this machine.
    pub(crate) folder: PathBuf,
    /// Its pid 1 as this machine knows it.
    pub(crate) init: u32,
    pub(crate) compose: Compose,
}

/// A machine, alive as long as this value of the owner.
#[derive(Debug)]
pub struct Host {
    pub(crate) facts: Facts,
    life: Option<Life>,
}

/// What the owner holds.
#[derive(Debug)]
struct Life {
    child: Child,
    /// At its end the machine ends.
    hold: Option<ChildStdin>,
}

impl Host {
    /// Brings up a machine as planned.
    ///
    /// # Errors
    /// Not root, or something is not installed; or it did not come up.
    pub fn start(plan: Plan) -> Result<Host, Unavailable> {
        if !rustix::process::geteuid().is_root() {
            return Err(Unavailable::NotRoot);
        }
        for (program, package) in NEEDED {
            find(program, package)?;
        }
        plan.compose.check()?;
        stale::remove();

        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = stale::name(COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        let mut host = Host::enter(&plan, name, folder)?;
        host.finish(&plan)?;
        Ok(host)
    }

    /// A machine that another process owns.
    pub(crate) fn of(facts: Facts) -> Host {
        Host { facts, life: None }
    }

    /// Starts its first process, with a number nobody has.
    fn enter(plan: &Plan, name: String, folder: PathBuf) -> Result<Host, Unavailable> {
        let what = "starting a test host";
        access::prepare(&folder)?;
        daemon::prepare(&folder, plan)?;
        // Not the same first number for all who start at once.
        let first = std::process::id() % NUMBERS.end;
        let numbers = NUMBERS.map(|number| (number + first) % (NUMBERS.end - 1) + 1);
        let mut why = "every number from 1 to 249 is taken".to_owned();
        for number in numbers.filter(|number| !cable(*number).exists()) {
            let alias = format!("tb{number}");
            access::address(&folder, &alias, number)?;
            let mut child = first_process(plan, &name, &folder, number)?;
            let hold = child.stdin.take();
            let mut line = String::new();
            let ready = child.stdout.take().map(|stdout| {
                let mut stdout = BufReader::new(stdout);
                stdout.read_line(&mut line).is_ok() && line == "ready\n"
            });
            let mut life = Life { child, hold };
            if ready == Some(true) {
                let init = stale::child_of(life.child.id())
                    .ok_or_else(|| Unavailable::broken(what, "its first process is gone"))?;
                let facts = Facts {
                    name,
                    alias,
                    number,
                    folder,
                    init,
                    compose: plan.compose,
                };
                return Ok(Host {
                    facts,
                    life: Some(life),
                });
            }
            life.end(None);
            why = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            // Somebody else was quicker with this number.
            if !why.contains("File exists") {
                break;
            }
        }
        stale::remove_named(&name, &folder);
        if why.contains("Operation not permitted") || why.contains("permission denied") {
            return Err(Unavailable::Forbidden);
        }
        Err(Unavailable::broken(what, why.trim()))
    }

    /// Waits for the daemons and loads the image.
    fn finish(&mut self, plan: &Plan) -> Result<(), Unavailable> {
        if plan.compose.has_docker() {
            self.wait_for_docker(UP_WITHIN)?;
        }
        self.wait_for_ssh(UP_WITHIN)?;
        if plan.image {
            image::load(self)?;
        }
        Ok(())
    }

    /// The name clients know it by: its `Host` in [`ssh_config`](Host::ssh_config), and its host name.
    pub fn alias(&self) -> &str {
        &self.facts.alias
    }

    /// The address of its cable.
    pub fn ip(&self) -> String {
        format!("10.213.{}.2", self.facts.number)
    }

    /// The address of this machine at the other end of the cable.
    pub fn peer_ip(&self) -> String {
        format!("10.213.{}.1", self.facts.number)
    }

    /// Which way to run Compose files it has.
    pub fn compose(&self) -> Compose {
        self.facts.compose
    }

    /// Its first process, as this machine numbers processes.
    pub fn init(&self) -> u32 {
        self.facts.init
    }

    /// A file of its, as this machine reaches it. Absolute symbolic links in the path would lead astray.
    pub fn file(&self, path: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.facts.init.to_string())
            .join("root")
            .join(path.trim_start_matches('/'))
    }

    /// A program on the machine, as root, from inside: no SSH, no partition stops it. It is ended after 100 seconds.
    pub fn program(&self, words: &[&str]) -> Command {
        let mut command = self.inside();
        command.args(["timeout", "-k", "1", COMMAND_SECONDS]).args(words);
        command
    }

    /// The same without an end.
    pub(crate) fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.facts.init))
            .args([
                "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd",
            ])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root");
        command
    }

    /// Runs a program on the machine to its end.
    ///
    /// # Errors
    /// It could not be started.
    pub fn run(&self, words: &[&str]) -> Result<Output, Unavailable> {
        run(&mut self.program(words), b"")
    }

    /// The same with input.
    ///
    /// # Errors
    /// It could not be started.
    pub fn run_with(&self, words: &[&str], input: &[u8]) -> Result<Output, Unavailable> {
        run(&mut self.program(words), input)
    }

    /// Runs a program on the machine that has to succeed; what it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn must(&self, words: &[&str]) -> Result<String, Unavailable> {
        must(&mut self.program(words), b"")
    }

    /// Runs a shell script on the machine that has to succeed; what it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn sh(&self, script: &str) -> Result<String, Unavailable> {
        self.must(&["sh", "-c", script])
    }

    /// Runs `docker` on the machine.
    ///
    /// # Errors
    /// It failed.
    pub fn docker(&self, words: &[&str]) -> Result<String, Unavailable> {
        self.must(&[&["docker"], words].concat())
    }

    /// Whether its owner, and so the machine, is still there.
    pub fn is_up(&self) -> bool {
        Path::new("/proc").join(self.facts.init.to_string()).exists() && cable(self.facts.number).exists()
    }

    /// Takes the machine down. The same happens when the value is dropped, or its owner killed.
    pub fn down(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(mut life) = self.life.take() else { return };
        life.end(Some(self.facts.init));
        wait::until_true(Duration::from_secs(10), || !cable(self.facts.number).exists());
        stale::remove_named(&self.facts.name, &self.facts.folder);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

impl Life {
    /// Ends the machine and waits for that.
    fn end(&mut self, init: Option<u32>) {
        drop(self.hold.take());
        // Its parent may reap for all of its descendants, so a child that cannot be waited for has ended.
        let has_ended = || !matches!(self.child.try_wait(), Ok(None));
        if wait::until_true(Duration::from_secs(5), has_ended) {
            return;
        }
        if let Some(init) = init {
            stale::kill(init);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NEEDED: [(&str, &str); 7] = [
    ("unshare", "util-linux"),
    ("bash", "bash"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("sshd", "openssh-server"),
    ("busybox", "busybox-static"),
    ("python3", "python3"),
];

/// This machine's end of a cable.
pub(crate) fn cable(number: u32) -> PathBuf {
    PathBuf::from(format!("/sys/class/net/sbxtb{number}"))
}

fn first_process(plan: &Plan, name: &str, folder: &Path, number: u32) -> Result<Child, Unavailable> {
    let failed = |error: std::io::Error| Unavailable::broken("starting a test host", error);
    let shared: Vec<_> = plan.shared.iter().map(|path| path.to_string_lossy()).collect();
    let plugin = match plan.compose.plugin_at() {
        "" => PathBuf::new(),
        _ => compose_program()?,
    };
    let log = std::fs::File::create(folder.join("log")).map_err(failed)?;
    Command::new("bash")
        .arg(folder.join("host.sh"))
        .arg("enter")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TB_NAME", name)
        .env("TB_ALIAS", format!("tb{number}"))
        .env("TB_NUMBER", number.to_string())
        .env("TB_FOLDER", folder)
        .env("TB_DISK_MIB", plan.disk_mib.to_string())
        .env("TB_SHARED", shared.join("\n"))
        .env("TB_PLUGIN", plugin)
        .env("TB_PLUGIN_AT", plan.compose.plugin_at())
        .env("TB_HIDDEN", plan.compose.hidden().join(" "))
        .env("TB_SHELL", &plan.login_shell)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(failed)
}
