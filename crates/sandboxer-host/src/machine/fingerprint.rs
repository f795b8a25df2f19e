//! What people compare of a host's key.

use std::time::Duration;

use sandboxer_extension::port::HostCommand;

use crate::local_exec::run_blocking;

/// `SHA256:…` and the kind of key, as `ssh-keygen -l` prints them. `line`: of a file of known hosts.
pub(super) fn of_line(line: &str) -> Option<String> {
    let output = run_blocking(&HostCommand {
        argv: vec![
            "ssh-keygen".to_owned(),
            "-l".to_owned(),
            "-f".to_owned(),
            "-".to_owned(),
        ],
        env: Vec::new(),
        stdin: format!("{line}\n").into_bytes(),
        timeout: Duration::from_secs(10),
        output_cap: 4096,
    })
    .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_ascii_whitespace();
    let print = words.find(|word| word.starts_with("SHA256:"))?.to_owned();
    let kind = words.next_back().unwrap_or("").trim_matches(['(', ')']).to_owned();
    Some(format!("{print} ({kind})"))
}
