//! What an answer means, and how long to wait after one that was none.

use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::port::{OutboundError, OutboundErrorKind, OutboundReply};
use sandboxer_model::sink::SinkKind;

/// Tries after which an event that is refused is given up; any other only after [`PATIENCE`], too.
pub(super) const MOST_TRIES: u32 = 12;
/// For how long an event that nobody takes is tried at least.
pub(super) const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);
/// The longest pause that a receiver is granted.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);
/// The first pause of an event and of a sink.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two tries of one event.
pub(super) const LONGEST_OF_EVENT: Duration = Duration::from_secs(3600);
/// The longest pause of a sink: how late its return is noticed.
pub(super) const LONGEST_OF_SINK: Duration = Duration::from_secs(300);

/// What came of sending one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The other side has it.
    Taken,
    /// The other side will not have this one.
    Refused(String),
    /// The other side failed; with another event it may not.
    Failed(String),
    /// The other side is not there, or has too much to do, perhaps until then.
    Away(String, Option<Duration>),
    /// The time that was left was too short to tell.
    Cut,
    /// The other side wants nothing any more.
    Gone(String),
}

/// What an answer means.
pub(super) fn of(
    kind: SinkKind,
    outcome: &Result<OutboundReply, OutboundError>,
    was_short: bool,
    now: Timestamp,
) -> Verdict {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(error) if error.kind == OutboundErrorKind::TimedOut && was_short => return Verdict::Cut,
        Err(error) if error.kind == OutboundErrorKind::Lost => return Verdict::Failed(error.why.clone()),
        Err(error) => return Verdict::Away(error.why.clone(), None),
    };
    let status = reply.status;
    let wish = reply.header("retry-after").and_then(|text| retry_after(text, now));
    let said = |what: &str| format!("it {what} with HTTP {status}");
    match status {
        200..300 => Verdict::Taken,
        // Stored before under the same key.
        409 if kind == SinkKind::StateHub => Verdict::Taken,
        410 if kind == SinkKind::Webhook => Verdict::Gone("it answered 410 Gone".to_owned()),
        429 => Verdict::Away(said("asked for less"), wish),
        503 if wish.is_some() => Verdict::Away(said("asked for a pause"), wish),
        500.. | 408 | 425 => Verdict::Failed(said("failed")),
        300..400 => Verdict::Refused(said("answered with a redirect, which is not followed,")),
        _ => Verdict::Refused(said("refused the event")),
    }
}

/// Seconds, or a date: how long from now.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wish = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).ok()?
        }
    };
    Some(wish.min(LONGEST_WISH))
}

/// The pause after this many failures: doubling, up to the longest; half of it is left to chance.
pub(super) fn pause(failures: u32, longest: Duration, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
    let whole = FIRST
        .saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(16)))
        .min(longest);
    whole / 2 + jitter(whole / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Result<OutboundReply, OutboundError> {
        Ok(OutboundReply {
            status,
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            body: Vec::new(),
        })
    }

    #[test]
    fn answers_mean_what_the_table_says() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let name = |kind, status, headers: &[_]| match of(kind, &answer(status, headers), false, now) {
            Verdict::Taken => "taken".to_owned(),
            Verdict::Refused(_) => "refused".to_owned(),
            Verdict::Failed(_) => "failed".to_owned(),
            Verdict::Away(_, wish) => format!("away {}", wish.map_or(-1, |wish| wish.as_secs() as i64)),
            Verdict::Cut => "cut".to_owned(),
            Verdict::Gone(_) => "gone".to_owned(),
        };
        type Row = (u16, &'static [(&'static str, &'static str)], &'static str, &'static str);
        let table: &[Row] = &[
            (200, &[], "taken", "taken"),
            (201, &[], "taken", "taken"),
            (202, &[], "taken", "taken"),
            (204, &[], "taken", "taken"),
            (301, &[("location", "http://169.254.169.254/")], "refused", "refused"),
            (307, &[], "refused", "refused"),
            (400, &[], "refused", "refused"),
            (401, &[], "refused", "refused"),
            (404, &[], "refused", "refused"),
            (408, &[], "failed", "failed"),
            (409, &[], "taken", "refused"),
            (410, &[], "refused", "gone"),
            (425, &[], "failed", "failed"),
            (429, &[], "away -1", "away -1"),
            (429, &[("retry-after", "120")], "away 120", "away 120"),
            (429, &[("retry-after", " 7 ")], "away 7", "away 7"),
            (
                429,
                &[("retry-after", "Fri, 15 Jan 2027 08:01:00 GMT")],
                "away 60",
                "away 60",
            ),
            (
                429,
                &[("retry-after", "Fri, 15 Jan 2027 07:00:00 GMT")],
                "away -1",
                "away -1",
            ),
            (429, &[("retry-after", "soon")], "away -1", "away -1"),
            (429, &[("retry-after", "99999999999")], "away 86400", "away 86400"),
            (429, &[("retry-after", "-1")], "away -1", "away -1"),
            (500, &[], "failed", "failed"),
            (502, &[], "failed", "failed"),
            (503, &[], "failed", "failed"),
            (503, &[("retry-after", "9")], "away 9", "away 9"),
            (599, &[], "failed", "failed"),
        ];
        for (status, headers, hub, webhook) in table {
            assert_eq!(
                name(SinkKind::StateHub, *status, headers),
                *hub,
                "hub {status} {headers:?}"
            );
            assert_eq!(
                name(SinkKind::Webhook, *status, headers),
                *webhook,
                "webhook {status} {headers:?}"
            );
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let no_luck = |_| Duration::ZERO;
        let all_luck = |most| most;
        assert_eq!(pause(1, LONGEST_OF_SINK, no_luck), Duration::from_millis(500));
        assert_eq!(pause(1, LONGEST_OF_SINK, all_luck), Duration::from_secs(1));
        assert_eq!(pause(5, LONGEST_OF_SINK, all_luck), Duration::from_secs(16));
        assert_eq!(pause(u32::MAX, LONGEST_OF_SINK, all_luck), LONGEST_OF_SINK);
        assert_eq!(pause(0, LONGEST_OF_SINK, all_luck), Duration::from_secs(1));
    }
}
