//! What is asked for and cannot be had is refused, never ignored: by `validate`, by `provision`, and alike.

use sandboxer_extension::{ErrorKind, ProvisionRequest};
use sandboxer_model::profile::{IsolationLevel, NetworkDefault, Profile, WorkspaceMode};

use crate::bench::Bench;
use crate::ensure;
use crate::trial::{Outcome, Stop, trials};

trials! {
    egress_list_is_refused ["!network_egress"],
    open_network_is_refused ["!network_allow"],
    closed_network_is_refused ["!network_deny"],
    gpu_is_refused ["!gpu"],
    secrets_are_refused ["!secrets"],
    mirror_is_refused ["!workspace_mirror"],
    repo_is_refused ["!workspace_directory"],
    other_isolation_is_refused [],
    strict_cpu_is_refused ["!limit_cpu"],
    strict_memory_is_refused ["!limit_memory"],
    strict_disk_is_refused ["!limit_disk"],
    strict_pids_is_refused ["!limit_pids"],
    unknown_config_is_refused [],
}

/// Changes a copy of the subject's profile and checks that it is refused alike twice, and that nothing was made.
async fn refused(bench: &Bench<'_>, kinds: &[ErrorKind], change: impl FnOnce(&mut Profile)) -> Outcome {
    let mut profile = bench.subject.profile.clone();
    change(&mut profile);
    refused_request(bench, kinds, bench.request_of(profile)).await
}

async fn refused_request(bench: &Bench<'_>, kinds: &[ErrorKind], request: ProvisionRequest) -> Outcome {
    let validated = match bench.extension().validate(&request).await {
        Ok(_) => return Err(Stop::Failed("validate accepts it".to_owned())),
        Err(error) => error,
    };
    ensure!(
        kinds.contains(&validated.kind),
        "validate says {:?} ({validated}) instead of {kinds:?}",
        validated.kind
    );
    let provisioned = match bench.provision(1, &request).await {
        Ok(_) => return Err(Stop::Failed("validate refuses it and provision accepts it".to_owned())),
        Err(error) => error,
    };
    ensure!(
        provisioned.kind == validated.kind,
        "validate says {:?} ({validated}), provision says {:?} ({provisioned})",
        validated.kind,
        provisioned.kind
    );
    bench.expect_absent(&bench.bare_target(&request)).await
}

const CANNOT: &[ErrorKind] = &[ErrorKind::CannotEnforce, ErrorKind::Unsupported];
const INVALID: &[ErrorKind] = &[ErrorKind::CannotEnforce, ErrorKind::Unsupported, ErrorKind::Invalid];

async fn egress_list_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, &[ErrorKind::CannotEnforce], |profile| {
        profile.network.egress = vec!["example.org:443".into()]
    })
    .await
}

async fn open_network_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| profile.network.default = NetworkDefault::Allow).await
}

async fn closed_network_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| profile.network.default = NetworkDefault::Deny).await
}

async fn gpu_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| profile.resources.gpu = Some(1)).await
}

async fn secrets_are_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| {
        profile.setup.secret_refs = vec!["TOKEN".into()]
    })
    .await
}

async fn mirror_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| profile.workspace.mode = WorkspaceMode::Mirror).await
}

async fn repo_is_refused(bench: &Bench<'_>) -> Outcome {
    let mut request = bench.request();
    request.inputs.insert("repo".to_owned(), "/".to_owned());
    refused_request(bench, INVALID, request).await
}

async fn other_isolation_is_refused(bench: &Bench<'_>) -> Outcome {
    let has = bench.extension().capabilities().isolation_levels;
    let all = [
        IsolationLevel::Policy,
        IsolationLevel::Container,
        IsolationLevel::Microvm,
    ];
    // A weaker wall than the backend's own may be accepted; one it does not have above it may not.
    let Some(level) = all.into_iter().find(|level| has.iter().all(|had| had < level)) else {
        return Ok(());
    };
    refused(bench, CANNOT, |profile| profile.isolation.level = level).await
}

async fn strict_cpu_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| {
        profile.resources.strict = true;
        profile.resources.cpu = Some(0.5);
    })
    .await
}

async fn strict_memory_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| {
        profile.resources.strict = true;
        profile.resources.memory_mb = Some(64);
    })
    .await
}

async fn strict_disk_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| {
        profile.resources.strict = true;
        profile.resources.disk_mb = Some(64);
    })
    .await
}

async fn strict_pids_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, CANNOT, |profile| {
        profile.resources.strict = true;
        profile.resources.pids = Some(64);
    })
    .await
}

async fn unknown_config_is_refused(bench: &Bench<'_>) -> Outcome {
    refused(bench, &[ErrorKind::Invalid], |profile| {
        profile.config.insert(
            "no_extension_has_this_setting".to_owned(),
            serde_json::Value::Bool(true),
        );
    })
    .await
}
