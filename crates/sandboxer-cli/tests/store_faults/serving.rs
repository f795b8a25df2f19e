//! A server that keeps house while its store is in trouble; what it says is kept in a file, so that it waits for no reader.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{FAREWELL, World, wait_until, wait_within};

/// One server.
pub(crate) struct Serving {
    child: Child,
    log: PathBuf,
}

impl Serving {
    /// One that serves: signals mean something to it from here on.
    pub(crate) fn start(world: &World) -> Serving {
        let log = world.path().join("serving.log");
        let child = world
            .command(&["serve", "--output", "json"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let serving = Serving { child, log };
        serving.until(r#""what":"serving""#);
        serving
    }

    /// Everything it said.
    pub(crate) fn says(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn until(&self, words: &str) {
        wait_until(words, || {
            let said = self.says();
            if said.contains(words) { Ok(()) } else { Err(said) }
        });
    }

    /// Tells it to stop, which must go well. Everything it said.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = wait_within(FAREWELL, "the server ends", || {
            self.child.try_wait().unwrap().ok_or_else(|| self.says())
        });
        let said = self.says();
        assert!(status.success() && !said.contains("panicked"), "{said}");
        said
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A test that failed leaves none behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
