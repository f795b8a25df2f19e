//! The service manager that started us, if one did: it is told when the server is ready, alive and stopping, by datagrams
//! as `sd_notify(3)` describes them.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use crate::env;

/// The way to the service manager; nobody listens where there is none.
#[derive(Clone)]
pub(super) struct Manager {
    address: Option<Arc<SocketAddr>>,
}

impl Manager {
    /// The one that the environment names.
    pub(super) fn from_environment() -> Manager {
        let address = env::NOTIFY_SOCKET.get().and_then(|name| {
            // A name that begins with `@` is not in the file system.
            match name.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&name),
            }
            .ok()
        });
        Manager {
            address: address.map(Arc::new),
        }
    }

    /// Tells it something. One that does not listen is no reason to stop.
    pub(super) fn tell(&self, what: &str) {
        if let Some(address) = &self.address
            && let Ok(socket) = UnixDatagram::unbound()
        {
            let _ = socket.send_to_addr(what.as_bytes(), address);
        }
    }

    /// How often it wants a sign of life, halved so that one may be late; `None`: it wants none of this process.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        let number = |variable: &env::Variable| variable.get()?.to_str()?.parse::<u64>().ok();
        self.address.as_ref()?;
        let is_for_another = number(&env::WATCHDOG_PID).is_some_and(|pid| pid != u64::from(std::process::id()));
        let every = number(&env::WATCHDOG_USEC).filter(|_| !is_for_another)?;
        Some(Duration::from_micros((every / 2).max(1000)))
    }
}
