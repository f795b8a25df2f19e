//! The contract over machines and images.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sandboxer_extension::port::{Clock, HostExec};
use sandboxer_extension::{
    Call, ErrorKind, ExecRequest, ExecSession, Extension, ExtensionError, Handle, Inventory, InventoryItem, Manifest,
    Observation, ProvisionRequest, Ready, Removal, Target, Validation, async_trait,
};
use sandboxer_host::outcome::{cut_short, deadline_moved, ended, removal, seconds_until, unknown};
use sandboxer_host::reply::{Reply, ask};
use sandboxer_host::{Machine, SshSettings};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::duration::Span;
use sandboxer_model::host::{HostAddress, HostAddressError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::money::{Micros, Quote};
use sandboxer_model::operation::Epoch;
use sandboxer_model::profile::Profile;

use crate::config::{self, Mode};
use crate::{attach, build, session};

/// What the extension needs to know.
#[derive(Clone)]
pub struct Settings {
    /// How machines are reached.
    pub ssh: Arc<SshSettings>,
    /// Builds work below `packer/` in it.
    pub data_dir: PathBuf,
    /// Port of the tunnel to machines; goes before the input.
    pub tunnel_port: Option<String>,
    /// Runs Packer.
    pub exec: Arc<dyn HostExec>,
    /// Time, for deadlines.
    pub clock: Arc<dyn Clock>,
}

/// Machines and images as an extension.
pub struct VmPackerExtension {
    manifest: Manifest,
    settings: Settings,
    /// Made by this process and not looked at since.
    fresh: Mutex<HashMap<SandboxId, Ready>>,
}

/// Stands for this machine where a host is written down: builds run here.
const HERE: &str = "local";

impl VmPackerExtension {
    /// The extension with these settings. Touches nothing.
    pub fn new(settings: Settings) -> Arc<VmPackerExtension> {
        Arc::new(VmPackerExtension {
            manifest: config::manifest(),
            settings,
            fresh: Mutex::new(HashMap::new()),
        })
    }

    fn machine(&self, host: Option<&str>) -> Result<Machine, ExtensionError> {
        let host = host.ok_or_else(|| ExtensionError::new(ErrorKind::Invalid, "no machine is named"))?;
        let address: HostAddress = host.parse().map_err(|error: HostAddressError| {
            ExtensionError::new(ErrorKind::Invalid, error.to_string())
                .hint("pass `--input ssh_target=[user@]name[:port]`")
        })?;
        Ok(Machine::at(&address, &self.settings.ssh))
    }

    fn keep(&self, id: &SandboxId, ready: Ready) {
        self.fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), ready);
    }

    async fn ask(&self, verb: &str, call: &Call, target: &Target, words: Vec<String>) -> Result<Reply, ExtensionError> {
        let machine = self.machine(target.host.as_deref())?;
        ask(
            &machine,
            attach::program(verb, target.sandbox_id.as_str(), call, words),
            Vec::new(),
        )
        .await
    }
}

fn is_build(target: &Target) -> bool {
    target.host.as_deref() == Some(HERE)
}

#[async_trait]
impl Extension for VmPackerExtension {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn host_of(&self, profile: &Profile, inputs: &BTreeMap<String, String>) -> Option<String> {
        Some(match config::mode(profile, inputs) {
            Ok(Mode::Build) => HERE.to_owned(),
            _ => config::machine(inputs, self.settings.tunnel_port.as_deref()),
        })
    }

    async fn validate(&self, request: &ProvisionRequest) -> Result<Validation, ExtensionError> {
        let detail = match config::mode(&request.profile, &request.inputs)? {
            Mode::Attach => {
                self.machine(request.host.as_deref())?;
                serde_json::json!({ "directory": attach::directory(request.sandbox_id.as_str()) })
            }
            Mode::Build => serde_json::json!({ "command": build::validate(&request.inputs)? }),
        };
        Ok(Validation {
            limits: Vec::new(),
            detail,
        })
    }

    async fn estimate_cost(&self, _: &Profile, _: Span) -> Result<Quote, ExtensionError> {
        Ok(Quote {
            per_hour: Micros::ZERO,
            worst_case: Micros::ZERO,
            source: "own machine".to_owned(),
        })
    }

    async fn provision(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        match config::mode(&request.profile, &request.inputs)? {
            Mode::Build => build::provision(self.settings.exec.as_ref(), &self.settings.data_dir, call, request).await,
            Mode::Attach => {
                let machine = self.machine(request.host.as_deref())?;
                let (handle, ready) = attach::provision(&machine, self.settings.clock.as_ref(), call, request).await?;
                self.keep(&request.sandbox_id, ready);
                Ok(handle)
            }
        }
    }

    async fn wait_ready(&self, call: &Call, target: &Target) -> Result<Ready, ExtensionError> {
        let fresh = self
            .fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&target.sandbox_id);
        if let Some(ready) = fresh {
            return Ok(ready);
        }
        let handle = target.handle.as_ref().ok_or_else(|| {
            ExtensionError::new(ErrorKind::NotFound, format!("{} was never finished", target.sandbox_id))
        })?;
        if is_build(target) {
            return Ok(build::ready(handle));
        }
        let ttl = handle.get("ttl_s").cloned().unwrap_or_default();
        let machine = self.machine(target.host.as_deref())?;
        let reply = self.ask("ready", call, target, vec![ttl]).await?;
        if !reply.complete {
            return Err(cut_short("becoming ready", &machine));
        }
        Ok(attach::ready(
            &machine,
            self.settings.clock.as_ref(),
            target.sandbox_id.as_str(),
            &reply,
        ))
    }

    async fn teardown(&self, call: &Call, target: &Target) -> Result<Removal, ExtensionError> {
        if is_build(target) {
            return Ok(Removal {
                report: build::remove(&self.settings.data_dir, target.sandbox_id.as_str()),
                ..Removal::default()
            });
        }
        let machine = self.machine(target.host.as_deref())?;
        let reply = self.ask("teardown", call, target, Vec::new()).await?;
        removal(reply, &machine)
    }

    async fn observe(&self, call: &Call, target: &Target) -> Observation {
        if is_build(target) {
            let there = build::directory(&self.settings.data_dir, target.sandbox_id.as_str()).try_exists();
            return match there {
                Ok(there) => Observation {
                    presence: if there { Presence::Present } else { Presence::Absent },
                    usable: Some(there),
                    ended: None,
                    busy: None,
                    detail: "a directory on this machine".to_owned(),
                },
                Err(error) => unknown(error.to_string()),
            };
        }
        match self.ask("observe", call, target, Vec::new()).await {
            Ok(reply) if reply.complete => {
                let there = reply.state == Some(true) || reply.directory == Some(true);
                Observation {
                    presence: if there { Presence::Present } else { Presence::Absent },
                    usable: Some(reply.directory == Some(true)),
                    ended: if there { None } else { ended(&reply) },
                    busy: None,
                    detail: reply
                        .guard
                        .map_or_else(String::new, |left| format!("its guard ends it in {left} s")),
                }
            }
            Ok(_) => unknown("the machine's answer broke off".to_owned()),
            Err(error) => unknown(error.message),
        }
    }

    async fn inventory(&self, _: &Call) -> Inventory {
        Inventory::Unknown {
            why: "machines are asked one by one".to_owned(),
        }
    }

    async fn inventory_at(&self, call: &Call, host: &str) -> Inventory {
        let asked = async {
            let machine = self.machine(Some(host))?;
            ask(
                &machine,
                attach::program("inventory", "nobody", call, Vec::new()),
                Vec::new(),
            )
            .await
        };
        match asked.await {
            Ok(reply) if reply.complete => {
                let items = reply.things.iter().filter_map(|line| {
                    let fields: Vec<&str> = line.split('|').collect();
                    let ["directory", name, _, installation, epoch, path] = fields.as_slice() else {
                        return None;
                    };
                    Some(InventoryItem {
                        kind: "directory".to_owned(),
                        name: (*path).to_owned(),
                        sandbox_id: name.parse().ok(),
                        installation_id: installation.parse().ok(),
                        epoch: epoch.parse().ok().map(Epoch),
                    })
                });
                Inventory::Complete(items.collect())
            }
            Ok(_) => Inventory::Unknown {
                why: "the machine's answer broke off".to_owned(),
            },
            Err(error) => Inventory::Unknown { why: error.message },
        }
    }

    async fn exec(
        &self,
        _: &Call,
        target: &Target,
        request: ExecRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        if is_build(target) {
            return Err(ExtensionError::unsupported("ext.vm-packer", "exec").hint("an image is built, nothing runs"));
        }
        session::start(
            &self.machine(target.host.as_deref())?,
            target.sandbox_id.as_str(),
            request,
        )
    }

    async fn set_deadline(&self, call: &Call, target: &Target, deadline: Timestamp) -> Result<(), ExtensionError> {
        if is_build(target) {
            return Ok(());
        }
        let seconds = seconds_until(deadline, self.settings.clock.now());
        let machine = self.machine(target.host.as_deref())?;
        let reply = self.ask("deadline", call, target, vec![seconds.to_string()]).await?;
        deadline_moved(&reply, &machine)
    }
}
