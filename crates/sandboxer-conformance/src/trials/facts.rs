//! What an extension says of itself and of a sandbox.

use std::collections::BTreeSet;

use sandboxer_extension::capability::PricingModel;
use sandboxer_model::money::{Micros, Usage};

use crate::bench::{Bench, failed};
use crate::ensure;
use crate::trial::{Outcome, Stop, trials};

trials! {
    capabilities_are_within_the_manifest [],
    quote_is_sane [],
    isolation_level_is_reported [],
    mechanisms_are_named_once [],
    attestations_hold [],
    usage_is_told ["usage"],
    what_dies_with_the_machine_does_not_persist ["dies_with_machine"],
    persistence_has_no_call_yet ["persistence"],
    snapshot_has_no_call_yet ["snapshot"],
}

async fn capabilities_are_within_the_manifest(bench: &Bench<'_>) -> Outcome {
    let manifest = bench.extension().manifest();
    ensure!(
        manifest.id.starts_with("ext."),
        "its id `{}` does not start with `ext.`",
        manifest.id
    );
    ensure!(!manifest.title.is_empty(), "it has no title");
    let declared = serde_json::to_value(&manifest.capabilities).unwrap_or_default();
    let has = serde_json::to_value(bench.extension().capabilities()).unwrap_or_default();
    let yes = |value: &serde_json::Value| value.as_bool() == Some(true);
    for (name, value) in has.as_object().into_iter().flatten() {
        ensure!(
            !yes(value) || yes(&declared[name]),
            "it has `{name}`, which its manifest does not declare"
        );
    }
    let levels = &manifest.capabilities.isolation_levels;
    for level in bench.extension().capabilities().isolation_levels {
        ensure!(
            levels.contains(&level),
            "it has {level:?} isolation, which its manifest does not declare"
        );
    }
    Ok(())
}

async fn quote_is_sane(bench: &Bench<'_>) -> Outcome {
    let profile = &bench.subject.profile;
    let ttl = profile.ttl.default;
    let quote = bench
        .extension()
        .estimate_cost(profile, ttl)
        .await
        .map_err(failed("estimate_cost"))?;
    ensure!(quote.per_hour >= Micros::ZERO, "it pays people: {quote:?}");
    ensure!(quote.worst_case >= Micros::ZERO, "it pays people: {quote:?}");
    let rate = quote.per_hour.per_hour_for(ttl.as_secs());
    ensure!(
        quote.worst_case >= rate,
        "the worst case is less than its rate for {ttl}: {quote:?}"
    );
    ensure!(
        !quote.source.is_empty(),
        "the quote does not say where its rate comes from"
    );
    if bench.extension().capabilities().pricing_model == PricingModel::SaasMetered {
        ensure!(
            quote.per_hour > Micros::ZERO,
            "a metered provider for nothing: {quote:?}"
        );
    }
    Ok(())
}

async fn isolation_level_is_reported(bench: &Bench<'_>) -> Outcome {
    let (_, ready) = bench.up(&bench.request()).await?;
    let (asked, got) = (bench.subject.profile.isolation.level, ready.isolation.level);
    ensure!(got >= asked, "{asked:?} was asked for, and the report says {got:?}");
    ensure!(
        bench.extension().capabilities().isolation_levels.contains(&got),
        "the report says {got:?}, which is not among its levels"
    );
    Ok(())
}

async fn mechanisms_are_named_once(bench: &Bench<'_>) -> Outcome {
    let (_, ready) = bench.up(&bench.request()).await?;
    let mut names = BTreeSet::new();
    for mechanism in &ready.isolation.mechanisms {
        ensure!(!mechanism.name.is_empty(), "a mechanism has no name");
        ensure!(
            names.insert(&mechanism.name),
            "mechanism `{}` is there twice",
            mechanism.name
        );
    }
    ensure!(!names.is_empty(), "the report names no mechanism");
    Ok(())
}

async fn attestations_hold(bench: &Bench<'_>) -> Outcome {
    let (_, ready) = bench.up(&bench.request()).await?;
    for tried in &ready.isolation.attestations {
        ensure!(tried.held, "it is ready although this did not hold: {tried:?}");
    }
    Ok(())
}

async fn usage_is_told(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let used = bench
        .extension()
        .usage(&bench.call(1), &target)
        .await
        .map_err(failed("usage"))?;
    let Some(used) = used else {
        return Err(Stop::Failed("usage is claimed, and nothing is told".to_owned()));
    };
    let figures = |used: &Usage| used.cpu_us.is_some() || used.memory_peak_bytes.is_some() || used.pids_peak.is_some();
    ensure!(figures(&used), "usage is told without a single figure");
    let removal = bench
        .extension()
        .teardown(&bench.call(2), &target)
        .await
        .map_err(failed("teardown"))?;
    ensure!(
        removal.usage.as_ref().is_some_and(figures),
        "the removal of a sandbox whose usage was told is silent about it: {:?}",
        removal.usage
    );
    Ok(())
}

async fn what_dies_with_the_machine_does_not_persist(bench: &Bench<'_>) -> Outcome {
    let has = bench.extension().capabilities();
    ensure!(
        !has.persistence,
        "it says that what it makes dies with the machine, and that workspaces outlive a restart"
    );
    ensure!(
        !has.needs_host,
        "it says that what it makes dies with this machine, and that it runs on another"
    );
    Ok(())
}

async fn persistence_has_no_call_yet(_: &Bench<'_>) -> Outcome {
    Err(Stop::Skipped(
        "the contract has no call that restarts a host".to_owned(),
    ))
}

async fn snapshot_has_no_call_yet(_: &Bench<'_>) -> Outcome {
    Err(Stop::Skipped("the contract has no call for snapshots yet".to_owned()))
}
