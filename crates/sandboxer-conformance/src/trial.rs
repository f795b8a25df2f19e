//! What a trial is.

use std::future::Future;
use std::pin::Pin;

use crate::bench::Bench;

/// One thing an extension must do, tried for real.
#[derive(Clone, Copy)]
pub struct Trial {
    /// Its name: what must hold.
    pub name: &'static str,
    /// Capabilities it needs; it is not generated for extensions that lack one. `!name`: needs its absence.
    pub needs: &'static [&'static str],
    /// Tries it.
    pub run: for<'a> fn(&'a Bench<'a>) -> Running<'a>,
}

/// A trial under way. Runs on the thread that blocks on it.
pub type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// What a trial came to: fine, or why not.
pub type Outcome = Result<(), Stop>;

/// Why a trial stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The extension does not do what it must.
    Failed(String),
    /// It could not be tried here. Never counted as passed.
    Skipped(String),
}

/// Stops a trial unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::trial::Stop::Failed(format!($($message)+)));
        }
    };
}

/// The table of one topic: names, needs and functions.
macro_rules! trials {
    ($($function:ident [$($need:literal),*]),+ $(,)?) => {
        /// The trials of this topic.
        pub const TRIALS: &[$crate::trial::Trial] = &[
            $($crate::trial::Trial {
                name: stringify!($function),
                needs: &[$($need),*],
                run: |bench| Box::pin($function(bench)),
            }),+
        ];
    };
}
pub(crate) use trials;
