//! Directories that callers upload to be inputs of sandboxes: a tar stream comes in and is unpacked entry by entry, beneath one
//! directory and nowhere else. What is refused or breaks off leaves nothing.
//!
//! | file | does |
//! |---|---|
//! | `receive` | the body of a request, as an archive that is being unpacked |
//! | `stream` | that body, as something a thread reads |
//! | `unpack` | every entry in its turn, within the limits |
//! | `entry` | what one entry of an archive says it is |
//! | `pax` | records that say more about the next entry |
//! | `path` | which paths are taken |
//! | `tree` | writing beneath a directory, through no link |
//! | `links` | where links lead |
//! | `refusal` | why an archive is not taken |
//! | `keep` | uploads on disk: whose they are, how long they stay |
//! | `sweep` | removing those that nobody needs |

mod entry;
pub(crate) mod keep;
mod links;
mod path;
mod pax;
pub(crate) mod receive;
mod refusal;
mod stream;
pub(crate) mod sweep;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
