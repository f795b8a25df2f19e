//! A Docker engine of our own as a peer: own files, own socket, no bridge. One that runs already is left alone.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cases::Case;
use super::crun::busybox_root;
use super::place::Place;
use super::timer::Spec;
use crate::test::Supervisor;
use crate::{Outcome, process};

const IMAGE: &str = "sbx-bench-busybox";
const CONTAINER: &str = "sbx-bench-peer";

/// A running engine with one running container.
pub(super) struct Docker {
    engine: Child,
    client: String,
    socket: String,
    /// What an engine leaves in places that are not its own, as far as it was not there before.
    traces: Vec<PathBuf>,
}

impl Docker {
    /// Starts it.
    pub(super) fn start(place: &Place, supervisor: &Supervisor) -> Outcome<Docker> {
        if !process::is_root() {
            return Err("docker as a peer: not root".into());
        }
        let missing = |program: &str| format!("docker as a peer: no {program}");
        let server = process::find("dockerd").ok_or_else(|| missing("dockerd"))?;
        let client = process::find("docker").ok_or_else(|| missing("docker"))?;
        let traces = traces().into_iter().filter(|path| !path.exists()).collect();
        let folder = place.sub("docker");
        std::fs::create_dir_all(&folder).map_err(|error| format!("docker as a peer: {error}"))?;
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let socket = format!("unix://{}", path("docker.sock"));
        let log = std::fs::File::create(folder.join("log")).map_err(|error| format!("docker as a peer: {error}"))?;
        let errors = log.try_clone().map_err(|error| format!("docker as a peer: {error}"))?;
        let engine = Command::new(server)
            .args([
                "--data-root",
                &path("data"),
                "--exec-root",
                &path("exec"),
                "--pidfile",
                &path("pid"),
            ])
            .args([
                "--host",
                &socket,
                "--bridge",
                "none",
                "--iptables=false",
                "--ip6tables=false",
            ])
            .args(["--storage-driver", "overlay2"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("docker as a peer: cannot start dockerd: {error}"))?;
        let mut docker = Docker {
            engine,
            client: client.to_string_lossy().into_owned(),
            socket,
            traces,
        };
        match docker.prepare(place) {
            Ok(()) => Ok(docker),
            Err(error) => {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(3).collect();
                docker.stop(supervisor);
                Err(format!("docker as a peer: {error}; its log ends: {}", tail.join(" | ")))
            }
        }
    }

    fn client(&self, words: &[&str]) -> Spec {
        Spec::new(&[&[self.client.as_str(), "--host", &self.socket], words].concat())
    }

    fn prepare(&mut self, place: &Place) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.client(&["version"]).time().error.is_some() {
            if let Ok(Some(status)) = self.engine.try_wait() {
                return Err(format!("dockerd ended at once: {status}"));
            }
            if Instant::now() > deadline {
                return Err("dockerd did not answer within 60 s".into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let root = place.sub("docker-image");
        busybox_root(&root)?;
        let tar = place.sub("image.tar").to_string_lossy().into_owned();
        process::run(
            process::command("tar")
                .args(["-c", "-f", &tar, "-C"])
                .arg(&root)
                .arg("."),
        )?;
        self.client(&["import", &tar, IMAGE]).output()?;
        let words = [
            "run",
            "--detach",
            "--network",
            "none",
            "--name",
            CONTAINER,
            IMAGE,
            "/bin/sleep",
            "100000",
        ];
        self.client(&words).output().map(drop)
    }

    /// The whole life, and exec.
    pub(super) fn cases(&self) -> Vec<Case> {
        vec![
            Case::one(
                "docker run --rm",
                self.client(&["run", "--rm", "--network", "none", IMAGE, "/bin/true"]),
            ),
            Case::one("docker exec", self.client(&["exec", CONTAINER, "/bin/true"])),
        ]
    }

    /// Removes the container and ends the engine; what it mounted goes with it.
    pub(super) fn stop(mut self, supervisor: &Supervisor) {
        let _ = self.client(&["rm", "--force", CONTAINER]).output();
        if let Some(pid) = i32::try_from(self.engine.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.engine.wait();
        for (pid, _) in supervisor.left_over(Duration::from_secs(5)) {
            if std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("containerd")) {
                supervisor.end(pid);
            }
        }
        for path in &self.traces {
            // Control groups go with rmdir alone, and only when nothing is in them.
            let removed = if path.starts_with("/sys") {
                std::fs::remove_dir(path)
            } else {
                std::fs::remove_dir_all(path)
            };
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                eprintln!("LEFT BEHIND: {}: {error}", path.display());
            }
        }
    }
}

fn traces() -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let groups = hierarchies.map(|entry| entry.path().join("docker"));
    let run = ["/run/docker", "/run/containerd", "/sys/fs/cgroup/docker"];
    run.into_iter().map(PathBuf::from).chain(groups).collect()
}
