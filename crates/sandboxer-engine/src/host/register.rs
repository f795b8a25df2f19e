//! Register hosts, let them drain, forget them.

use std::time::Duration;

use jiff::Timestamp;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::host::HostAddress;
use sandboxer_model::registry::{Host, HostState, HostStatus, Probed, Watermarks};
use sandboxer_store::StoreError;

use super::Spot;
use crate::api::AddHost;
use crate::engine::Engine;
use crate::prepare::check_labels;
use crate::route::place::find;

/// How long what was seen of a host is fresh.
const FRESH: Duration = Duration::from_secs(300);
/// The first pause after it did not answer.
const SOON: Duration = Duration::from_secs(30);
/// The longest pause.
pub(crate) const FARTHEST_PROBE: Duration = Duration::from_secs(3600);

impl Engine {
    /// Every registered host in order of name, with what is taken of it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn hosts(&self) -> Result<Vec<HostStatus>, UserError> {
        Ok(self.ports.store.hosts().await?)
    }

    /// One registered host, by name or address.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn host(&self, name: &str) -> Result<HostStatus, UserError> {
        let hosts = self.ports.store.hosts().await?;
        let found = find(&hosts, name).cloned();
        found.ok_or_else(|| not_registered(name))
    }

    /// Registers a host once every backend that has hosts was asked to look at it, and keeps what they saw.
    ///
    /// # Errors
    /// `InvalidInput`, `WrongState` when the name is taken, `Unsupported` without such a backend, and why it could not be
    /// looked at.
    pub async fn add_host(&self, new: &AddHost) -> Result<HostStatus, UserError> {
        let (name, address) = named(new)?;
        check_labels(&new.labels)?;
        // Before anybody waits for a handshake.
        if self.ports.store.host(&name).await.is_ok() {
            return Err(StoreError::HostTaken(name).into());
        }
        let probe = self.look_at(&address.to_string()).await?;
        let host = Host {
            name,
            address,
            state: HostState::Active,
            labels: new.labels.clone(),
            capacity: new.capacity,
            watermarks: Watermarks::default(),
            probe: Some(probe),
            unreachable: None,
            unreachable_since: None,
            probe_after: None,
            added_at: self.ports.clock.now(),
        };
        self.ports.store.add_host(&host).await?;
        Ok(self.ports.store.host(&host.name).await?)
    }

    /// Looks at a registered host again. One that does not answer is `down` from then on, one that does is not.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported`; not answering is in the host that is returned.
    pub async fn probe_host(&self, name: &str) -> Result<HostStatus, UserError> {
        let known = self.host(name).await?.host;
        let seen = match self.look_at(&known.address.to_string()).await {
            Err(error) if error.code == ErrorCode::Unsupported => return Err(error),
            seen => seen.map_err(|error| error.message),
        };
        self.ports
            .store
            .change_host(&known.name, |host| note(host, &seen, self.ports.clock.now()))
            .await?;
        Ok(self.ports.store.host(&known.name).await?)
    }

    /// Lets nothing new on a host; what is there stays.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn drain_host(&self, name: &str) -> Result<HostStatus, UserError> {
        self.set_state(name, HostState::Draining).await
    }

    /// Lets a host take sandboxes again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn activate_host(&self, name: &str) -> Result<HostStatus, UserError> {
        self.set_state(name, HostState::Active).await
    }

    /// Forgets a host on which no sandbox is.
    ///
    /// # Errors
    /// `NotFound`, `WrongState` while sandboxes are there.
    pub async fn remove_host(&self, name: &str) -> Result<HostStatus, UserError> {
        let known = self.host(name).await?;
        self.ports.store.remove_host(&known.host.name).await?;
        Ok(known)
    }

    async fn set_state(&self, name: &str, state: HostState) -> Result<HostStatus, UserError> {
        let known = self.host(name).await?.host.name;
        self.ports.store.change_host(&known, |host| host.state = state).await?;
        Ok(self.ports.store.host(&known).await?)
    }

    /// The host people mean: a registered one, or any that can be reached by this text.
    pub(super) async fn spot(&self, text: &str) -> Result<(Spot, bool), UserError> {
        let hosts = self.ports.store.hosts().await?;
        if let Some(status) = find(&hosts, text) {
            let spot = Spot {
                name: status.host.name.clone(),
                address: status.host.address.to_string(),
            };
            return Ok((spot, true));
        }
        let address = parse(text)?.to_string();
        let name = address.clone();
        Ok((Spot { name, address }, false))
    }
}

fn not_registered(name: &str) -> UserError {
    StoreError::NotFound {
        what: "host",
        name: name.chars().filter(|c| !c.is_control()).take(60).collect(),
    }
    .into()
}

fn parse(text: &str) -> Result<HostAddress, UserError> {
    text.parse::<HostAddress>().map_err(|error| {
        UserError::new(ErrorCode::InvalidInput, error.to_string())
            .hint("write `local` or `[user@]name[:port]`, such as me@box")
    })
}

/// The name and the address. An address that is given alone names the host, too.
fn named(new: &AddHost) -> Result<(String, HostAddress), UserError> {
    let by_name = parse(&new.name)?;
    let name = by_name.name().to_owned();
    match &new.address {
        None => Ok((name, by_name)),
        Some(address) if name == new.name => Ok((name, parse(address)?)),
        Some(_) => {
            let what = format!("`{}` is an address, not a name", new.name);
            Err(UserError::new(ErrorCode::InvalidInput, what).hint(format!("call it for example `{name}`")))
        }
    }
}

/// What a look at a host changes. Draining is an operator's word, and stays.
fn note(host: &mut Host, seen: &Result<Probed, String>, now: Timestamp) {
    match seen {
        Ok(probe) => {
            host.probe = Some(probe.clone());
            host.unreachable = None;
            host.unreachable_since = None;
            host.probe_after = now.checked_add(FRESH).ok();
            if host.state == HostState::Down {
                host.state = HostState::Active;
            }
        }
        Err(why) => {
            host.unreachable = Some(why.clone());
            let since = *host.unreachable_since.get_or_insert(now);
            // As long again as it has been away: a moment's absence is soon over, a long one not looked at all day.
            let away = now.duration_since(since).unsigned_abs();
            host.probe_after = now.checked_add(away.clamp(SOON, FARTHEST_PROBE)).ok();
            if host.state == HostState::Active {
                host.state = HostState::Down;
            }
        }
    }
}
