//! What is measured, in this order, against one server that lives through all of it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::client::{Ask, Connection, Samples, load};
use crate::serve::There;
use crate::{floor, native, records};

/// Clients of the load.
const CLIENTS: usize = 64;
/// Records of the database that has grown.
const RECORDS: u32 = 100_000;

/// The server's process; it ends with this value.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) there: There,
}

impl Process {
    /// Starts it: `serve`, or `serve-native`.
    pub(crate) fn start(what: &str, folder: &Path) -> Outcome<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(what)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let there = serde_json::from_str(&line)?;
        Ok(Process { child, input, there })
    }

    /// Memory in MiB that is not anybody else's to give back.
    fn resident(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// All figures by name.
pub(crate) async fn all(folder: &Path) -> Outcome<BTreeMap<String, f64>> {
    std::fs::create_dir_all(folder)?;
    let server = Process::start("serve", folder)?;
    let (api, key) = (server.there.api.clone(), server.there.key.clone());
    let mut figures = BTreeMap::new();
    let mut note = |name: &str, figure: f64| {
        let _ = writeln!(std::io::stderr(), "{name}: {figure:.3}");
        figures.insert(name.to_owned(), figure);
    };
    note("rss_begin_mib", server.resident()?);

    // Something to look at, and everything warm.
    let create = Ask::create(&key);
    load(&api, 8, 200, None, |_| create.clone()).await?;
    let mut one = Connection::open(&api).await?;
    let (_, made) = one
        .send(&Ask {
            path: "/v1/sandboxes?wait=ready".into(),
            ..create.clone()
        })
        .await?;
    let made: Value = serde_json::from_slice(&made)?;
    let id = made["sandbox_id"].as_str().ok_or("no id")?.to_owned();
    let size = floor::size_of_record(folder)?;
    note("record_bytes", size as f64);

    // The overhead of a request, beside bare axum's.
    for (name, address, ask) in [
        ("bare", &server.there.bare, Ask::get("/", "")),
        ("healthz", &api, Ask::get("/healthz", "")),
        ("get", &api, Ask::get(&format!("/v1/sandboxes/{id}"), &key)),
    ] {
        let mut samples = load(address, 16, 2000, Some(100.0), |_| ask.clone()).await?;
        percentiles(&mut note, name, &mut samples);
    }

    // The floor before and after: what else runs on the machine shows in the difference.
    note("floor_commits_per_s", floor::commits(folder, size)?);
    let mut flat = load(&api, CLIENTS, 6000, None, |_| create.clone()).await?;
    note("creates_flat_out_per_s", flat.rate());
    percentiles(&mut note, "creates_flat_out", &mut flat);
    for pace in [200, 300, 400, 600] {
        // What was accepted before is made by then: each pace for itself.
        settled(&mut Connection::open(&api).await?, &key).await?;
        let mut paced = load(&api, CLIENTS, pace * 8, Some(pace as f64), |_| create.clone()).await?;
        percentiles(&mut note, &format!("creates_at_{pace}"), &mut paced);
    }
    settled(&mut Connection::open(&api).await?, &key).await?;
    note("floor_commits_again_per_s", floor::commits(folder, size)?);

    let mut burst = load(&api, 1000, 1000, None, |_| create.clone()).await?;
    percentiles(&mut note, "creates_at_once_1000", &mut burst);
    settled(&mut Connection::open(&api).await?, &key).await?;
    note("rss_after_creates_mib", server.resident()?);

    let ids = records::fill(folder, RECORDS, &id)?;
    let pick = |n: usize| ids.get(n * 7919 % ids.len()).cloned().unwrap_or_default();
    let mut get = load(&api, 16, 2000, Some(100.0), |n| {
        Ask::get(&format!("/v1/sandboxes/{}", pick(n)), &key)
    })
    .await?;
    percentiles(&mut note, "get_of_many", &mut get);
    for (name, query) in [
        ("plain", ""),
        ("all", "all=true"),
        ("state", "state=destroyed"),
        ("label", "all=true&label=team%3Dteam-7"),
        ("run", "all=true&run_id=run-13"),
        ("label_and_state", "state=destroyed&label=team%3Dteam-3"),
        ("label_of_nobody", "all=true&label=team%3Dnobody"),
        ("profile_and_actor", "all=true&profile=profile.native&actor=atm"),
    ] {
        let ask = Ask::get(&format!("/v1/sandboxes?limit=100&{query}"), &key);
        let mut page = load(&api, 4, 300, Some(30.0), |_| ask.clone()).await?;
        percentiles(&mut note, &format!("page_{name}"), &mut page);
    }
    note("rss_end_mib", server.resident()?);
    if rustix::process::geteuid().is_root() {
        native::measure(&mut note, folder).await?;
    }
    Ok(figures)
}

fn percentiles(note: &mut impl FnMut(&str, f64), name: &str, samples: &mut Samples) {
    note(&format!("{name}_p50_ms"), samples.percentile(50));
    note(&format!("{name}_p99_ms"), samples.percentile(99));
    note(&format!("{name}_refused"), samples.refused as f64);
}

/// Waits until everything that was accepted is made.
async fn settled(connection: &mut Connection, key: &str) -> Outcome {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let ask = Ask::get("/v1/sandboxes?state=requested&state=provisioning&limit=1", key);
    loop {
        let (_, page) = connection.send(&ask).await?;
        let page: Value = serde_json::from_slice(&page)?;
        if page["items"].as_array().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        if std::time::Instant::now() > deadline {
            return Err("what was accepted is not made after two minutes".into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
