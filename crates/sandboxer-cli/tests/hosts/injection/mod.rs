//! Whatever is put where a name was expected is one argument, or data, or refused; it is never a command, on this
//! machine, on the host or in a container.
//!
//! | module | holds |
//! |---|---|
//! | `canary` | the file that a payload makes if somebody obeys it, and the look for it in all three places |
//! | `tally` | what came of each case, and what must never come of any |
//! | `options` | every option, id and variable, each with every payload |
//! | `inside` | commands, variables and folders of `exec` |
//! | `tree` | names of files, values and names in Compose files, labels of real sandboxes |
//! | `way` | what names a host and says how it is reached, with real connections |

mod canary;
mod inside;
mod options;
mod tally;
mod tree;
mod way;
