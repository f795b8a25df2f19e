//! The deadline holds when nobody of ours is there to keep it.

use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::{Ended, ErrorKind, ProvisionRequest, Ready};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::duration::Span;

use crate::bench::{Bench, failed};
use crate::ensure;
use crate::trial::{Outcome, Stop, trials};

trials! {
    deadline_is_told ["ttl_guard"],
    gone_after_the_deadline ["ttl_guard"],
    gone_after_the_deadline_before_ready ["ttl_guard"],
    alive_until_the_deadline ["ttl_guard"],
    later_deadline_keeps_it ["ttl_guard"],
    set_deadline_of_the_unknown_is_not_found ["ttl_guard"],
    set_deadline_is_unsupported ["!ttl_guard"],
}

/// How late a guard may be.
const GRACE: Duration = Duration::from_secs(10);
/// The time to live, in seconds, of what must be ready and looked at before it is over, on a machine that stands still now and
/// then.
const SHORT: u64 = 8;
/// How often a trial is made at most whose time was over before it was looked at.
const TRIES: u32 = 3;

fn grace(bench: &Bench<'_>) -> Duration {
    GRACE + 2 * bench.subject.pace
}

/// Whole seconds that this many calls may take.
fn calls(bench: &Bench<'_>, number: u64) -> u64 {
    bench.subject.pace.as_secs() * number
}

fn short_lived(bench: &Bench<'_>, seconds: u64) -> ProvisionRequest {
    let mut request = bench.request();
    if let Some(ttl) = Span::from_secs(seconds) {
        request.ttl = ttl;
    }
    request
}

fn deadline(ready: &Ready) -> Result<Timestamp, Stop> {
    ready
        .guard_deadline
        .ok_or_else(|| Stop::Failed("the guard does not say which deadline it keeps".to_owned()))
}

fn plus(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(time)
}

async fn deadline_is_told(bench: &Bench<'_>) -> Outcome {
    let request = short_lived(bench, 600);
    let before = bench.subject.clock.now();
    let (_, ready) = bench.up(&request).await?;
    let after = bench.subject.clock.now();
    let told = deadline(&ready)?;
    let (earliest, latest) = (plus(before, 600 - 1), plus(after, 600 + 1));
    ensure!(
        (earliest..=latest).contains(&told),
        "a time to live of 600 s counted from ready should end between {earliest} and {latest}; the guard says {told}"
    );
    Ok(())
}

async fn gone_after_the_deadline(bench: &Bench<'_>) -> Outcome {
    let request = short_lived(bench, SHORT);
    let (target, ready) = bench.up(&request).await?;
    let deadline = deadline(&ready)?;
    let clock = &bench.subject.clock;
    // Nobody looks until the time has passed: the guard must not live off being asked.
    while clock.now() <= deadline {
        clock.sleep(Duration::from_millis(100)).await;
    }
    let grace = grace(bench);
    let ended = bench
        .until(grace, async || bench.observe(&target).await.usable != Some(true))
        .await;
    ensure!(ended, "{grace:?} after its deadline it is still usable");
    // What is being removed at this moment has not ended yet.
    let told = bench
        .until(grace, async || {
            bench.observe(&target).await.ended == Some(Ended::Deadline)
        })
        .await;
    let seen = bench.observe(&target).await;
    ensure!(told, "the deadline ended it, and observe says {seen:?}");
    ensure!(
        seen.presence != Presence::Unknown,
        "after its deadline observe cannot tell: {seen:?}"
    );
    bench.down(2, &target).await
}

async fn gone_after_the_deadline_before_ready(bench: &Bench<'_>) -> Outcome {
    let request = short_lived(bench, 2);
    let handle = bench.provision(1, &request).await.map_err(failed("provision"))?;
    let target = bench.target(&request, handle);
    let ended = bench
        .until(GRACE + grace(bench), async || {
            bench.observe(&target).await.usable != Some(true)
        })
        .await;
    ensure!(
        ended,
        "nobody waited for it to be ready, and it lives on: {:?}",
        bench.observe(&target).await
    );
    bench.down(2, &target).await
}

async fn alive_until_the_deadline(bench: &Bench<'_>) -> Outcome {
    let (target, ready) = bench.up(&short_lived(bench, SHORT)).await?;
    let deadline = deadline(&ready)?;
    let clock = &bench.subject.clock;
    loop {
        let seen = bench.observe(&target).await;
        if clock.now() >= plus(deadline, -1) {
            return Ok(());
        }
        ensure!(
            seen.usable == Some(true),
            "more than a second before its deadline observe says {seen:?}"
        );
        clock.sleep(Duration::from_millis(100)).await;
    }
}

async fn later_deadline_keeps_it(bench: &Bench<'_>) -> Outcome {
    for _ in 0..TRIES {
        if outlives_its_first_deadline(bench).await? == Looked::InTime {
            return Ok(());
        }
    }
    Err(Stop::Failed(format!(
        "its time was over before it was looked at, {TRIES} times"
    )))
}

/// Whether a look came before the time was over.
#[derive(PartialEq, Eq)]
enum Looked {
    InTime,
    TooLate,
}

async fn outlives_its_first_deadline(bench: &Bench<'_>) -> Result<Looked, Stop> {
    let (target, ready) = bench.up(&short_lived(bench, SHORT + calls(bench, 1))).await?;
    let first = deadline(&ready)?;
    let later = plus(first, 12 + i64::try_from(calls(bench, 2)).unwrap_or(0));
    let clock = &bench.subject.clock;
    let set = bench.extension().set_deadline(&bench.call(1), &target, later).await;
    if set.is_err() && clock.now() >= first {
        bench.down(2, &target).await?;
        return Ok(Looked::TooLate);
    }
    set.map_err(failed("set_deadline"))?;
    // Safe to repeat.
    bench
        .extension()
        .set_deadline(&bench.call(1), &target, later)
        .await
        .map_err(failed("second set_deadline"))?;
    let told = bench
        .wait_ready(1, &target)
        .await
        .map_err(failed("wait_ready"))?
        .guard_deadline;
    ensure!(
        told.is_some_and(|told| told >= plus(later, -1)),
        "the guard was set to {later} and tells {told:?}"
    );
    while clock.now() < plus(first, 2) {
        clock.sleep(Duration::from_millis(100)).await;
    }
    let usable = bench.expect_usable(&target).await;
    if clock.now() > later {
        bench.down(2, &target).await?;
        return Ok(Looked::TooLate);
    }
    usable?;
    while clock.now() <= later {
        clock.sleep(Duration::from_millis(100)).await;
    }
    let grace = grace(bench);
    let ended = bench
        .until(grace, async || bench.observe(&target).await.usable != Some(true))
        .await;
    ensure!(ended, "{grace:?} after its later deadline it lives on");
    bench.down(2, &target).await?;
    Ok(Looked::InTime)
}

async fn set_deadline_of_the_unknown_is_not_found(bench: &Bench<'_>) -> Outcome {
    let target = bench.bare_target(&bench.request());
    match bench
        .extension()
        .set_deadline(&bench.call(1), &target, plus(bench.subject.clock.now(), 600))
        .await
    {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        other => Err(Stop::Failed(format!(
            "it should be not found, but the answer is {other:?}"
        ))),
    }
}

async fn set_deadline_is_unsupported(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    match bench
        .extension()
        .set_deadline(&bench.call(1), &target, plus(bench.subject.clock.now(), 600))
        .await
    {
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(()),
        other => Err(Stop::Failed(format!("it has no guard, but the answer is {other:?}"))),
    }
}
