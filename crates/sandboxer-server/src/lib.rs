//! The HTTP API: one server over one engine. What is true, and what may be done, the engine decides; here is how it is asked.
//!
//! | module | holds |
//! |---|---|
//! | [`serve`] | a server, from its addresses to its end |
//! | [`listen`], `socket`, `tls`, `connection` | addresses, TLS, connections and their limits |
//! | [`route`], [`routes`], `router` | the table of operations, and how axum serves it |
//! | `dispatch` | what happens to each request: caller, rights, limits, body, key, work, audit |
//! | `call`, `query`, `body`, `version`, `answer` | what an operation is given, and what it answers |
//! | `idempotent`, `driver`, `limit`, `audit`, `metrics`, [`log`] | doing it once, carrying it out, bounding, recording, counting and telling |
//! | `session`, `files`, `upload`, `follow` | what is streamed: commands, files of workspaces, directories to start from, events |
//! | [`openapi`], `docs` | the API document and the page that shows it, made from the table |

mod answer;
mod audit;
mod body;
mod call;
mod connection;
mod descriptors;
mod dispatch;
mod docs;
mod driver;
mod files;
mod follow;
mod guests;
mod idempotent;
mod limit;
pub mod listen;
pub mod log;
mod metrics;
pub mod openapi;
mod query;
pub mod route;
mod router;
pub mod routes;
pub mod serve;
mod session;
mod socket;
mod state;
mod tls;
mod turns;
mod upload;
mod version;
mod wait;

pub use state::MetricsAre;
