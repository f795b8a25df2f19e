//! Which paths are taken: below the workspace, as they are written.

use std::fmt;
use std::str::FromStr;

use sandboxer_model::error::{ErrorCode, UserError};

/// Bytes of a path at most, as in `PATH_MAX` of Linux.
pub const MOST_PATH: usize = 4096;
/// Bytes of one name at most, as in `NAME_MAX` of Linux.
const MOST_NAME: usize = 255;

/// A path below the workspace of a sandbox: relative, without empty components, `.` or `..`. The workspace itself is `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspacePath(String);

impl WorkspacePath {
    /// The path as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a word of a command: never an option, whatever it begins with.
    pub(super) fn word(&self) -> Vec<u8> {
        if self.0 == "." {
            return b".".to_vec();
        }
        format!("./{}", self.0).into_bytes()
    }

    /// Refuses the workspace itself.
    pub(super) fn beneath(&self, verb: &str) -> Result<(), UserError> {
        if self.0 == "." {
            let what = format!("cannot {verb} the workspace itself");
            return Err(UserError::new(ErrorCode::InvalidInput, what).hint("name a path below it"));
        }
        Ok(())
    }
}

impl fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkspacePath {
    type Err = UserError;

    fn from_str(text: &str) -> Result<WorkspacePath, UserError> {
        let refused = |why: &str| {
            UserError::new(ErrorCode::InvalidInput, format!("cannot take this path: {why}"))
                .hint("give it relative to the workspace, such as `src/main.c`; `.` is the workspace itself")
        };
        if text == "." {
            return Ok(WorkspacePath(text.to_owned()));
        }
        if text.is_empty() {
            return Err(refused("it is empty"));
        }
        if text.len() > MOST_PATH {
            return Err(refused("it is longer than 4096 bytes"));
        }
        if text.contains('\0') {
            return Err(refused("it holds a NUL byte"));
        }
        if text.starts_with('/') {
            return Err(refused("it is absolute"));
        }
        for part in text.split('/') {
            match part {
                "" => return Err(refused("it has an empty component, such as in `a//b` or `a/`")),
                "." => return Err(refused("`.` is a component of it")),
                ".." => return Err(refused("`..` is a component of it")),
                part if part.len() > MOST_NAME => return Err(refused("a component is longer than 255 bytes")),
                _ => {}
            }
        }
        Ok(WorkspacePath(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_plainly_below_the_workspace_is_a_path() {
        for good in [
            ".", "a", "a/b", "-rf", "a b", "…", "a\nb", ".hidden", "..a", "$(id)", "a'b\"c",
        ] {
            assert_eq!(good.parse::<WorkspacePath>().unwrap().as_str(), good);
        }
        let (long_name, long_path) = ("n".repeat(256), "a/".repeat(2048) + "b");
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "a/./b",
            "a\0b",
            "\0",
            "//a",
            &long_name,
            &long_path,
        ] {
            let error = bad.parse::<WorkspacePath>().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidInput, "{bad:?}");
        }
    }

    #[test]
    fn a_word_is_never_an_option() {
        assert_eq!("-rf".parse::<WorkspacePath>().unwrap().word(), b"./-rf");
        assert_eq!(".".parse::<WorkspacePath>().unwrap().word(), b".");
    }
}
