//! `keys`: who may do what at a server.

use jiff::Timestamp;
use sandboxer_api::identity::{GRANTS, Grant, Key, MadeKey, NewKey, RotateKey};
use sandboxer_model::error::{ErrorCode, UserError};

use crate::args::{CreateKeyArgs, KeysVerb, RotateKeyArgs};
use crate::context::{Context, Format};
use crate::output::table::Columns;
use crate::output::{human, json};
use crate::value;

/// Does one of the verbs.
///
/// # Errors
/// A value is wrong; those of the engine.
pub(crate) async fn keys(context: &Context, verb: KeysVerb) -> Result<u8, UserError> {
    // What is wrong with the options is told before anything is opened.
    let asked = match verb {
        KeysVerb::Create(args) => Asked::Make(new_key(args)?),
        KeysVerb::Rotate(args) => Asked::Rotate(args.key.id.clone(), overlap(&args)?),
        KeysVerb::List => Asked::List,
        KeysVerb::Show(args) => Asked::Show(args.id),
        KeysVerb::Revoke(args) => Asked::Revoke(args.id),
    };
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    match asked {
        Asked::Make(new) => {
            let made = service.make_key(&new).await?;
            reporter.close();
            print_made(context, &made)?;
        }
        Asked::Rotate(id, how) => {
            let made = service.rotate_key(&id, &how).await?;
            reporter.close();
            print_made(context, &made)?;
        }
        Asked::List => {
            let all = service.keys().await?;
            reporter.close();
            print_all(context, &all)?;
        }
        Asked::Show(id) => print_one(context, &service.key(&id).await?)?,
        Asked::Revoke(id) => print_one(context, &service.revoke_key(&id).await?)?,
    }
    Ok(0)
}

/// The verb, with its values read.
enum Asked {
    Make(NewKey),
    Rotate(String, RotateKey),
    List,
    Show(String),
    Revoke(String),
}

fn new_key(args: CreateKeyArgs) -> Result<NewKey, UserError> {
    let grants = args
        .grants
        .iter()
        .map(|name| grant(name))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(NewKey {
        name: args.name,
        role: value::role("--role", &args.role)?,
        project: args.project,
        grants: Some(grants).filter(|grants| !grants.is_empty()),
        expires_in: args
            .expires_in
            .as_deref()
            .map(|text| value::ttl("--expires-in", text))
            .transpose()?,
    })
}

fn overlap(args: &RotateKeyArgs) -> Result<RotateKey, UserError> {
    let overlap = args.overlap.as_deref();
    Ok(RotateKey {
        overlap: overlap.map(|text| value::ttl("--overlap", text)).transpose()?,
    })
}

fn grant(name: &str) -> Result<Grant, UserError> {
    Grant::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = GRANTS.iter().map(|grant| grant.name()).collect();
        let short: String = name.chars().take(60).collect();
        UserError::new(ErrorCode::InvalidInput, format!("`--grant {short}` is not a grant"))
            .hint(format!("grants are {}", known.join(", ")))
    })
}

fn print_made(context: &Context, made: &MadeKey) -> Result<(), UserError> {
    match context.format {
        Format::Json => json::print(made)?,
        Format::Table => {
            card(context, &made.key)?;
            let mut table = Columns::new(context.paint, &[]);
            table.row(["token".to_owned(), made.token.clone()]);
            json::print_text("\n")?;
            table.print()?;
        }
    }
    context.note(&format!(
        "{} the token is not shown again; give it to `sandboxer` in SANDBOXER_API_KEY",
        context.error_paint.dim("note:")
    ));
    Ok(())
}

fn print_one(context: &Context, key: &Key) -> Result<(), UserError> {
    match context.format {
        Format::Json => json::print(key),
        Format::Table => card(context, key),
    }
}

fn card(context: &Context, key: &Key) -> Result<(), UserError> {
    let now = context.clock.now();
    let mut table = Columns::new(context.paint, &[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    let grants: Vec<&str> = key.grants.iter().map(|grant| grant.name()).collect();
    row("key", format!("{}  {}", key.key_id, state(context, key, now)));
    row("name", key.name.clone());
    row("role", key.role.name().to_owned());
    row("project", key.project.clone().unwrap_or_else(|| "-".to_owned()));
    row("may", grants.join(" "));
    row("made", format!("{:.0}", key.created_at));
    if let Some(by) = &key.created_by {
        row("made by", by.clone());
    }
    if let Some(from) = &key.rotated_from {
        row("in place of", from.clone());
    }
    if let Some(at) = key.expires_at {
        row("expires", format!("{at:.0}"));
    }
    if let Some(at) = key.last_used_at {
        row("last used", format!("{} ago", human::between(at, now)));
    }
    table.print()
}

fn print_all(context: &Context, keys: &[Key]) -> Result<(), UserError> {
    if context.format == Format::Json {
        return json::print(keys);
    }
    let now = context.clock.now();
    let headlines = ["ID", "NAME", "ROLE", "PROJECT", "STATE", "EXPIRES-IN", "USED"];
    let mut table = Columns::new(context.paint, &headlines);
    for key in keys {
        let left = key.expires_at.filter(|at| *at > now);
        table.row([
            key.key_id.clone(),
            key.name.clone(),
            key.role.name().to_owned(),
            key.project.clone().unwrap_or_else(|| "-".to_owned()),
            state(context, key, now),
            left.map_or_else(|| "-".to_owned(), |at| human::between(now, at)),
            key.last_used_at
                .map_or_else(|| "never".to_owned(), |at| format!("{} ago", human::between(at, now))),
        ]);
    }
    table.print()
}

/// Whether a key is taken, in the color of that.
fn state(context: &Context, key: &Key, now: Timestamp) -> String {
    let past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    match (past(key.revoked_at), past(key.expires_at)) {
        (true, _) => context.paint.bad("revoked"),
        (_, true) => context.paint.dim("expired"),
        _ => context.paint.good("valid"),
    }
}
