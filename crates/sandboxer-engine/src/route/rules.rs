//! What a profile asks for against what an extension can do: one rule per thing, refused rather than ignored.

use std::collections::BTreeMap;

use sandboxer_extension::Capabilities;
use sandboxer_extension::capability::PricingModel;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::money::{Micros, Quote};
use sandboxer_model::profile::{NetworkDefault, Profile, WorkspaceMode};

/// The input that carries the caller's directory.
const REPO: &str = "repo";

/// Whether somebody else is paid.
pub(super) fn is_metered(capabilities: &Capabilities) -> bool {
    capabilities.pricing_model == PricingModel::SaasMetered
}

/// The extension of a candidate is not there.
pub(super) fn not_built(extension_id: &str) -> UserError {
    UserError::new(ErrorCode::NoRoute, format!("{extension_id} is not part of this build"))
        .hint("see what is with `sandboxer extensions list`")
}

/// Refuses what the extension cannot do.
pub(super) fn check(
    id: &str,
    can: &Capabilities,
    profile: &Profile,
    inputs: &BTreeMap<String, String>,
) -> Result<(), UserError> {
    let cannot = |what: &str| UserError::new(ErrorCode::CannotEnforce, format!("{id} cannot enforce {what}"));
    let lacks = |what: &str| UserError::new(ErrorCode::Unsupported, format!("{id} does not have {what}"));
    let level = profile.isolation.level;
    let constraints = profile.route.as_ref().map(|route| &route.constraints);
    let least = constraints.and_then(|constraints| constraints.require_isolation);
    if !can.isolation_levels.contains(&level) {
        return Err(cannot(&format!("isolation level {}", name(&level))).hint(format!(
            "it offers {}",
            can.isolation_levels.iter().map(name).collect::<Vec<_>>().join(", ")
        )));
    }
    if let Some(least) = least
        && level < least
        && !can.isolation_levels.iter().any(|offered| *offered >= least)
    {
        return Err(cannot(&format!("the required isolation {}", name(&least))));
    }
    check_network(profile, can, &cannot)?;
    if profile.resources.gpu.is_some_and(|gpus| gpus > 0) && !can.gpu {
        return Err(lacks("GPUs"));
    }
    if profile.workspace.mode == WorkspaceMode::Mirror && !can.workspace_mirror {
        return Err(
            lacks("the capability to bring workspace changes back (`workspace.mode: mirror`)")
                .hint("use `workspace.mode: remote-canonical` and fetch what you need"),
        );
    }
    if inputs.contains_key(REPO) && !can.workspace_directory {
        return Err(lacks("the capability to take a directory as workspace (`inputs.repo`)"));
    }
    if !profile.setup.secret_refs.is_empty() && !can.secrets {
        return Err(lacks("the capability to deliver secrets (`setup.secret_refs`)"));
    }
    check_limits(profile, can, &cannot)?;
    if let Some(idle) = profile.ttl.idle_reap
        && !can.activity
    {
        // Nobody could tell idle from at work; a limit that is not held must not look as if it were.
        return Err(cannot(&format!("`ttl.idle_reap: {idle}`")).hint("leave it out and choose a shorter `ttl.default`"));
    }
    if let Some(region) = constraints.and_then(|constraints| constraints.region.as_ref())
        && !can.regions.contains(region)
    {
        return Err(lacks(&format!("the region `{region}`")));
    }
    Ok(())
}

fn check_network(profile: &Profile, can: &Capabilities, cannot: &dyn Fn(&str) -> UserError) -> Result<(), UserError> {
    let network = &profile.network;
    if !network.egress.is_empty() && !can.network_egress {
        let what = format!(
            "an allow-list of destinations (`network.egress: [{}]`)",
            network.egress.join(", ")
        );
        return Err(cannot(&what).hint("leave `network.egress` empty: nothing is reachable then"));
    }
    match network.default {
        NetworkDefault::Deny if !can.network_deny => Err(cannot("`network.default: deny`")),
        NetworkDefault::Allow if !can.network_allow => {
            Err(cannot("`network.default: allow`").hint("use `network.default: deny`"))
        }
        _ => Ok(()),
    }
}

/// Without `strict`, a limit that is only watched or not held is reported; with it, it is refused.
fn check_limits(profile: &Profile, can: &Capabilities, cannot: &dyn Fn(&str) -> UserError) -> Result<(), UserError> {
    let asked = &profile.resources;
    if !asked.strict {
        return Ok(());
    }
    let limits = [
        ("cpu", asked.cpu.is_some(), can.limit_cpu),
        ("memory_mb", asked.memory_mb.is_some(), can.limit_memory),
        ("disk_mb", asked.disk_mb.is_some(), can.limit_disk),
        ("pids", asked.pids.is_some(), can.limit_pids),
    ];
    match limits.iter().find(|(_, asked, can)| *asked && !can) {
        Some((limit, ..)) => Err(cannot(&format!("`resources.{limit}`, and `resources.strict` is set"))
            .hint("leave the limit out, or set `resources.strict: false` to have it reported instead")),
        None => Ok(()),
    }
}

/// Refuses a price over `route.constraints.max_cost_per_hour`.
pub(super) fn check_price(profile: &Profile, quote: &Quote) -> Result<(), UserError> {
    let constraints = profile.route.as_ref().map(|route| &route.constraints);
    let Some(text) = constraints.and_then(|constraints| constraints.max_cost_per_hour.as_ref()) else {
        return Ok(());
    };
    let Some(most) = micros(text) else {
        let what = format!("`{text}` of `route.constraints.max_cost_per_hour` is not an amount such as \"1.00\"");
        return Err(UserError::new(ErrorCode::InvalidProfile, what));
    };
    if quote.per_hour > most {
        let what = format!("it costs {} per hour, over the maximum of {most}", quote.per_hour);
        return Err(UserError::new(ErrorCode::NoRoute, what).hint("raise `route.constraints.max_cost_per_hour`"));
    }
    Ok(())
}

/// A decimal amount of dollars with at most six places.
fn micros(text: &str) -> Option<Micros> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let part: i64 = format!("{part:0<6}").parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(part)
        .map(Micros)
}

fn name(level: &sandboxer_model::profile::IsolationLevel) -> String {
    use sandboxer_model::profile::IsolationLevel::{Container, Microvm, Policy};
    match level {
        Policy => "policy",
        Container => "container",
        Microvm => "microvm",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, expected) in [
            ("1.00", Some(1_000_000)),
            ("0.000001", Some(1)),
            ("3", Some(3_000_000)),
            (".5", None),
            ("1.0000001", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
        ] {
            assert_eq!(micros(text).map(|micros| micros.0), expected, "{text}");
        }
    }
}
