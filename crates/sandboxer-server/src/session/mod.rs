//! Commands inside, while a client waits for them: their streams on the IO driver of the runtime, and their end when the client
//! goes away.
//!
//! | file | does |
//! |---|---|
//! | `streams` | pipes and terminals whose near ends wait for nobody |
//! | `leash` | a command that ends when nobody wants it any more |
//! | `gathered` | output that is kept up to a cap |
//! | `unary` | a command run to its end, with all it printed |
//! | `request` | what callers may ask to run |
//! | `attached` | a command over a WebSocket |
//! | `hear`, `tell` | its two directions |
//! | `pulse` | whether the other side of a connection is still there |

pub(crate) mod attached;
pub(crate) mod gathered;
mod hear;
pub(crate) mod leash;
mod pulse;
pub(crate) mod request;
pub(crate) mod streams;
mod tell;
pub(crate) mod unary;
