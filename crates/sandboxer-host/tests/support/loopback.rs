//! A machine that is an SSH server here, and calls to it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandboxer_host::{Machine, Program, SshSettings};
use sandboxer_testbed::Unavailable;
use sandboxer_testbed::loopback::Loopback;

/// A server, and room for what a test keeps.
pub(crate) struct Lab {
    pub(crate) server: Loopback,
    pub(crate) room: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn start() -> Result<Lab, Unavailable> {
        let room = tempfile::tempdir().expect("a directory");
        let folder = room.path().join("server");
        std::fs::create_dir_all(folder.join("sshd.d")).expect("a folder");
        // What a host shows to everybody is nothing that a program prints.
        std::fs::write(folder.join("banner"), "this is a banner\n").expect("a file");
        let banner = format!("Banner {}\n", folder.join("banner").display());
        std::fs::write(folder.join("sshd.d/banner.conf"), banner).expect("a file");
        let server = Loopback::start(&folder)?;
        Ok(Lab { server, room })
    }

    /// What the server's client configuration and this say.
    pub(crate) fn config(&self, more: &str) -> PathBuf {
        let own = std::fs::read_to_string(self.server.ssh_config()).expect("a configuration");
        let file = self.room.path().join("config");
        std::fs::write(&file, format!("{more}\n{own}")).expect("a file");
        file
    }
}

pub(crate) fn settings(config: &Path, state: &Path) -> SshSettings {
    SshSettings {
        config_file: Some(config.to_owned()),
        user: None,
        key: None,
        cert_command: None,
        connect_timeout: Duration::from_secs(20),
        state_dir: state.to_owned(),
    }
}

pub(crate) fn machine(settings: SshSettings) -> Machine {
    Machine::at(&"loopback".parse().expect("an address"), &Arc::new(settings))
}

pub(crate) fn program(text: &'static str, timeout: Duration) -> Program {
    Program {
        text: Cow::Borrowed(text),
        words: Vec::new(),
        timeout,
        output_cap: 1 << 20,
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}
