//! crun as a peer of exec. crun 1.8 refuses machines with both kinds of control groups, so it runs in a mount
//! namespace without the second kind; a timer of our own sits there with it, so that getting in is not measured.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::cases::Case;
use super::place::Place;
use super::timer::{Sample, Spec};
use crate::{Outcome, process, workspace};

/// A running container and the timer beside it.
pub(super) struct Crun {
    timer: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    root: String,
    bundle: String,
}

const CONTAINER: &str = "sbx-bench-peer";

impl Crun {
    /// Starts both.
    pub(super) fn start(place: &Place) -> Outcome<Crun> {
        for program in ["crun", "busybox", "unshare"] {
            if !process::is_installed(program) {
                return Err(format!("crun as a peer: no {program}"));
            }
        }
        if !process::is_root() {
            return Err("crun as a peer: not root".into());
        }
        let bundle = place.sub("crun-bundle");
        busybox_root(&bundle.join("rootfs"))?;
        let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        process::run(process::command("crun").arg("spec").current_dir(&bundle))?;
        let config = bundle.join("config.json");
        let text = std::fs::read_to_string(&config).map_err(|error| format!("crun as a peer: {error}"))?;
        let mut spec: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if let Some(process) = spec.get_mut("process").and_then(serde_json::Value::as_object_mut) {
            process.insert("terminal".into(), false.into());
            process.insert("args".into(), serde_json::json!(["/bin/sleep", "100000"]));
            process.remove("rlimits");
        }
        workspace::write(&config, &spec.to_string())?;

        let script = "for at in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts); do \
                      [ \"$at\" = /sys/fs/cgroup ] || umount \"$at\" || exit 1; done; exec \"$@\"";
        let ourselves = std::env::current_exe().map_err(|error| format!("crun as a peer: {error}"))?;
        let mut timer = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(ourselves)
            .arg("__timer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("crun as a peer: cannot start its timer: {error}"))?;
        let (to, from) = (timer.stdin.take(), timer.stdout.take());
        let from = BufReader::new(from.ok_or("crun as a peer: its timer has no output")?);
        let mut crun = Crun {
            timer,
            to,
            from,
            root: path(place.sub("crun-root")),
            bundle: path(bundle),
        };
        let run = Spec::new(&[
            "crun",
            "--root",
            &crun.root,
            "run",
            "--detach",
            "--bundle",
            &crun.bundle,
            CONTAINER,
        ]);
        let started = crun.time(&run).and_then(|sample| match sample.error {
            None => Ok(()),
            Some(error) => Err(format!("crun as a peer: {error}")),
        });
        match started {
            Ok(()) => Ok(crun),
            Err(error) => {
                crun.stop();
                Err(error)
            }
        }
    }

    /// Exec into it.
    pub(super) fn cases(&self) -> Vec<Case> {
        vec![Case::elsewhere(
            "crun exec",
            Spec::new(&["crun", "--root", &self.root, "exec", CONTAINER, "true"]),
        )]
    }

    /// Times a command there.
    pub(super) fn time(&mut self, spec: &Spec) -> Outcome<Sample> {
        let failed = |error: std::io::Error| format!("the timer beside crun: {error}");
        let line = serde_json::to_string(spec).map_err(|error| error.to_string())?;
        let to = self.to.as_mut().ok_or("the timer beside crun was stopped")?;
        writeln!(to, "{line}").and_then(|()| to.flush()).map_err(failed)?;
        let mut answer = String::new();
        self.from.read_line(&mut answer).map_err(failed)?;
        serde_json::from_str(&answer).map_err(|error| format!("the timer beside crun said `{answer}`: {error}"))
    }

    /// Removes the container and ends the timer.
    pub(super) fn stop(mut self) {
        let delete = Spec::new(&["crun", "--root", &self.root, "delete", "--force", CONTAINER]);
        if let Some(error) = self.time(&delete).err() {
            eprintln!("LEFT BEHIND: container {CONTAINER}: {error}");
        }
        drop(self.to.take());
        let _ = self.timer.wait();
        // crun makes this folder whatever --root says. In use by others it is not empty, and stays.
        let _ = std::fs::remove_dir("/run/crun");
    }
}

/// A root file system with nothing but busybox.
pub(super) fn busybox_root(root: &std::path::Path) -> Outcome {
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", root.display());
    for folder in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(folder)).map_err(failed)?;
    }
    let busybox = process::find("busybox").ok_or("no busybox")?;
    std::fs::copy(busybox, root.join("bin/busybox")).map_err(failed)?;
    for applet in ["sh", "true", "sleep", "cat", "echo"] {
        match std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}
