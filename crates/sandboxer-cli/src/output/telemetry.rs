//! What a create learned about its host: a line for people, and a copy beside the records.

use std::io::Write as _;
use std::path::Path;

use sandboxer_model::host::IntrospectionReport;
use sandboxer_model::sandbox::Sandbox;

use crate::context::Context;

/// Tells of a sandbox's telemetry, where it has any. What cannot be written is a note: the record has it all.
pub(crate) fn tell(context: &Context, sandbox: &Sandbox) {
    let Some(report) = &sandbox.telemetry else { return };
    // What a server made is on the records of the server.
    if context.api.is_none()
        && let Err(error) = keep(&context.data_dir, report)
    {
        context.note(&format!(
            "{} the telemetry of {} is on its record only: {error}",
            context.error_paint.warn("note:"),
            report.sandbox_id
        ));
    }
    context.note(&line(report));
}

/// Writes `telemetry/<id>.json`, whole or not at all, for its owner only.
#[expect(clippy::disallowed_methods, reason = "this file is the port for this directory")]
fn keep(data_dir: &Path, report: &IntrospectionReport) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let dir = data_dir.join("telemetry");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let place = dir.join(format!("{}.json", report.sandbox_id));
    let draft = dir.join(format!(".{}.{}", report.sandbox_id, std::process::id()));
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&draft, &place));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

/// The line for people. What could not be measured is `?`.
fn line(report: &IntrospectionReport) -> String {
    let delta = &report.provision_delta;
    let load = delta
        .load_1m_delta
        .map_or_else(|| "?".to_owned(), |load| format!("{load:+.2}"));
    let memory = delta
        .mem_available_mb_delta
        .map_or_else(|| "?".to_owned(), |mib| format!("{mib:+}"));
    format!(
        "Telemetry: load Δ{load}, mem avail Δ{memory} MiB, stale candidates: {}",
        report.stale_candidates.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_and_one_file() {
        use sandboxer_model::host::{HostSnapshot, ProvisionDelta};
        let seen = |load, free| HostSnapshot {
            load_1m: load,
            mem_available_mb: free,
            ..HostSnapshot::default()
        };
        let mut report = IntrospectionReport {
            schema_version: "0.1".to_owned(),
            host: "box".to_owned(),
            sandbox_id: "sbx-00000000000000000000000000".parse().unwrap(),
            profile_id: "profile.x".to_owned(),
            collected_at: jiff::Timestamp::UNIX_EPOCH,
            provision_delta: ProvisionDelta::between(seen(Some(0.5), Some(185)), seen(Some(0.62), Some(100))),
            inventory: None,
            stale_candidates: Vec::new(),
        };
        assert_eq!(
            line(&report),
            "Telemetry: load Δ+0.12, mem avail Δ-85 MiB, stale candidates: 0"
        );
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            keep(dir.path(), &report).unwrap();
        }
        let files: Vec<_> = std::fs::read_dir(dir.path().join("telemetry"))
            .unwrap()
            .flatten()
            .collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].file_name(), "sbx-00000000000000000000000000.json");
        report.provision_delta = ProvisionDelta::default();
        assert_eq!(
            line(&report),
            "Telemetry: load Δ?, mem avail Δ? MiB, stale candidates: 0"
        );
    }
}
