//! Every environment variable this program reads, declared once. `docs/reference/env.md` is made from this table.

use std::ffi::OsString;

/// One environment variable.
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
    /// What holds when it is not set.
    pub(crate) default: &'static str,
}

impl Variable {
    /// Its value; `None` when it is not set or empty.
    pub(crate) fn get(&self) -> Option<OsString> {
        std::env::var_os(self.name).filter(|value| !value.is_empty())
    }
}

/// Where records and sandboxes are kept.
pub(crate) const DATA_DIR: Variable = Variable {
    name: "SANDBOXER_DATA_DIR",
    help: "directory of the database and of the sandboxes; `--data-dir` goes before it",
    default: "`$XDG_DATA_HOME/sandboxer`",
};
/// Where to put sandboxes.
pub(crate) const HOST: Variable = Variable {
    name: "SANDBOXER_HOST",
    help: "host to put sandboxes on; `--host` goes before it",
    default: "what the profile says",
};
/// The server to work against.
pub(crate) const API: Variable = Variable {
    name: "SANDBOXER_API",
    help: "address of a server to work against: `https://…`, `http://127.0.0.1:…` or `unix:/path/to/socket`; `--api` goes before it",
    default: "this machine, without a server",
};
/// Who asks it.
pub(crate) const API_KEY: Variable = Variable {
    name: "SANDBOXER_API_KEY",
    help: "API key for that server; sent over TLS, a socket or to this machine only",
    default: "none is sent",
};
/// Whom to trust to know it.
pub(crate) const API_CA: Variable = Variable {
    name: "SANDBOXER_API_CA",
    help: "file of the certificate authorities, in PEM form, that may vouch for that server",
    default: "those that this machine trusts",
};
/// Login name on hosts.
pub(crate) const SSH_USER: Variable = Variable {
    name: "SANDBOXER_SSH_USER",
    help: "login name on hosts whose address has none",
    default: "what the SSH configuration says",
};
/// Private key for hosts.
pub(crate) const SSH_KEY: Variable = Variable {
    name: "SANDBOXER_SSH_KEY",
    help: "private key for hosts",
    default: "what the SSH configuration and the agent offer",
};
/// Certificates on demand.
pub(crate) const CERT_COMMAND: Variable = Variable {
    name: "SANDBOXER_CERT_COMMAND",
    help: "shell command that prints one SSH certificate for that key; run before a host is reached and again five minutes before the certificate ends",
    default: "no certificate",
};
/// Another SSH configuration.
pub(crate) const SSH_CONFIG: Variable = Variable {
    name: "SANDBOXER_SSH_CONFIG",
    help: "SSH configuration file for hosts",
    default: "`~/.ssh/config`",
};
/// The compose command of hosts.
pub(crate) const COMPOSE_CMD: Variable = Variable {
    name: "SANDBOXER_COMPOSE_CMD",
    help: "compose command on hosts, such as `docker compose`, `docker-compose` or `podman-compose`",
    default: "the first of these that a host has",
};
/// The tunnel to virtual machines.
pub(crate) const VM_TUNNEL_PORT: Variable = Variable {
    name: "SANDBOXER_VM_TUNNEL_PORT",
    help: "local port of the tunnel to the virtual machine; goes before the input `tunnel_port`",
    default: "the input, else 12222",
};
/// Where sandboxes live on hosts.
pub(crate) const BASE_DIR: Variable = Variable {
    name: "SANDBOXER_BASE_DIR",
    help: "directory on hosts that sandboxes live in",
    default: "`/tmp/sandboxer`",
};
/// Where tunnels are configured.
pub(crate) const BRIDGE_CONFIG: Variable = Variable {
    name: "BRIDGE_CONFIG",
    help: "configuration file of the tunnels that sandboxes are reached through",
    default: "`$HOME/.config/bridge/tunnels.yaml`",
};
/// Local port of the tunnel to a host.
pub(crate) const TUNNEL_PORT: Variable = Variable {
    name: "SANDBOXER_TUNNEL_PORT",
    help: "local port of the tunnel to the host of a sandbox",
    default: "no tunnel",
};
/// Who is told what happens.
pub(crate) const STATE_HUB_URL: Variable = Variable {
    name: "SANDBOXER_STATE_HUB_URL",
    help: "address of the State Hub that every event is sent to, such as `http://127.0.0.1:8000`",
    default: "none is told",
};
/// Where webhooks may go beside the public internet.
pub(crate) const OUTBOUND_ALLOW: Variable = Variable {
    name: "SANDBOXER_OUTBOUND_ALLOW",
    help: "where webhooks may go beside public addresses over https: `host:port` and blocks of addresses such as `10.0.0.0/8`, separated by commas",
    default: "nowhere else",
};
/// Base of the data directory.
pub(crate) const XDG_DATA_HOME: Variable = Variable {
    name: "XDG_DATA_HOME",
    help: "base of the data directory",
    default: "`$HOME/.local/share`",
};
/// Base of the user's configuration.
pub(crate) const XDG_CONFIG_HOME: Variable = Variable {
    name: "XDG_CONFIG_HOME",
    help: "base of the user's configuration: own profiles live in `$XDG_CONFIG_HOME/sandboxer/profiles`",
    default: "`$HOME/.config`",
};
/// The user's home.
pub(crate) const HOME: Variable = Variable {
    name: "HOME",
    help: "home directory, base of the two defaults above",
    default: "none",
};
/// No color.
pub(crate) const NO_COLOR: Variable = Variable {
    name: "NO_COLOR",
    help: "when set, no color unless `--color always`",
    default: "color on a terminal",
};
/// Kind of terminal.
pub(crate) const TERM: Variable = Variable {
    name: "TERM",
    help: "`dumb` turns color and live progress off; passed on to commands run with `--tty`",
    default: "live progress on a terminal",
};
/// Where a service manager listens.
pub(crate) const NOTIFY_SOCKET: Variable = Variable {
    name: "NOTIFY_SOCKET",
    help: "set by a service manager: socket that `serve` tells when it is ready, alive and stopping",
    default: "nobody is told",
};
/// How often a service manager wants a sign of life.
pub(crate) const WATCHDOG_USEC: Variable = Variable {
    name: "WATCHDOG_USEC",
    help: "set by a service manager: microseconds within which it wants a sign of life of `serve`",
    default: "none is given",
};
/// Of which process.
pub(crate) const WATCHDOG_PID: Variable = Variable {
    name: "WATCHDOG_PID",
    help: "set by a service manager: the process that it wants signs of life of",
    default: "`serve` itself",
};
/// Crash for tests.
const CRASH_AT: Variable = Variable {
    name: "SBX_CRASH_AT",
    help: "for tests: `name` or `name:n` kills this process when it reaches that cut point for the n-th time",
    default: "never",
};
/// Log of cut points for tests.
const CUT_LOG: Variable = Variable {
    name: "SBX_CUT_LOG",
    help: "for tests: file that the name of every cut point reached is appended to",
    default: "no log",
};

/// Every variable, in documentation order.
pub(crate) const VARIABLES: &[&Variable] = &[
    &DATA_DIR,
    &HOST,
    &API,
    &API_KEY,
    &API_CA,
    &SSH_USER,
    &SSH_KEY,
    &CERT_COMMAND,
    &SSH_CONFIG,
    &COMPOSE_CMD,
    &BASE_DIR,
    &BRIDGE_CONFIG,
    &TUNNEL_PORT,
    &VM_TUNNEL_PORT,
    &STATE_HUB_URL,
    &OUTBOUND_ALLOW,
    &XDG_DATA_HOME,
    &XDG_CONFIG_HOME,
    &HOME,
    &NO_COLOR,
    &TERM,
    &NOTIFY_SOCKET,
    &WATCHDOG_USEC,
    &WATCHDOG_PID,
    &CRASH_AT,
    &CUT_LOG,
];

/// The reference page.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Environment variables\n\nMade by `cargo xtask generate`. An empty variable counts as not set.\n\n\
         | variable | meaning | when not set |\n|---|---|---|\n",
    );
    for variable in VARIABLES {
        text.push_str(&format!(
            "| `{}` | {} | {} |\n",
            variable.name, variable.help, variable.default
        ));
    }
    text
}
