//! How much of the host one service may take; the profile limits all of them together.

use sandboxer_model::document::Value;

use super::Service;
use crate::policy::fields::{At, Fields};
use crate::policy::value;

/// Shared memory at most.
const MOST_SHM: u64 = 1 << 30;

/// Takes what limits a service, here and under `deploy`, where it counts more.
pub(super) fn limits(fields: &mut Fields<'_>, service: &mut Service) {
    service.shm_size = fields.take("shm_size").and_then(|size| {
        let bytes = value::size(&size)?;
        if bytes > MOST_SHM {
            size.refuse("is more than 1g")
        } else {
            Some(bytes)
        }
    });
    service.cpus = fields.take("cpus").and_then(|cpus| value::cpus(&cpus));
    service.memory = fields.take("mem_limit").and_then(|memory| value::size(&memory));
    service.pids = fields.take("pids_limit").and_then(|pids| pids.count());
    fields.drop_keys(
        &["mem_reservation", "memswap_limit", "cpu_shares"],
        "is not used: the profile limits the sandbox",
    );
    if let Some(scale) = fields.take("scale")
        && scale.count() != Some(1)
    {
        scale.refuse::<()>("is not 1: a service has one container");
    }
    if let Some(ulimits) = fields.take("ulimits")
        && let Some(mut kinds) = ulimits.fields()
    {
        if let Some(nofile) = kinds.take("nofile") {
            service.nofile = open_files(&nofile);
        }
        kinds.drop_keys(
            &["nproc", "core", "memlock"],
            "is not used: the profile limits the sandbox",
        );
        kinds.finish();
    }
    if let Some(deploy) = fields.take("deploy")
        && let Some(mut deploy) = deploy.fields()
    {
        if let Some(replicas) = deploy.take("replicas")
            && replicas.count() != Some(1)
        {
            replicas.refuse::<()>("is not 1: a service has one container");
        }
        if let Some(resources) = deploy.take("resources")
            && let Some(mut resources) = resources.fields()
        {
            if let Some(limits) = resources.take("limits")
                && let Some(mut limits) = limits.fields()
            {
                service.cpus = limits.take("cpus").and_then(|cpus| value::cpus(&cpus)).or(service.cpus);
                service.memory = limits
                    .take("memory")
                    .and_then(|memory| value::size(&memory))
                    .or(service.memory);
                service.pids = limits.take("pids").and_then(|pids| pids.count()).or(service.pids);
                limits.finish();
            }
            if let Some(reservations) = resources.take("reservations")
                && let Some(mut reservations) = reservations.fields()
            {
                reservations.drop_keys(&["cpus", "memory"], "is not used: nothing is reserved for a service");
                reservations.finish();
            }
            resources.finish();
        }
        deploy.drop_keys(
            &[
                "restart_policy",
                "update_config",
                "rollback_config",
                "mode",
                "endpoint_mode",
                "labels",
                "placement",
            ],
            "is not used: there is no swarm",
        );
        deploy.finish();
    }
}

fn open_files(at: &At<'_>) -> Option<u64> {
    const MOST: u64 = 1 << 20;
    let given = match &at.node.value {
        Value::Map(_) => {
            let mut fields = at.fields()?;
            let soft = fields.take("soft").and_then(|soft| soft.count());
            let hard = fields.take("hard").and_then(|hard| hard.count());
            fields.finish();
            hard.or(soft)?
        }
        _ => at.count()?,
    };
    Some(given.min(MOST))
}
