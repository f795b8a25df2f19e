//! What the programs that try the walls of real sandboxes have in common.
//!
//! One program plays every part: the test that a person starts, the caller of the runtime (as root or as a user that
//! nobody has), the keeper, and the payload inside.

mod docs;
mod host;
mod inside;
mod lifecycle;
mod outcome;
mod raw;
mod table;
mod trial;
mod world;

pub(crate) use trial::main;
