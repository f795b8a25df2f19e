//! `hosts add`: look at a host and register it.

use sandboxer_engine::api::AddHost;
use sandboxer_model::error::UserError;
use sandboxer_model::registry::Capacity;

use super::show;
use crate::args::AddHostArgs;
use crate::context::Context;
use crate::service::only_there;
use crate::{host_keys, value};

/// Registers a host.
///
/// # Errors
/// A value is wrong, its keys cannot be had, or it cannot be looked at; those of the engine.
pub(super) async fn add(context: &Context, args: AddHostArgs) -> Result<u8, UserError> {
    let count =
        |option: &str, text: &Option<String>| text.as_deref().map(|text| value::count(option, text)).transpose();
    let new = AddHost {
        capacity: Capacity {
            slots: count("--slots", &args.slots)?,
            cpu_milli: args
                .cpu
                .as_deref()
                .map(|text| value::thousandths("--cpu", text))
                .transpose()?,
            memory_mb: count("--memory-mb", &args.memory_mb)?,
            disk_mb: count("--disk-mb", &args.disk_mb)?,
        },
        labels: value::labels(&args.labels)?,
        name: args.name,
        address: args.address,
    };
    if args.pin && context.api.is_some() {
        return Err(only_there("trusting the keys of a host"));
    }
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let mut known = None;
    if args.pin {
        // A host that was set up anew is known already, and has new keys.
        known = service.host(&new.name).await.ok().map(|status| status.host);
        let given = new.address.clone().unwrap_or_else(|| new.name.clone());
        let address = known.as_ref().map_or(given, |host| host.address.to_string());
        host_keys::vouch(context, &address)?;
    }
    let status = match known {
        Some(host) => service.probe_host(&host.name).await?,
        None => service.add_host(&new).await?,
    };
    reporter.close();
    show::print(context, &status)?;
    Ok(0)
}
