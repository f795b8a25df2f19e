//! What an answer of the program on the host proves. One that breaks off before its last word proves nothing.

use jiff::Timestamp;
use sandboxer_extension::{Ended, ErrorKind, ExtensionError, Observation, Removal};
use sandboxer_model::cleanup::{CleanupReport, Presence};

use crate::machine::Machine;
use crate::reply::Reply;

/// An answer without its last word: the program was ended, so what it did is unknown.
pub fn cut_short(what: &str, machine: &Machine) -> ExtensionError {
    ExtensionError::new(
        ErrorKind::Timeout,
        format!("{what} on {} ended before it was finished", machine.address()),
    )
    .hint("it is tried again; see `sandboxer hosts probe` if it stays so")
}

/// Nothing could be told of a sandbox, and why.
pub fn unknown(detail: String) -> Observation {
    Observation {
        presence: Presence::Unknown,
        usable: None,
        ended: None,
        busy: None,
        detail,
    }
}

/// How the sandbox ended by itself; `None`: it did not, or in a way that is not known here.
pub fn ended(reply: &Reply) -> Option<Ended> {
    (reply.ended.as_deref() == Some("deadline")).then_some(Ended::Deadline)
}

/// What a removal came to. What could be reached and not removed is in the receipt.
///
/// # Errors
/// `Timeout` for a receipt that breaks off and names nothing that is left: it proves nothing.
pub fn removal(reply: Reply, machine: &Machine) -> Result<Removal, ExtensionError> {
    if !reply.complete && reply.items.iter().all(|item| item.now == Presence::Absent) {
        return Err(cut_short("removing", machine));
    }
    Ok(Removal {
        ended: ended(&reply),
        report: CleanupReport::new(reply.items),
        usage: None,
    })
}

/// Whole seconds until a deadline, a begun one counted; 0 when it has passed. The host counts by its own clock, so it is
/// told how long, not until when.
pub fn seconds_until(deadline: Timestamp, now: Timestamp) -> i64 {
    let left = deadline.duration_since(now);
    left.as_secs().max(0) + i64::from(left.subsec_nanos() > 0)
}

/// Whether the host keeps the deadline it was told.
///
/// # Errors
/// `Timeout` when its guard did not say how long it waits.
pub fn deadline_moved(reply: &Reply, machine: &Machine) -> Result<(), ExtensionError> {
    match reply.guard {
        Some(_) => Ok(()),
        None => Err(cut_short("moving the deadline", machine)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use sandboxer_model::host::HostAddress;

    use super::*;
    use crate::machine::SshSettings;

    fn here() -> Machine {
        let settings = SshSettings {
            config_file: None,
            user: None,
            key: None,
            cert_command: None,
            connect_timeout: Duration::from_secs(1),
            state_dir: PathBuf::new(),
        };
        Machine::at(&HostAddress::Local, &Arc::new(settings))
    }

    #[test]
    fn a_receipt_that_breaks_off_proves_nothing() {
        for text in [
            "",
            "ended deadline",
            "item container - false absent\nitem network a true absent",
        ] {
            let failure = removal(Reply::of(text), &here()).expect_err(text);
            assert_eq!(failure.kind, ErrorKind::Timeout, "{text}");
        }
    }

    #[test]
    fn a_receipt_that_names_what_is_left_counts_though_it_broke_off() {
        for left in ["present", "unknown", "what"] {
            let text = format!("item container - false absent\nitem network a true {left} in use");
            let removal = removal(Reply::of(&text), &here()).expect("a receipt");
            assert_ne!(removal.report.verified, Presence::Absent, "{left}");
            assert_eq!(removal.report.items.len(), 2);
        }
    }

    #[test]
    fn a_whole_receipt_says_how_it_ended() {
        let removal = |text| removal(Reply::of(text), &here()).expect("a receipt");
        let by_us = removal("item directory /x true absent\nremoved removed");
        assert_eq!((by_us.ended, by_us.report.verified), (None, Presence::Absent));
        let by_guard = removal("ended deadline\nitem directory /x false absent\nremoved removed");
        assert_eq!(by_guard.ended, Some(Ended::Deadline));
        assert_eq!(removal("ended somehow\nremoved removed").ended, None);
    }

    #[test]
    fn begun_seconds_count_and_passed_ones_do_not() {
        let now = Timestamp::from_second(1_000).expect("a time");
        let until = |ms| seconds_until(Timestamp::from_millisecond(ms).expect("a time"), now);
        assert_eq!([until(1_002_000), until(1_002_001), until(1_000_000)], [2, 3, 0]);
        assert_eq!([until(999_999), until(998_500), until(1_000)], [0, 0, 0]);
    }

    #[test]
    fn a_deadline_is_moved_when_the_guard_says_so() {
        assert!(deadline_moved(&Reply::of("guard 60"), &here()).is_ok());
        for text in ["", "guard alive", "guard soon"] {
            let failure = deadline_moved(&Reply::of(text), &here()).expect_err(text);
            assert_eq!(failure.kind, ErrorKind::Timeout, "{text}");
        }
    }
}
