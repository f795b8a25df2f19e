//! The verbs about the whole: `serve`, `status`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Run everything that is due once, then leave
    #[arg(long, conflicts_with_all = ["listen", "tls_cert", "tls_key", "behind_proxy", "open_metrics"])]
    pub(crate) once: bool,
    /// Answer the API at this address too: `127.0.0.1:8600`, `[::1]:8600` or `unix:/path`; may be given again
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,
    /// Chain of certificates for TLS, PEM, the server's own first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// A proxy in front has TLS and says where requests come from (`X-Forwarded-For`)
    #[arg(long, conflicts_with = "tls_cert")]
    pub(crate) behind_proxy: bool,
    /// Requests a second for each key; twice as many at once
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) requests_per_second: NonZeroU32,
    /// Connections at most, half of them from one address
    #[arg(long, value_name = "N", default_value = "4096", value_parser = clap::value_parser!(u32).range(2..=65536))]
    pub(crate) connections: u32,
    /// Show `/metrics` to anybody who reaches the server
    #[arg(long)]
    pub(crate) open_metrics: bool,
}

// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Fail when something is overdue, stuck or broke off
    #[arg(long)]
    pub(crate) check: bool,
}

/// Options of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Do what is safe to do about what is not as it should be, and say what came of it
    #[arg(long)]
    pub(crate) fix: bool,
}
