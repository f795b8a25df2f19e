//! Limits: each that is asked for is reported with what holds it, and felt inside.

use sandboxer_extension::{ErrorKind, ExecExit, ExtensionError, Ready};
use sandboxer_model::isolation::{Limit, Resource};
use sandboxer_model::profile::{Profile, Resources};

use crate::bench::{Bench, Ran};
use crate::ensure;
use crate::probe::ProbeCommand;
use crate::trial::{Outcome, Stop, trials};

trials! {
    every_limit_is_reported [],
    plan_and_report_agree [],
    cpu_limit_is_held ["limit_cpu"],
    memory_limit_is_held ["limit_memory"],
    disk_limit_is_held ["limit_disk"],
    pids_limit_is_held ["limit_pids"],
    strict_cpu_is_strict ["limit_cpu"],
    strict_memory_is_strict ["limit_memory"],
    strict_disk_is_strict ["limit_disk"],
    strict_pids_is_strict ["limit_pids"],
    memory_limit_is_felt ["limit_memory", "exec"],
    disk_limit_is_felt ["limit_disk", "exec"],
    pids_limit_is_felt ["limit_pids", "exec"],
}

const ALL: [Resource; 4] = [Resource::Cpu, Resource::MemoryMb, Resource::DiskMb, Resource::Pids];

fn set(resources: &mut Resources, resource: Resource, value: u32) {
    match resource {
        Resource::Cpu => resources.cpu = Some(f64::from(value)),
        Resource::MemoryMb => resources.memory_mb = Some(value.into()),
        Resource::DiskMb => resources.disk_mb = Some(value.into()),
        Resource::Pids => resources.pids = Some(value.into()),
    }
}

fn limited(bench: &Bench<'_>, resource: Resource, value: u32) -> Profile {
    let mut profile = bench.subject.profile.clone();
    set(&mut profile.resources, resource, value);
    profile
}

fn of(limits: &[Limit], resource: Resource) -> Result<&Limit, Stop> {
    let mut found = limits.iter().filter(|limit| limit.resource == resource);
    match (found.next(), found.next()) {
        (Some(limit), None) => Ok(limit),
        (None, _) => Err(Stop::Failed(format!("{resource:?} is missing from {limits:?}"))),
        (Some(_), Some(_)) => Err(Stop::Failed(format!("{resource:?} is twice in {limits:?}"))),
    }
}

async fn every_limit_is_reported(bench: &Bench<'_>) -> Outcome {
    let (_, ready) = bench.up(&bench.request()).await?;
    for resource in ALL {
        of(&ready.isolation.limits, resource)?;
    }
    Ok(())
}

async fn plan_and_report_agree(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let plan = bench
        .extension()
        .validate(&request)
        .await
        .map_err(crate::bench::failed("validate"))?;
    let (_, ready) = bench.up(&request).await?;
    for resource in ALL {
        let (planned, real) = (of(&plan.limits, resource)?, of(&ready.isolation.limits, resource)?);
        ensure!(
            planned.value == real.value && planned.enforced_by == real.enforced_by,
            "validate planned {planned:?}, and this came: {real:?}"
        );
    }
    Ok(())
}

async fn held(bench: &Bench<'_>, resource: Resource, value: u32) -> Outcome {
    let (_, ready) = bench.up(&bench.request_of(limited(bench, resource, value))).await?;
    expect_value(&ready, resource, value).map(drop)
}

fn expect_value(ready: &Ready, resource: Resource, value: u32) -> Result<&Limit, Stop> {
    let limit = of(&ready.isolation.limits, resource)?;
    ensure!(
        limit.value == Some(f64::from(value)),
        "{value} was asked for, and this is reported: {limit:?}"
    );
    ensure!(
        limit.enforced_by != sandboxer_model::isolation::EnforcedBy::None,
        "nothing holds {limit:?}"
    );
    Ok(limit)
}

/// Strict: either held at every moment, or refused by `validate` and `provision` alike.
async fn strict(bench: &Bench<'_>, resource: Resource, value: u32) -> Outcome {
    let mut profile = limited(bench, resource, value);
    profile.resources.strict = true;
    let request = bench.request_of(profile);
    let refusal = |error: &ExtensionError| error.kind == ErrorKind::CannotEnforce;
    match bench.extension().validate(&request).await {
        Ok(_) => {
            let (_, ready) = bench.up(&request).await?;
            let limit = expect_value(&ready, resource, value)?;
            ensure!(
                limit.enforced_by.is_strict(),
                "strict was asked for, and this is reported: {limit:?}"
            );
            Ok(())
        }
        Err(error) if refusal(&error) => match bench.provision(1, &request).await {
            Err(error) if refusal(&error) => bench.expect_absent(&bench.bare_target(&request)).await,
            other => Err(Stop::Failed(format!(
                "validate refuses what provision answers with {other:?}"
            ))),
        },
        Err(error) => Err(crate::bench::failed("validate")(error)),
    }
}

async fn cpu_limit_is_held(bench: &Bench<'_>) -> Outcome {
    held(bench, Resource::Cpu, 1).await
}

async fn memory_limit_is_held(bench: &Bench<'_>) -> Outcome {
    held(bench, Resource::MemoryMb, 96).await
}

async fn disk_limit_is_held(bench: &Bench<'_>) -> Outcome {
    held(bench, Resource::DiskMb, 32).await
}

async fn pids_limit_is_held(bench: &Bench<'_>) -> Outcome {
    held(bench, Resource::Pids, 50).await
}

async fn strict_cpu_is_strict(bench: &Bench<'_>) -> Outcome {
    strict(bench, Resource::Cpu, 1).await
}

async fn strict_memory_is_strict(bench: &Bench<'_>) -> Outcome {
    strict(bench, Resource::MemoryMb, 96).await
}

async fn strict_disk_is_strict(bench: &Bench<'_>) -> Outcome {
    strict(bench, Resource::DiskMb, 32).await
}

async fn strict_pids_is_strict(bench: &Bench<'_>) -> Outcome {
    strict(bench, Resource::Pids, 50).await
}

/// Under the limit it must work, over the limit it must not: the first half shows that the second means something.
async fn felt(
    bench: &Bench<'_>,
    resource: Resource,
    limit: u32,
    [under, over]: [ProbeCommand; 2],
    worked: impl Fn(&Ran, &ProbeCommand) -> bool,
) -> Outcome {
    let (target, _) = bench.up(&bench.request_of(limited(bench, resource, limit))).await?;
    let ran = bench.run(&target, &under, Vec::new()).await?;
    ensure!(
        worked(&ran, &under),
        "{under:?} under a limit of {limit} {resource:?} came to {ran:?}"
    );
    // Over the limit the whole sandbox may be ended, so not being able to start or to tell is an end as well.
    let Ok(started) = bench.start(&target, over.argv(), Vec::new(), None).await? else {
        return Ok(());
    };
    match started.finish(Vec::new()).await {
        Ok(ran) => ensure!(
            !worked(&ran, &over),
            "{over:?} went through under a limit of {limit} {resource:?}"
        ),
        Err(Stop::Failed(_)) => {}
        Err(skipped) => return Err(skipped),
    }
    Ok(())
}

fn printed_done(ran: &Ran, _: &ProbeCommand) -> bool {
    ran.exit == ExecExit::Code(0) && ran.text() == "done"
}

async fn memory_limit_is_felt(bench: &Bench<'_>) -> Outcome {
    let probes = [ProbeCommand::Memory(8), ProbeCommand::Memory(256)];
    felt(bench, Resource::MemoryMb, 64, probes, |ran, probe| {
        let ProbeCommand::Memory(mib) = probe else { return false };
        ran.exit == ExecExit::Code(0) && ran.text().trim() == (mib * 1024 * 1024).to_string()
    })
    .await
}

async fn disk_limit_is_felt(bench: &Bench<'_>) -> Outcome {
    felt(
        bench,
        Resource::DiskMb,
        32,
        [ProbeCommand::Disk(4), ProbeCommand::Disk(128)],
        printed_done,
    )
    .await
}

async fn pids_limit_is_felt(bench: &Bench<'_>) -> Outcome {
    felt(
        bench,
        Resource::Pids,
        50,
        [ProbeCommand::Processes(8), ProbeCommand::Processes(200)],
        printed_done,
    )
    .await
}
