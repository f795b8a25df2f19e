//! Variables of a command inside. A host's list of processes is open to everybody there, so values go over standard input
//! into a file that nobody else may read, and that is gone before the command starts.

use std::borrow::Cow;
use std::time::Duration;

use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_host::{Machine, Program};

/// Keeps its input in a file of the sandbox's and says its name. Words: BASE ID.
const TEXT: &str = r#"umask 077
cd "$1/.sbx/$2" 2>/dev/null || exit 4
file=$(mktemp ./env.XXXXXX) && cat >"$file" && echo "$1/.sbx/$2/${file#./}""#;
/// How long the host may take for that.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Engines read files of variables by lines of less than 64 KiB.
const LONGEST: usize = 60 * 1024;

/// Hands the variables over; the path of the file on the host.
///
/// # Errors
/// `Invalid` for a variable that a line cannot hold, `NotFound` without the sandbox, `Unavailable`.
pub(crate) async fn hand_over(
    machine: &Machine,
    base_dir: &str,
    id: &str,
    variables: &[(String, String)],
) -> Result<String, ExtensionError> {
    let program = Program {
        text: Cow::Borrowed(TEXT),
        words: vec![base_dir.to_owned(), id.to_owned()],
        timeout: TIMEOUT,
        output_cap: 4096,
    };
    let answer = machine.run(program, lines(variables)?.into_bytes()).await?;
    let path = String::from_utf8_lossy(&answer.stdout).trim_end().to_owned();
    match answer.code {
        0 if path.starts_with('/') => Ok(path),
        4 => Err(ExtensionError::new(
            ErrorKind::NotFound,
            format!("{id} is not on {} any more", machine.address()),
        )),
        _ => Err(ExtensionError::new(
            ErrorKind::Failed,
            format!("{} could not keep the variables: is its disk full?", machine.address()),
        )),
    }
}

/// A line for each, as engines read them.
fn lines(variables: &[(String, String)]) -> Result<String, ExtensionError> {
    let mut lines = String::new();
    for (name, value) in variables {
        let refuse = |why: &str, hint: &str| {
            let shown: String = name.chars().take(60).collect();
            Err(ExtensionError::new(
                ErrorKind::Invalid,
                format!("the variable `{}` {why}", shown.escape_debug()),
            )
            .hint(hint))
        };
        if name.is_empty()
            || name.starts_with('#')
            || name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
        {
            return refuse(
                "has a name that no container engine takes",
                "a name has no blanks, `=` or control characters",
            );
        }
        if value.contains(['\n', '\r', '\0']) {
            return refuse(
                "has a line break in its value, which container engines take on the command line alone, where everybody sees it",
                "pass it on standard input, or encode it",
            );
        }
        if name.len() + value.len() > LONGEST {
            return refuse("is longer than 60 KiB", "pass it on standard input");
        }
        lines.extend([name.as_str(), "=", value.as_str(), "\n"]);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_line_or_refused() {
        let one = |name: &str, value: &str| lines(&[(name.to_owned(), value.to_owned())]);
        assert_eq!(one("A", " x = $y # z ").unwrap(), "A= x = $y # z \n");
        assert_eq!(one("a.b-c", "").unwrap(), "a.b-c=\n");
        for (name, value) in [
            ("", "x"),
            ("#A", "x"),
            ("A B", "x"),
            ("A=B", "x"),
            ("A", "x\ny"),
            ("A", "x\r"),
        ] {
            let refused = one(name, value).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Invalid, "{name:?} {value:?}");
            assert!(!refused.message.contains('x'), "a value is told nobody: {refused}");
        }
        assert!(one("A", &"v".repeat(LONGEST)).is_err());
    }
}
