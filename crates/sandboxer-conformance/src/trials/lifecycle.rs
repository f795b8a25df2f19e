//! From nothing to nothing, once and again.

use std::time::Duration;

use sandboxer_extension::{ErrorKind, Inventory, Ready};
use sandboxer_model::cleanup::Presence;

use crate::bench::{Bench, failed};
use crate::ensure;
use crate::trial::{Outcome, Stop, trials};

trials! {
    whole_life [],
    validate_touches_nothing [],
    provision_twice_is_once [],
    provision_twice_at_once_is_once [],
    wait_ready_twice_agrees [],
    wait_ready_needs_no_handle [],
    wait_ready_of_the_unknown_is_not_found [],
    observe_of_the_unknown_is_absent [],
    teardown_twice_is_success [],
    teardown_of_the_unknown_is_success [],
    teardown_needs_no_handle [],
    teardown_before_ready [],
    teardown_beats_a_running_provision [],
    abandoned_provision_can_be_torn_down [],
    made_again_under_the_same_id [],
    two_sandboxes_are_two [],
    inventory_labels_what_is_ours [],
    inventory_tells_owners_apart [],
    inventory_is_complete ["inventory_complete"],
}

async fn whole_life(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    bench.extension().validate(&request).await.map_err(failed("validate"))?;
    bench.expect_absent(&bench.bare_target(&request)).await?;
    let (target, _) = bench.up(&request).await?;
    bench.expect_usable(&target).await?;
    bench.expect_usable(&bench.bare_target(&request)).await?;
    bench.down(2, &target).await
}

async fn validate_touches_nothing(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let before = bench.ours().await;
    bench.extension().validate(&request).await.map_err(failed("validate"))?;
    let after = bench.ours().await;
    ensure!(
        before == after,
        "validate changed the inventory from {before:?} to {after:?}"
    );
    bench.expect_absent(&bench.bare_target(&request)).await
}

async fn provision_twice_is_once(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let first = bench.provision(1, &request).await.map_err(failed("provision"))?;
    let items = bench.items_of(&request.sandbox_id).await;
    let again = bench.provision(1, &request).await.map_err(failed("second provision"))?;
    ensure!(
        first == again,
        "two provisions of one id gave two handles: {first:?} and {again:?}"
    );
    let now = bench.items_of(&request.sandbox_id).await;
    ensure!(
        items.len() == now.len(),
        "a second provision changed {items:?} to {now:?}"
    );
    let target = bench.target(&request, again);
    bench.wait_ready(1, &target).await.map_err(failed("wait_ready"))?;
    let late = bench
        .provision(1, &request)
        .await
        .map_err(failed("provision of a ready sandbox"))?;
    ensure!(
        first == late,
        "a provision of a ready sandbox gave another handle: {first:?} and {late:?}"
    );
    bench.expect_usable(&target).await?;
    bench.down(2, &target).await
}

async fn provision_twice_at_once_is_once(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let (one, two) = tokio::join!(bench.provision(1, &request), bench.provision(1, &request));
    // One may be turned away for now, but not both.
    let handle = match (one, two) {
        (Ok(one), Ok(two)) if one != two => {
            return Err(Stop::Failed(format!(
                "two provisions at once gave two handles: {one:?} and {two:?}"
            )));
        }
        (Ok(handle), _) | (_, Ok(handle)) => handle,
        (Err(error), Err(_)) => return Err(failed("both of two provisions at once")(error)),
    };
    let target = bench.target(&request, handle);
    bench.wait_ready(1, &target).await.map_err(failed("wait_ready"))?;
    bench.expect_usable(&target).await?;
    bench.down(2, &target).await
}

async fn wait_ready_twice_agrees(bench: &Bench<'_>) -> Outcome {
    let (target, first) = bench.up(&bench.request()).await?;
    // Long enough for a deadline that is counted anew to differ. Over a line the guard answers in whole seconds.
    let (waited, wobbles_by) = if bench.extension().capabilities().needs_host {
        (3000, 2000)
    } else {
        (50, 25)
    };
    bench.subject.clock.sleep(Duration::from_millis(waited)).await;
    let again = bench
        .wait_ready(1, &target)
        .await
        .map_err(failed("second wait_ready"))?;
    ensure!(
        first.reachability == again.reachability,
        "reachability changed between two answers"
    );
    // A guard keeps time by a stopwatch; what the calendar says of that may wobble, by less than was waited.
    let wobble = match (first.guard_deadline, again.guard_deadline) {
        (Some(first), Some(again)) => again.duration_since(first).abs().as_millis() < wobbles_by,
        (first, again) => first == again,
    };
    ensure!(
        wobble,
        "a second wait_ready moved the deadline from {:?} to {:?}",
        first.guard_deadline,
        again.guard_deadline
    );
    // What is tried from inside depends on what is around at the time; what comes of it does not.
    let walls = |ready: &Ready| {
        let report = ready.isolation.clone();
        (report.level, report.mechanisms, report.limits)
    };
    ensure!(
        walls(&first) == walls(&again),
        "the isolation report changed between two answers"
    );
    for tried in &first.isolation.attestations {
        let mut same = again
            .isolation
            .attestations
            .iter()
            .filter(|one| one.probe == tried.probe);
        ensure!(
            same.all(|one| one == tried),
            "what came of `{}` changed between two answers",
            tried.probe
        );
    }
    Ok(())
}

async fn wait_ready_needs_no_handle(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    bench.provision(1, &request).await.map_err(failed("provision"))?;
    let target = bench.bare_target(&request);
    bench
        .wait_ready(1, &target)
        .await
        .map_err(failed("wait_ready without a handle"))?;
    bench.expect_usable(&target).await
}

async fn wait_ready_of_the_unknown_is_not_found(bench: &Bench<'_>) -> Outcome {
    let target = bench.bare_target(&bench.request());
    match bench.wait_ready(1, &target).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        other => Err(Stop::Failed(format!(
            "it should be not found, but the answer is {other:?}"
        ))),
    }
}

async fn observe_of_the_unknown_is_absent(bench: &Bench<'_>) -> Outcome {
    let seen = bench.observe(&bench.bare_target(&bench.request())).await;
    ensure!(
        seen.presence == Presence::Absent,
        "it never was, but observe says {seen:?}"
    );
    ensure!(seen.usable != Some(true), "it never was, but observe says {seen:?}");
    Ok(())
}

async fn teardown_twice_is_success(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    bench.down(2, &target).await?;
    bench.down(2, &target).await?;
    bench.down(3, &target).await
}

async fn teardown_of_the_unknown_is_success(bench: &Bench<'_>) -> Outcome {
    bench.down(1, &bench.bare_target(&bench.request())).await
}

async fn teardown_needs_no_handle(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    bench.up(&request).await?;
    bench.down(2, &bench.bare_target(&request)).await
}

async fn teardown_before_ready(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let handle = bench.provision(1, &request).await.map_err(failed("provision"))?;
    bench.down(2, &bench.target(&request, handle)).await
}

/// Head starts: so many turns of the scheduler, then so much time.
const HEAD_STARTS: [(usize, u64); 9] = [(0, 0), (1, 0), (2, 0), (4, 0), (16, 0), (64, 0), (0, 1), (0, 3), (0, 9)];

async fn head_start(bench: &Bench<'_>, (turns, milliseconds): (usize, u64)) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    if milliseconds > 0 {
        bench.subject.clock.sleep(Duration::from_millis(milliseconds)).await;
    }
}

async fn teardown_beats_a_running_provision(bench: &Bench<'_>) -> Outcome {
    for start in HEAD_STARTS {
        let request = bench.request();
        let target = bench.bare_target(&request);
        let teardown = async {
            head_start(bench, start).await;
            bench.teardown(2, &target).await
        };
        let (made, removed) = tokio::join!(biased; bench.provision(1, &request), teardown);
        let report = removed.map_err(failed("teardown"))?;
        ensure!(
            report.verified == Presence::Absent,
            "teardown left {:?}",
            report.leftovers()
        );
        bench.expect_absent(&target).await.map_err(|stop| match stop {
            Stop::Failed(why) => Stop::Failed(format!("provision answered {made:?}; {why}")),
            skipped => skipped,
        })?;
    }
    Ok(())
}

async fn abandoned_provision_can_be_torn_down(bench: &Bench<'_>) -> Outcome {
    // The caller goes away at as many places of the work.
    for start in HEAD_STARTS {
        let request = bench.request();
        tokio::select! {
            biased;
            _ = bench.provision(1, &request) => {}
            () = head_start(bench, start) => {}
        }
        bench.down(2, &bench.bare_target(&request)).await?;
    }
    Ok(())
}

async fn made_again_under_the_same_id(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let (target, _) = bench.up(&request).await?;
    bench.down(2, &target).await?;
    let handle = bench
        .provision(3, &request)
        .await
        .map_err(failed("provision after a teardown"))?;
    let target = bench.target(&request, handle);
    bench
        .wait_ready(3, &target)
        .await
        .map_err(failed("wait_ready after a teardown"))?;
    bench.expect_usable(&target).await?;
    bench.down(4, &target).await
}

async fn two_sandboxes_are_two(bench: &Bench<'_>) -> Outcome {
    let (one, _) = bench.up(&bench.request()).await?;
    let (two, _) = bench.up(&bench.request()).await?;
    ensure!(
        one.handle != two.handle,
        "two sandboxes have one handle: {:?}",
        one.handle
    );
    bench.down(2, &one).await?;
    bench.expect_usable(&two).await?;
    bench.down(2, &two).await
}

async fn inventory_labels_what_is_ours(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let (target, _) = bench.up(&request).await?;
    let items = bench.items_of(&request.sandbox_id).await;
    ensure!(!items.is_empty(), "a live sandbox is not in the inventory");
    for item in &items {
        let owner = item.installation_id.as_ref();
        ensure!(
            owner == Some(&bench.subject.installation_id),
            "{item:?} does not name its owner"
        );
        ensure!(
            item.epoch.is_none_or(|epoch| epoch.0 == 1),
            "{item:?} names another epoch than 1"
        );
    }
    ensure!(
        items.iter().any(|item| item.epoch.is_some()),
        "nothing of {items:?} names its epoch"
    );
    bench.down(2, &target).await
}

async fn inventory_tells_owners_apart(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let other = sandboxer_model::id::InstallationId::from_uuid(bench.subject.ids.uuid());
    let call = sandboxer_extension::Call {
        installation_id: other.clone(),
        ..bench.call(1)
    };
    bench
        .extension()
        .provision(&call, &request)
        .await
        .map_err(failed("provision for another owner"))?;
    let items = bench.items_of(&request.sandbox_id).await;
    ensure!(!items.is_empty(), "a sandbox of another owner is not in the inventory");
    ensure!(
        items.iter().all(|item| item.installation_id.as_ref() == Some(&other)),
        "a sandbox of another owner is labelled as {items:?}"
    );
    let call = sandboxer_extension::Call {
        epoch: sandboxer_model::operation::Epoch(2),
        ..call
    };
    let removed = bench
        .extension()
        .teardown(&call, &bench.bare_target(&request))
        .await
        .map_err(failed("teardown"))?
        .report;
    ensure!(
        removed.verified == Presence::Absent,
        "teardown left {:?}",
        removed.leftovers()
    );
    Ok(())
}

async fn inventory_is_complete(bench: &Bench<'_>) -> Outcome {
    bench.up(&bench.request()).await?;
    match bench.inventory().await {
        Inventory::Complete(_) => Ok(()),
        other => Err(Stop::Failed(format!(
            "the manifest promises a complete inventory, and this came: {other:?}"
        ))),
    }
}
