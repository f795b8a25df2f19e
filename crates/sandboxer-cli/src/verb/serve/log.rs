//! What a server says on standard error: one line for each thing that it did.

use std::sync::Arc;

use sandboxer_engine::api::RunReport;
use sandboxer_extension::port::Clock;

use crate::context::Context;
use crate::output::shown;

/// Writes lines.
pub(super) struct Log {
    clock: Arc<dyn Clock>,
    json: bool,
    quiet: bool,
}

impl Log {
    /// As the options say.
    pub(super) fn new(context: &Context) -> Log {
        Log {
            clock: Arc::clone(&context.clock),
            json: context.json_on_request,
            quiet: context.quiet,
        }
    }

    /// One line for each thing that a run did.
    pub(super) fn report(&self, name: &str, report: &RunReport) {
        let took = report.took_ms.to_string();
        for action in &report.did.actions {
            let fields = [
                ("reconciler", name),
                ("on", action.on.as_str()),
                ("took_ms", took.as_str()),
            ];
            self.line("info", &action.what, &fields);
        }
        for open in &report.did.open {
            self.line("warn", "left open", &[("reconciler", name), ("why", open)]);
        }
        if let Some(error) = &report.error {
            self.line("error", "broke off", &[("reconciler", name), ("why", error)]);
        }
    }

    /// One line. Quiet servers tell of errors only.
    pub(super) fn line(&self, level: &str, what: &str, fields: &[(&str, &str)]) {
        if self.quiet && level != "error" {
            return;
        }
        let at = format!("{:.3}", self.clock.now());
        if self.json {
            let mut line = serde_json::Map::new();
            for (key, value) in [("at", at.as_str()), ("level", level), ("what", what)]
                .iter()
                .chain(fields)
            {
                line.insert((*key).to_owned(), serde_json::Value::from(*value));
            }
            eprintln!("{}", serde_json::Value::Object(line));
            return;
        }
        let mut line = format!("{at} {level:5} {what}");
        for (key, value) in fields {
            line.push_str(&format!(" {key}={}", quoted(value)));
        }
        eprintln!("{}", shown::painted(&line));
    }
}

/// A value that has blanks in it stands in quotes, so that a line can be cut at blanks.
fn quoted(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

impl sandboxer_server::log::Log for Log {
    fn line(&self, level: sandboxer_server::log::Level, what: &str, fields: &[(&str, &str)]) {
        Log::line(self, level.name(), what, fields);
    }
}
