//! One writer per sandbox: what carries an older epoch than was seen has no effect.

use std::fmt::Debug;

use sandboxer_extension::{ErrorKind, ExtensionError};

use crate::bench::{Bench, failed};
use crate::trial::{Outcome, Stop, trials};

trials! {
    older_provision_is_fenced [],
    older_teardown_is_fenced [],
    provision_after_newer_teardown_is_fenced [],
    provision_after_newer_teardown_of_nothing_is_fenced [],
    newer_provision_takes_over [],
    older_set_deadline_is_fenced ["ttl_guard"],
}

fn expect_fenced<T: Debug>(what: &str, answer: Result<T, ExtensionError>) -> Outcome {
    match answer {
        Err(error) if error.kind == ErrorKind::Fenced => Ok(()),
        other => Err(Stop::Failed(format!(
            "{what} should be fenced, but the answer is {other:?}"
        ))),
    }
}

async fn older_provision_is_fenced(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    bench.provision(5, &request).await.map_err(failed("provision"))?;
    expect_fenced(
        "a provision at epoch 4 after one at 5",
        bench.provision(4, &request).await,
    )
}

async fn older_teardown_is_fenced(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let handle = bench.provision(5, &request).await.map_err(failed("provision"))?;
    let target = bench.target(&request, handle);
    bench.wait_ready(5, &target).await.map_err(failed("wait_ready"))?;
    expect_fenced(
        "a teardown at epoch 4 after a provision at 5",
        bench.teardown(4, &target).await,
    )?;
    bench.expect_usable(&target).await
}

async fn provision_after_newer_teardown_is_fenced(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let (target, _) = bench.up(&request).await?;
    bench.down(2, &target).await?;
    expect_fenced(
        "a provision at epoch 1 after a teardown at 2",
        bench.provision(1, &request).await,
    )?;
    bench.expect_absent(&target).await
}

async fn provision_after_newer_teardown_of_nothing_is_fenced(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let target = bench.bare_target(&request);
    bench.down(2, &target).await?;
    expect_fenced(
        "a provision at epoch 1 after a teardown of nothing at 2",
        bench.provision(1, &request).await,
    )?;
    bench.expect_absent(&target).await
}

async fn newer_provision_takes_over(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    bench.provision(1, &request).await.map_err(failed("provision"))?;
    let handle = bench
        .provision(2, &request)
        .await
        .map_err(failed("provision by a newer owner"))?;
    let target = bench.target(&request, handle);
    bench
        .wait_ready(2, &target)
        .await
        .map_err(failed("wait_ready by a newer owner"))?;
    expect_fenced("the old owner's teardown", bench.teardown(1, &target).await)?;
    bench.expect_usable(&target).await
}

async fn older_set_deadline_is_fenced(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let handle = bench.provision(5, &request).await.map_err(failed("provision"))?;
    let target = bench.target(&request, handle);
    let ready = bench.wait_ready(5, &target).await.map_err(failed("wait_ready"))?;
    let Some(deadline) = ready.guard_deadline else {
        return Err(Stop::Failed(
            "the guard does not say which deadline it keeps".to_owned(),
        ));
    };
    let later = deadline
        .saturating_add(jiff::SignedDuration::from_hours(1))
        .unwrap_or(deadline);
    let answer = bench.extension().set_deadline(&bench.call(4), &target, later).await;
    expect_fenced("a set_deadline at epoch 4 after a provision at 5", answer)
}
