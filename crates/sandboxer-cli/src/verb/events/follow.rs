//! `events --follow`: what happens, as it happens.

use std::io::Write as _;
use std::time::Duration;

use sandboxer_engine::Engine;
use sandboxer_engine::api::Viewer;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::event::Event;

use crate::context::{Context, Format};
use crate::output::shown;
use crate::service::Service;

/// From one look to the next: here nobody is told what other processes do.
const PAUSE: Duration = Duration::from_millis(250);
/// Events of one look at most; the next one goes on.
const MOST: u32 = 200;

/// Prints events of one sandbox, or of all, until somebody stops it: a line each, JSON for programs.
///
/// # Errors
/// Those of the engine or server; standard output cannot be written.
pub(super) async fn follow(context: &Context, id: Option<&str>) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    reporter.close();
    let only = match id {
        Some(id) => Some(service.get(id).await?.sandbox_id),
        None => None,
    };
    let mut show = |event: &Event| -> Result<Go, UserError> {
        match &only {
            Some(id) if *id != event.sandbox_id => Ok(Go::On),
            _ => print(context, event),
        }
    };
    match &service {
        Service::Embedded(engine) => watch(context, engine, &mut show).await?,
        Service::Remote(client) => {
            let mut events = client.events(None).await?;
            while let Go::On = show(&events.next().await?.1)? {}
        }
    }
    Ok(0)
}

/// Whether somebody still reads.
enum Go {
    On,
    Home,
}

async fn watch(
    context: &Context,
    engine: &Engine,
    show: &mut impl FnMut(&Event) -> Result<Go, UserError>,
) -> Result<(), UserError> {
    let mut position = engine.last_position().await?;
    loop {
        let placed = engine.events_after(position, MOST, &Viewer::default()).await?;
        let is_all = placed.is_empty();
        for one in placed {
            position = one.position;
            if let Go::Home = show(&one.event)? {
                return Ok(());
            }
        }
        if is_all {
            context.clock.sleep(PAUSE).await;
        }
    }
}

fn print(context: &Context, event: &Event) -> Result<Go, UserError> {
    let line = match context.format {
        Format::Json => serde_json::to_string(event)
            .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot print the event: {error}")))?,
        Format::Table => {
            let line = format!(
                "{:.3}  {}  {}  {}  {}",
                event.at, event.sandbox_id, event.seq, event.kind, event.summary
            );
            shown::painted(&line).into_owned()
        }
    };
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Go::On),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Go::Home),
        Err(error) => Err(UserError::new(
            ErrorCode::Internal,
            format!("cannot write to standard output: {error}"),
        )),
    }
}
