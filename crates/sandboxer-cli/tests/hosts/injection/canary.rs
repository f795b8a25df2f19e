//! The file that a payload makes if somebody obeys it.

use std::path::Path;

use sandboxer_testbed::payloads::payloads;

use crate::lab::Lab;

/// A name that nothing else on any machine has, and the payloads that would make it.
pub(super) struct Canary {
    path: String,
}

impl Canary {
    /// For one batch of cases.
    pub(super) fn new(batch: &str) -> Canary {
        Canary {
            path: format!("/tmp/sbx-pwned-{}-{batch}", std::process::id()),
        }
    }

    /// Every payload.
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        let all = payloads(&self.path);
        assert!(all.len() >= 300, "{}", all.len());
        all
    }

    /// Those that are text.
    pub(super) fn texts(&self) -> Vec<String> {
        let all = self.payloads().into_iter();
        all.filter_map(|payload| String::from_utf8(payload).ok()).collect()
    }

    /// Fails when anybody obeyed: here, on the host, or in a container of it.
    #[track_caller]
    pub(super) fn nobody_obeyed(&self, lab: &Lab, sandbox: Option<&str>) {
        assert!(!Path::new(&self.path).exists(), "{} on this machine", self.path);
        assert!(!lab.host.file(&self.path).exists(), "{} on the host", self.path);
        if let Some(id) = sandbox {
            let looked = lab.run(&["exec", id, "--", "ls", "-d", &self.path]);
            assert!(
                looked.code == 1 && looked.stdout.is_empty(),
                "in the container: {looked:?}"
            );
        }
        for folder in ["tmp", "work"] {
            let injected = format!("/{folder}/injected");
            assert!(!lab.host.file(&injected).exists(), "{injected} on the host");
        }
    }
}
