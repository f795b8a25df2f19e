//! Reading documents people write (profiles, manifests): hostile until read, every problem located and explained.
//!
//! `text → tree with places → checked against the schema of the type → the type → the rules of the type`. Documents
//! inside the binary are checked by tests and skip the check at run time.
//!
//! | module | holds |
//! |---|---|
//! | `yaml` | the bounded reader: size, depth, nodes after alias expansion; no tags, no duplicates, one document |
//! | `scalar` | what an unquoted word means: text, number, true, false or nothing |
//! | `tree` | what it gives: values that know their line and column |
//! | `check` | a tree against a JSON schema: all unknown keys, wrong types and missing keys at once |
//! | `diagnostic` | one problem, and how it is shown |
//! | `profile` | the rules of a profile that a schema cannot say |
//! | `egress` | one entry of an allow-list |
//! | `suggest` | the nearest valid word |

mod check;
mod diagnostic;
mod egress;
mod profile;
mod read;
mod scalar;
mod suggest;
mod tree;
mod yaml;

pub use diagnostic::Diagnostic;
pub use egress::{Destination, parse_destination};
pub use profile::{check_input_value, is_extension_id, is_profile_id, parse_profile};
pub use read::{Findings, decode, read, read_checked};
pub use suggest::nearest;
pub use tree::{Entry, Node, Place, Value};
pub use yaml::{MAX_BYTES, MAX_DEPTH, MAX_NODES, MergeKeys, parse, parse_with};
