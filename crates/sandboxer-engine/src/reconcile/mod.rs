//! Reconcilers: they take no input, compare what is stored with what is true, and may be run by anybody at any time.
//!
//! | file | does |
//! |---|---|
//! | `table` | every reconciler: its name, its period, what it does |
//! | `turn` | whose turn it is: one process at a time, by a lease in the store; and the report of each run |
//! | `recover_operations` | takes over what dead processes left |
//! | `expire_ttl` | removes what is past its time |
//! | `idle_reap` | removes what nobody used for as long as its profile says |
//! | `observe_backends` | compares every usable sandbox with its backend |
//! | `reap_orphans` | removes leftovers that outlasted their quarantine |
//! | `deliver_events` | sends events to where they are wanted |
//! | `probe_hosts` | looks how registered hosts are |
//! | `truth` | what a sandbox is, given what is stored and what was seen |
//! | `compare` | the same for readers: records compared with backends that answer locally |
//! | `recover` | the first two for a command: bounded, one indexed query when there is nothing to do |
//! | `status` | how the whole stands |

mod compare;
mod deliver;
mod expire_ttl;
mod idle_reap;
mod observe_backends;
mod probe_hosts;
mod reap_orphans;
mod recover;
mod recover_operations;
mod status;
mod table;
mod truth;
mod turn;

pub(crate) use compare::lost_words;
pub(crate) use deliver::REQUEST_TIMEOUT;
pub(crate) use expire_ttl::expire;
pub(crate) use observe_backends::look;
pub use table::{Effort, Reconciler, reconcilers};
pub use truth::table as truth_table;
pub(crate) use truth::{Evidence, HostFact, Verdict, decide};
pub(crate) use turn::all_at_once;
