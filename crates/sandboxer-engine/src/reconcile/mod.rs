//! Reconcilers: they take no input, compare what is stored with what is true, and may be run by anybody at any time.
//!
//! | file | does |
//! |---|---|
//! | `recover` | takes over what dead processes left; removes what is past its time |
//! | `deliver` | sends events to where they are wanted |
//! | `observe` | compares sandboxes with their backends, where a backend answers locally |

mod deliver;
mod observe;
mod recover;

pub(crate) use deliver::REQUEST_TIMEOUT;
