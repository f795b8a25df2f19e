//! The ports every effect goes through: clock, ids, host execution, outbound calls. (The store and the extensions are
//! the other two.) `clippy.toml` bans going around them.

pub mod clock;
pub mod host_exec;
pub mod ids;
pub mod outbound;
pub mod owners;

pub use clock::{Clock, SystemClock, Uptime};
pub use host_exec::{HostCommand, HostExec, HostExecError, HostOutput};
pub use ids::{IdSource, SystemIds};
pub use outbound::{ChosenBy, Outbound, OutboundError, OutboundErrorKind, OutboundReply, OutboundRequest, origin};
pub use owners::Owners;
