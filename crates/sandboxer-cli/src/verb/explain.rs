//! `explain`: seven questions about a sandbox, each with its evidence.

use sandboxer_engine::api::Explanation;
use sandboxer_model::error::UserError;
use sandboxer_model::isolation::MechanismState;
use sandboxer_model::reachability::Reachability;

use super::create::{limit_row, of_candidate};
use crate::context::{Context, Format};
use crate::output::color::Paint;
use crate::output::{human, json, sandbox};

/// Explains a sandbox, alive or gone.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn explain(context: &Context, id: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let explanation = context.service(&reporter).await?.explain(id).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&explanation)?,
        Format::Table => json::print_text(&text(context.paint, &explanation))?,
    }
    Ok(0)
}

/// Every way in, by name.
pub(crate) fn ways(reachability: &Reachability) -> Vec<(String, String)> {
    let named = [
        ("exec", &reachability.exec),
        ("workspace", &reachability.workspace),
        ("ssh", &reachability.ssh),
        ("host", &reachability.host),
        ("directory", &reachability.remote_dir),
        ("compose project", &reachability.compose_project),
        ("tunnel", &reachability.tunnel),
        ("tunnel name", &reachability.tunnel_name),
        ("tunnel is", &reachability.tunnel_status),
        ("tunnel by", &reachability.tunnel_via),
        ("identity by", &reachability.identity),
    ];
    let mut ways: Vec<(String, String)> = named
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (name.to_owned(), value.clone())))
        .collect();
    for (service, endpoints) in &reachability.services {
        for endpoint in endpoints {
            ways.push((
                format!("{service}:{}/{}", endpoint.port, endpoint.protocol),
                endpoint.address.clone(),
            ));
        }
    }
    ways
}

struct Page {
    paint: Paint,
    text: String,
}

impl Page {
    fn question(&mut self, number: u8, title: &str) {
        self.text
            .push_str(&format!("\n{}\n", self.paint.strong(&format!("{number}  {title}"))));
    }

    fn line(&mut self, name: &str, value: &str) {
        self.text
            .push_str(&format!("   {}{value}\n", self.paint.dim(&format!("{name:<17} "))));
    }
}

fn text(paint: Paint, explanation: &Explanation) -> String {
    let headline = format!(
        "{}  {}\n",
        paint.strong(explanation.sandbox_id.as_str()),
        sandbox::state(paint, explanation.state)
    );
    let mut page = Page { paint, text: headline };
    recipe(&mut page, explanation);
    backend(&mut page, explanation);
    location(&mut page, explanation);
    isolation(&mut page, explanation);
    reached(&mut page, explanation);
    history(&mut page, explanation);
    cost(&mut page, explanation);
    page.text
}

fn recipe(page: &mut Page, explanation: &Explanation) {
    let recipe = &explanation.recipe;
    page.question(1, "Which recipe");
    page.line(
        "profile",
        &format!("{} {} ({})", recipe.profile.id, recipe.profile.version, recipe.source),
    );
    page.line("digest", &recipe.digest);
    for (name, value) in &recipe.inputs {
        page.line(&format!("input {name}"), value);
    }
}

fn backend(page: &mut Page, explanation: &Explanation) {
    page.question(2, "Which backend, and why the others lost");
    page.line("strategy", explanation.backend.strategy.name());
    for candidate in &explanation.backend.candidates {
        let verdict = if candidate.accepted {
            page.paint.good("accepted")
        } else {
            page.paint.dim("ruled out")
        };
        page.line(&of_candidate(candidate), &format!("{verdict}: {}", candidate.reason));
    }
}

fn location(page: &mut Page, explanation: &Explanation) {
    let location = &explanation.location;
    page.question(3, "Where it runs");
    page.line("host", location.host.as_deref().unwrap_or("this machine"));
    for (name, value) in &location.handle {
        page.line(name, value);
    }
    page.line("right now", location.observed.as_deref().unwrap_or("gone"));
}

fn isolation(page: &mut Page, explanation: &Explanation) {
    page.question(4, "How isolation is enforced, and what was tried from inside");
    let Some(isolation) = &explanation.isolation else {
        page.line("-", "it never became ready");
        return;
    };
    for mechanism in &isolation.mechanisms {
        let state = match mechanism.state {
            MechanismState::Enforced => page.paint.good("enforced"),
            MechanismState::Degraded => page.paint.warn("degraded"),
            MechanismState::Missing => page.paint.bad("missing"),
        };
        page.line(&mechanism.name, &format!("{state}: {}", mechanism.detail));
    }
    for limit in &isolation.limits {
        let [name, value] = limit_row(limit);
        page.line(&name, &value);
    }
    for attestation in &isolation.attestations {
        let verdict = if attestation.held {
            page.paint.good("held")
        } else {
            page.paint.bad("NOT held")
        };
        let saw = if attestation.observed == attestation.expected {
            attestation.observed.clone()
        } else {
            format!("{} instead of {}", attestation.observed, attestation.expected)
        };
        page.line("tried", &format!("{verdict}: {}: {saw}", attestation.probe));
    }
}

fn reached(page: &mut Page, explanation: &Explanation) {
    page.question(5, "How it is reached");
    match &explanation.reachability {
        None => page.line("-", "not at all"),
        Some(reachability) => {
            for (name, value) in ways(reachability) {
                page.line(&name, &value);
            }
        }
    }
}

fn history(page: &mut Page, explanation: &Explanation) {
    let history = &explanation.history;
    page.question(6, "What happened");
    for event in &history.events {
        page.line(
            &format!("{}  {:.3}", event.seq, event.at),
            &format!("{}: {}", event.kind, event.summary),
        );
    }
    for operation in &history.operations {
        page.line(operation.kind.name(), &operation.status);
        for step in &operation.steps {
            let took = step
                .duration_ms
                .map_or_else(String::new, |ms| format!(" in {ms:.2} ms"));
            let again = if step.attempt > 1 {
                format!(", try {}", step.attempt)
            } else {
                String::new()
            };
            let error = step
                .error
                .as_ref()
                .map_or_else(String::new, |error| format!(": {error}"));
            page.line(
                &format!("  {}", step.name),
                &format!("{}{took}{again}{error}", step.status),
            );
        }
    }
    if let Some(reason) = history.reason {
        page.line("ended by", reason.name());
    }
    if let Some(error) = &history.error {
        page.line("error", &error.message);
    }
    if let Some(cleanup) = &history.cleanup {
        let verified = serde_json::json!(cleanup.verified);
        page.line(
            "receipt",
            &format!(
                "{} things looked for, verified {}",
                cleanup.items.len(),
                verified.as_str().unwrap_or_default()
            ),
        );
    }
}

fn cost(page: &mut Page, explanation: &Explanation) {
    let cost = &explanation.cost;
    page.question(7, "What it cost");
    if let Some(quote) = &cost.quote {
        page.line(
            "quoted",
            &format!(
                "{} per hour, at most {} ({})",
                quote.per_hour, quote.worst_case, quote.source
            ),
        );
    }
    page.line(
        "metered",
        &cost
            .meter
            .actual
            .map_or_else(|| "not yet".to_owned(), |actual| actual.to_string()),
    );
    if let Some(milliseconds) = cost.meter.duration_ms {
        page.line("lived", &human::took(std::time::Duration::from_millis(milliseconds)));
    }
    if let Some(usage) = &cost.meter.usage {
        if let Some(cpu) = usage.cpu_us {
            page.line("cpu", &human::took(std::time::Duration::from_micros(cpu)));
        }
        if let Some(peak) = usage.memory_peak_bytes {
            page.line("memory at most", &format!("{} KiB", peak / 1024));
        }
        if let Some(peak) = usage.pids_peak {
            page.line("processes at most", &peak.to_string());
        }
    }
}
