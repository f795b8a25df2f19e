//! What each verb does: one file per verb. A verb returns the exit code of success; errors carry their own.

pub(crate) mod completions;
pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod docs;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod expire;
pub(crate) mod explain;
pub(crate) mod extend_ttl;
pub(crate) mod extensions;
pub(crate) mod get;
pub(crate) mod hosts;
pub(crate) mod inspect;
pub(crate) mod label;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod operate;
pub(crate) mod profiles;
pub(crate) mod reachability;
pub(crate) mod reap_stale;
pub(crate) mod recipe;
pub(crate) mod recreate;
pub(crate) mod run;
pub(crate) mod wait;
