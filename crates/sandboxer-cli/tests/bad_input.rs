//! Wrong inputs and what is answered, word for word: `docs/bad-input.md` is this table.
//! `SBX_WRITE_DOCS=1 cargo test -p sandboxer-cli --test bad_input` writes it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start real programs and read real files"
)]

mod support;

use std::process::Command;

use support::{Answer, World};

/// Files the commands below name, relative to where they are run.
const FILES: &[(&str, &str)] = &[
    ("not-yaml.yaml", "id: profile.mine\nextension: [ext.native\n"),
    (
        "unknown-key.yaml",
        "id: profile.mine\nextension: ext.native\nisolaton:\n  level: container\n",
    ),
    (
        "wrong-type.yaml",
        "id: profile.mine\nextension: ext.native\nresources:\n  memory_mb: lots\n",
    ),
    (
        "bad-duration.yaml",
        "id: profile.mine\nextension: ext.native\nttl:\n  default: 4 hours\n",
    ),
    (
        "default-over-max.yaml",
        "id: profile.mine\nextension: ext.native\nttl:\n  default: 4h\n  max: 1h\n",
    ),
    (
        "wrong-choice.yaml",
        "id: profile.mine\nextension: ext.native\nisolation:\n  level: vm\n",
    ),
    (
        "twice.yaml",
        "id: profile.mine\nextension: ext.native\nid: profile.other\n",
    ),
    ("no-extension.yaml", "id: profile.mine\n"),
    (
        "several.yaml",
        "id: Mine\nextension: native\nttl:\n  default: 0s\nresources:\n  cpu: 0\n  pids: -1\n",
    ),
    ("unknown-extension.yaml", "id: profile.mine\nextension: ext.nowhere\n"),
    (
        "egress.yaml",
        "id: profile.mine\nextension: ext.native\nnetwork:\n  egress: [\"crates.io:443\"]\n",
    ),
    (
        "open-network.yaml",
        "id: profile.mine\nextension: ext.native\nnetwork:\n  default: allow\n",
    ),
    (
        "microvm.yaml",
        "id: profile.mine\nextension: ext.native\nisolation:\n  level: microvm\n",
    ),
    (
        "gpu.yaml",
        "id: profile.mine\nextension: ext.native\nresources:\n  gpu: 1\n",
    ),
    (
        "secrets.yaml",
        "id: profile.mine\nextension: ext.native\nsetup:\n  secret_refs: [TOKEN]\n",
    ),
    (
        "unknown-setting.yaml",
        "id: profile.mine\nextension: ext.native\nconfig:\n  colour: blue\n",
    ),
    (
        "bomb.yaml",
        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
                   d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n",
    ),
    ("file.txt", "not a directory\n"),
];

/// What is wrong, and the command. `{live}`, `{gone}` and `{both}` stand for the id of a sandbox that is ready, of one
/// that was destroyed, and for what both ids begin with.
const CASES: &[(&str, &str)] = &[
    // The command line.
    ("No verb", ""),
    ("A verb that does not exist", "crate"),
    ("An option that does not exist", "create --profil profile.native"),
    ("An option without its value", "create --ttl"),
    ("No id", "get"),
    ("An output format that does not exist", "list --output xml"),
    ("Options that exclude each other", "create --no-wait --dry-run"),
    ("No command to run", "run --profile profile.native"),
    ("No command to execute", "exec {live}"),
    ("A terminal where there is none", "exec --tty {live} -- sh"),
    ("Neither a span nor a time", "extend-ttl {live}"),
    (
        "A span and a time",
        "extend-ttl {live} --duration 1h --until 2031-05-04T12:00:00Z",
    ),
    // Values.
    ("A duration without unit", "create --ttl 4"),
    ("A duration of nothing", "create --ttl 0s"),
    ("A duration in a unit that does not exist", "create --ttl 1w"),
    (
        "A time to live over the profile's maximum",
        "create --profile profile.native --ttl 48h",
    ),
    ("A time without offset", "extend-ttl {live} --until 2031-05-04"),
    (
        "A deadline beyond the profile's maximum",
        "extend-ttl {live} --duration 30d",
    ),
    (
        "A deadline in the past",
        "extend-ttl {live} --until 2001-01-01T00:00:00Z",
    ),
    ("A label without value", "create --label team"),
    ("A label whose key is no name", "create --label=-team=blue"),
    ("A label given twice", "create --label a=1 --label a=2"),
    ("A change of labels that is neither", "label {live} team"),
    ("An input without value", "create --profile profile.native --input repo"),
    (
        "An input that does not exist",
        "create --profile profile.native --input rpeo=.",
    ),
    ("An input that is missing", "create --profile profile.compose-e2e"),
    (
        "A repository that does not exist",
        "create --profile profile.native --input repo=./nowhere",
    ),
    (
        "A repository that is a file",
        "create --profile profile.native --input repo=file.txt",
    ),
    ("A caller that does not exist", "create --actor robot"),
    ("A scope that does not exist", "create --scope global"),
    ("A state that does not exist", "list --state sleeping"),
    ("A variable without value", "exec --env PATH {live} -- true"),
    // Profiles.
    ("A profile that does not exist", "create --profile profile.natve"),
    ("A profile file that does not exist", "create --profile ./none.yaml"),
    ("A profile that is not YAML", "create --profile ./not-yaml.yaml"),
    ("A key that does not exist", "create --profile ./unknown-key.yaml"),
    ("A value of the wrong type", "create --profile ./wrong-type.yaml"),
    (
        "A duration that is none, in a profile",
        "create --profile ./bad-duration.yaml",
    ),
    ("A default over the maximum", "create --profile ./default-over-max.yaml"),
    ("A choice that does not exist", "create --profile ./wrong-choice.yaml"),
    ("A key given twice", "create --profile ./twice.yaml"),
    ("A key that is missing", "create --profile ./no-extension.yaml"),
    ("Several problems at once", "profiles check several.yaml --output table"),
    ("A small file that would become huge", "create --profile ./bomb.yaml"),
    ("A profile file that is a directory", "create --profile ./"),
    // What cannot be done or enforced.
    (
        "An extension that does not exist",
        "create --profile ./unknown-extension.yaml",
    ),
    (
        "An extension that does not exist, asked for by name",
        "extensions show ext.nowhere",
    ),
    (
        "An extension that is not part of this build",
        "create --profile profile.compose-e2e --input repo=.",
    ),
    ("Access to the network", "create --profile ./egress.yaml"),
    ("An open network", "create --profile ./open-network.yaml"),
    ("A kernel of its own", "create --profile ./microvm.yaml"),
    ("A device that cannot be given", "create --profile ./gpu.yaml"),
    ("Secrets", "create --profile ./secrets.yaml"),
    (
        "A setting the extension does not have",
        "create --profile ./unknown-setting.yaml",
    ),
    (
        "A dry run refuses what a create refuses",
        "create --dry-run --profile ./egress.yaml",
    ),
    (
        "A run refuses what a create refuses",
        "run --profile ./egress.yaml -- true",
    ),
    // Sandboxes.
    ("A sandbox that does not exist", "get sbx-7zzzzzzzzzzzzzzzzzzzzzzzzz"),
    ("A beginning that no id has", "destroy sbx-7zz"),
    ("A beginning that is too short", "get sbx-0"),
    ("Something that is no id", "get ../../etc/passwd"),
    ("A beginning that several ids have", "get {both}"),
    ("A command in a sandbox that is gone", "exec {gone} -- true"),
    (
        "More time for a sandbox that is gone",
        "extend-ttl {gone} --duration 1h",
    ),
    ("Waiting for what cannot come", "wait {gone} --for ready"),
    ("Waiting in vain", "wait {live} --for expired --timeout 1s"),
    ("The way into a sandbox that is gone", "reachability show {gone}"),
    (
        "A directory that is not there, inside",
        "exec --cwd /nowhere {live} -- true",
    ),
    ("A program that is not there, inside", "exec {live} -- /no/such/program"),
    // Hosts.
    (
        "A host that is none",
        "create --profile profile.compose-e2e --input repo=. --host=-oProxyCommand=x",
    ),
    (
        "A host where none is needed",
        "create --profile profile.native --host box",
    ),
    ("No host at all", "create --profile profile.compose-e2e --input repo=."),
    ("A host that is not registered", "hosts show box"),
    ("A name of a host that is none", "hosts add a/b"),
    ("An address of a host that is none", "hosts add box --address me@"),
    (
        "An address in place of a name",
        "hosts add me@box --address me@10.0.0.7",
    ),
    ("Slots that are no number", "hosts add box --slots many"),
    ("Processors that are no number", "hosts add box --cpu 1e3"),
    ("Memory that is nothing", "hosts add box --memory-mb 0"),
    ("A host that does not answer", "hosts add box --address me@127.0.0.1:1"),
    (
        "A host that shows no keys",
        "hosts add box --address me@127.0.0.1:1 --pin",
    ),
    ("No host to probe", "hosts probe"),
    ("A host to drain that is not registered", "hosts drain box"),
    ("A host to activate that is not registered", "hosts activate box"),
    ("A host to forget that is not registered", "hosts remove box"),
    ("A host to inspect that is none", "inspect host a/b"),
    ("Hours that are no number", "inspect stale --older-than soon"),
    ("Doing it and not doing it", "reap-stale --apply --dry-run"),
    // Servers, and who may do what there.
    ("An address that is none", "list --api box"),
    ("An address with a password in it", "list --api https://me:secret@box"),
    ("A socket that is not absolute", "list --api unix:api.sock"),
    ("A server that is not there", "list --api unix:/nowhere/api.sock"),
    ("A server to serve at", "serve --api https://box.example"),
    ("Nobody to be", "whoami"),
    ("A role that does not exist", "keys create ada --role boss"),
    (
        "A grant that does not exist",
        "keys create ada --role adm --grant sandboxes:paint",
    ),
    (
        "A grant that its role cannot have",
        "keys create bot --role agt --project blue --grant keys:admin",
    ),
    ("A tenant without a project", "keys create bot --role agt"),
    ("A person with a project", "keys create ada --role adm --project blue"),
    ("A name that is none", "keys create a/b --role adm"),
    ("A key that does not exist", "keys revoke 3k9x2m7q"),
    ("An overlap that is no duration", "keys rotate 3k9x2m7q --overlap soon"),
    ("Nothing to set", "projects set blue"),
    ("A project that makes nothing", "projects set blue --burst 0"),
    ("A copy between two places here", "cp a b"),
    ("A copy of what is not there", "cp nope sbx-LIVE:a"),
    ("A copy that leads out", "cp sbx-LIVE:../a b"),
    // The database.
    ("A data directory below a file", "list --data-dir file.txt/data"),
    ("A data directory nobody can write", "create --data-dir /proc/sandboxer"),
    ("A damaged database", "list --data-dir damaged"),
    ("A database of a newer release", "list --data-dir newer"),
    ("A database of another program", "list --data-dir foreign"),
];

/// `sandboxer.db` as an empty SQLite database of this owner and version, byte by byte: 100 bytes of header, then the
/// head of an empty table page (<https://www.sqlite.org/fileformat2.html>).
fn database(application_id: u32, user_version: u32) -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..24].copy_from_slice(&[0x10, 0, 1, 1, 0, 64, 32, 32]);
    page[24..32].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    page[40..48].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 4]);
    page[56..60].copy_from_slice(&[0, 0, 0, 1]);
    page[60..64].copy_from_slice(&user_version.to_be_bytes());
    page[68..72].copy_from_slice(&application_id.to_be_bytes());
    page[92..100].copy_from_slice(&[0, 0, 0, 1, 0, 0x2e, 0x84, 0x80]);
    page[100..108].copy_from_slice(&[13, 0, 0, 0, 0, 0x10, 0, 0]);
    page
}

/// What marks a database as ours: the bytes of `SBXR`.
const OURS: u32 = 0x5342_5852;

struct Bench {
    world: World,
    live: String,
    gone: String,
}

impl Bench {
    fn new() -> Bench {
        let world = World::new();
        for (name, text) in FILES {
            world.write(name, text);
        }
        world.write(
            "damaged/sandboxer.db",
            [b"SQLite format 3\0".as_slice(), &[0xA5; 9000]].concat(),
        );
        world.write("newer/sandboxer.db", database(OURS, 1_000_000));
        world.write("foreign/sandboxer.db", database(0xDEAD_BEEF, 1));
        let (gone, live) = (world.create(&[]), world.create(&[]));
        world.destroy(&gone);
        Bench { world, live, gone }
    }

    fn run(&self, line: &str) -> Answer {
        let words: Vec<String> = line
            .split_whitespace()
            .map(|word| {
                let word = word.replace("{live}", &self.live).replace("{gone}", &self.gone);
                word.replace("{both}", &self.live[..self.shared()])
            })
            .collect();
        self.world.run(&words)
    }

    /// The same without what differs from run to run.
    fn settled(&self, text: &str) -> String {
        let text = text
            .replace(&self.world.work.to_string_lossy().into_owned(), "/home/me/work")
            .replace(
                &self.world.data.to_string_lossy().into_owned(),
                "/home/me/.local/share/sandboxer",
            )
            .replace(&self.live, "sbx-LIVE")
            .replace(&self.gone, "sbx-GONE")
            .replace(&format!("`{}`", &self.live[..self.shared()]), "`sbx-…`");
        let text = without_ids(&without_times(&text));
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// How many characters the two ids have in common.
    fn shared(&self) -> usize {
        self.live
            .bytes()
            .zip(self.gone.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    }

    fn section(&self, title: &str, line: &str, answer: &Answer) -> String {
        let shown = line
            .replace("{live}", "sbx-LIVE")
            .replace("{gone}", "sbx-GONE")
            .replace("{both}", "sbx-…");
        let mut text = format!("### {title}\n\n");
        for (name, content) in FILES.iter().filter(|(name, _)| name.ends_with(".yaml")) {
            if shown
                .split_whitespace()
                .any(|word| word.trim_start_matches("./") == *name)
            {
                text.push_str(&format!("`{name}`:\n\n```yaml\n{content}```\n\n"));
            }
        }
        // Data is shown where it is what the user reads.
        let data = if line.contains("--output table") {
            answer.stdout.as_str()
        } else {
            ""
        };
        let printed = self.settled(&format!("{data}{}", answer.stderr));
        text.push_str(&format!(
            "```console\n$ {}\n{printed}\n```\n\nExit code {}.\n",
            format!("sandboxer {shown}").trim_end(),
            answer.code
        ));
        text
    }
}

/// Points in time become `TIME`, except those that were given.
fn without_times(text: &str) -> String {
    let like = |bytes: &[u8], form: &[u8]| {
        bytes.len() >= form.len()
            && form
                .iter()
                .zip(bytes)
                .all(|(f, b)| if *f == b'0' { b.is_ascii_digit() } else { f == b })
    };
    replaced(text, "TIME", |rest| {
        if !like(rest, b"0000-00-00T00:00:00") || rest.starts_with(b"2031") || rest.starts_with(b"2001") {
            return None;
        }
        Some(rest.iter().position(|b| *b == b'Z')? + 1)
    })
}

/// Ids of sandboxes that a command made become `sbx-NEW`; how long one lived becomes `N`.
fn without_ids(text: &str) -> String {
    let text = replaced(text, "sbx-NEW", |rest| {
        let body = rest
            .strip_prefix(b"sbx-")?
            .iter()
            .take_while(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        (body.count() == 26).then_some(30)
    });
    replaced(&text, "N", |rest| {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        (digits > 0 && rest[digits..].starts_with(b"s since ready")).then_some(digits)
    })
}

/// The text with everything `find` measures replaced.
fn replaced(text: &str, with: &str, find: impl Fn(&[u8]) -> Option<usize>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        match find(rest.as_bytes()) {
            Some(length) => {
                out.push_str(with);
                rest = &rest[length..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bad-input.md");
const NO_NAMESPACES: &str = "No user namespaces";
const NO_CONTROL_GROUPS: &str = "Limits that must hold where nothing can hold them";
const NO_HOME: &str = "Nowhere to keep records";

#[test]
fn every_wrong_input_is_answered_as_documented() {
    let bench = Bench::new();
    let mut page = String::from(
        "# Wrong inputs and their answers\n\nMade by `cargo xtask generate` from what the program really printed; a \
         test compares. Standard output stays empty in each case unless the command had data to print.\n\
         `sbx-LIVE` stands for the id of a sandbox that is ready, `sbx-GONE` for one that was destroyed.\n",
    );
    for (title, line) in CASES {
        let answer = bench.run(line);
        assert_ne!(answer.code, 0, "{title}: {answer:?}");
        assert!(!answer.stderr.contains("panicked"), "{title}: {answer:?}");
        // OpenSSH does nothing for a user id that nobody has.
        if answer.stderr.contains("has no name on this machine") {
            support::skip(&format!("wrong input: {title}"), "OpenSSH knows no user of this id");
            page.push_str(&format!("\n{}", as_documented(title)));
            continue;
        }
        page.push_str(&format!("\n{}", bench.section(title, line, &answer)));
    }
    page.push_str(&format!("\n{}", without_home(&bench)));
    page.push_str(&format!("\n{}", without_control_groups(&bench)));
    page.push_str(&format!("\n{}", without_namespaces(&bench)));
    // Nothing of all this has left anything behind or touched what is there.
    assert_eq!(bench.world.run(&["list"]).json().as_array().unwrap().len(), 1);
    bench.world.destroy(&bench.live);

    if std::env::var_os("SBX_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let documented = std::fs::read_to_string(PAGE).unwrap_or_default();
    for (documented, answered) in sections(&documented).iter().zip(sections(&page)) {
        assert_eq!(*documented, answered, "run `cargo xtask generate`");
    }
    assert_eq!(documented, page, "run `cargo xtask generate`");
}

fn sections(page: &str) -> Vec<&str> {
    page.split("\n### ").collect()
}

fn without_home(bench: &Bench) -> String {
    let mut command = bench.world.command(&["list"]);
    let output = command.env_clear().output().unwrap();
    let answer = Answer {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    bench.section(NO_HOME, "list", &answer)
}

/// A machine that forbids user namespaces: the limit is set to none in a namespace that only this command sees.
fn without_namespaces(bench: &Bench) -> String {
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces";
    without_rights(bench, NO_NAMESPACES, forbid, "create --profile profile.native")
}

/// A user who has no control groups.
fn without_control_groups(bench: &Bench) -> String {
    without_rights(
        bench,
        NO_CONTROL_GROUPS,
        "true",
        "create --profile profile.native-strict",
    )
}

/// Runs the command as a user without rights on the machine, in a namespace prepared by `before`.
fn without_rights(bench: &Bench, title: &str, before: &str, line: &str) -> String {
    let script =
        format!("{before} && exec setpriv --ambient-caps=-all --inh-caps=-all \"$0\" {line} --data-dir elsewhere");
    let mut command = Command::new("unshare");
    bench.world.settle(&mut command);
    command.args([
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--keep-caps",
        "sh",
        "-c",
        &script,
    ]);
    command.arg(env!("CARGO_BIN_EXE_sandboxer"));
    match command.output() {
        // What a user's own session may do differs from machine to machine; what root gives up does not.
        Ok(output)
            if rustix::process::geteuid().is_root()
                && !String::from_utf8_lossy(&output.stderr).contains("unshare:") =>
        {
            let answer = Answer {
                code: output.status.code().unwrap_or(-1),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            };
            assert_ne!(answer.code, 0, "{answer:?}");
            bench.section(title, line, &answer)
        }
        other => {
            support::skip(
                &format!("wrong input: {title}"),
                &format!("this case needs root and unshare: {other:?}"),
            );
            as_documented(title)
        }
    }
}

/// The section of a case that cannot be tried here.
fn as_documented(title: &str) -> String {
    let documented = std::fs::read_to_string(PAGE).unwrap_or_default();
    let section = sections(&documented)
        .into_iter()
        .find(|section| section.starts_with(title))
        .map(str::trim_end);
    section.map_or_else(String::new, |section| format!("### {section}\n"))
}

#[test]
fn with_json_the_last_line_of_standard_error_is_an_object() {
    let bench = Bench::new();
    for (title, line) in CASES.iter().filter(|(_, line)| !line.contains("--output")) {
        let (before, after) = line
            .split_once(" -- ")
            .map_or((*line, ""), |(before, after)| (before, after));
        let after = if after.is_empty() {
            String::new()
        } else {
            format!(" -- {after}")
        };
        let answer = bench.run(&format!("{before} --output json{after}"));
        if line.is_empty() || matches!(answer.code, 126 | 127) {
            continue;
        }
        let last = answer.stderr.lines().last().unwrap_or_default();
        let object: serde_json::Value =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{title}: {error}: {answer:?}"));
        assert!(
            object["code"].is_string() && object["message"].is_string(),
            "{title}: {object}"
        );
        if !answer.stdout.is_empty() {
            serde_json::from_str::<serde_json::Value>(&answer.stdout)
                .unwrap_or_else(|error| panic!("{title}: data is not JSON: {error}: {answer:?}"));
        }
    }
    bench.world.destroy(&bench.live);
}
