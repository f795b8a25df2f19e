//! `docs/isolation.md`, which is this table.

use std::fmt::Write;
use std::path::PathBuf;

use super::table::PROBES;

const HEAD: &str = "\
<!-- Generated: SBX_WRITE_DOCS=1 cargo test -p sandboxer-native --test probes the_documented_table -->
# Isolation, and how it is tested

What a native sandbox must not let happen. Each line is a *probe*: a program that runs inside a real sandbox, or beside
one, and tries it. Every probe runs in a sandbox made by root and in one made by a plain user, and must report that it
was refused:

    cargo test -p sandboxer-native --test probes

A probe that cannot fail proves nothing. In a build with the cargo feature `weaken`, which no release has, single
protections can be switched off. Each probe is run again with what holds it switched off, and must report the breach:

    cargo test -p sandboxer-native --features weaken --test probes_can_fail

Where a breach would harm the machine that runs the tests (another kernel, a module, the clock), the call is made with
arguments that make no sense: the error tells whether the filter refused it or the kernel looked at it.

What remains: sandboxes share the kernel of their host. A hole in the kernel's own code, reached through the calls that
ordinary programs need, is not held by any of this. Run hostile strangers' code behind a virtual machine.

";

fn text() -> String {
    let mut text = HEAD.to_owned();
    let _ = writeln!(
        text,
        "| Probe | What is tried | What holds it | As root | As a plain user | Breaks with this switched off |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|");
    for probe in PROBES {
        let off = if probe.off[0] == probe.off[1] {
            format!("`{}`", probe.off[0])
        } else {
            format!("`{}`; plain user: `{}`", probe.off[0], probe.off[1])
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | held | held | {off} |",
            probe.name, probe.tries, probe.layers
        );
    }
    let _ = writeln!(text, "\n{} probes, each as root and as a plain user.", PROBES.len());
    text
}

/// Whether the document is what the table says; writes it when `SBX_WRITE_DOCS` is set.
pub(crate) fn compare() -> Result<(), String> {
    if !cfg!(target_arch = "x86_64") {
        // Three of the probes are of that architecture alone, and the document has them.
        return Ok(());
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/isolation.md");
    let want = text();
    if std::env::var_os("SBX_WRITE_DOCS").is_some() {
        return std::fs::write(&path, want).map_err(|error| error.to_string());
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    if have == want {
        Ok(())
    } else {
        Err(format!(
            "{} is out of date: run this test with SBX_WRITE_DOCS=1",
            path.display()
        ))
    }
}
