//! One behaviour suite for every extension: trials generated from declared capabilities.
//!
//! An extension's own test is one file:
//!
//! ```text
//! let report = sandboxer_conformance::run_all(&subject, None).await;
//! report.into_result()
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`subject`] | what is tried: an extension, a profile it can make, a clock |
//! | [`probe`] | the commands trials run inside, as a closed list a fake can recognise |
//! | [`mod@bench`] | what a trial works with; proves after each trial that nothing is left |
//! | [`trial`] | what a trial is |
//! | [`mod@trials`] | the trials, by topic |
//! | [`run`] | choosing and running them |
//! | [`report`] | what came of them |

pub mod bench;
pub mod probe;
pub mod report;
pub mod run;
pub mod subject;
pub mod trial;
pub mod trials;

pub use probe::ProbeCommand;
pub use report::Report;
pub use run::{run_all, trials};
pub use subject::Subject;
pub use trial::{Outcome, Stop, Trial};
