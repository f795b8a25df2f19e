//! Variables of a command inside. A host's list of processes is open to everybody there, so values go over standard input
//! into a file that nobody else may read, and that is gone before the command starts.
//!
//! Engines read such a file line by line. A value of several lines goes in escaped, and a shell inside the container turns it
//! back before it becomes the command.

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

/// Turns escaped variables back, then becomes the command. Words: COUNT, their names, the command.
const TURN_BACK: &str = r#"__sbx_n=$1; shift
while [ "$__sbx_n" -gt 0 ]; do
__sbx_v=$(eval "printf '%b.' \"\$$1\"")
export "$1=${__sbx_v%.}"
shift; __sbx_n=$((__sbx_n - 1))
done
unset __sbx_n __sbx_v
exec "$@""#;

/// The variables of a command, ready to be handed over.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    /// A line for each, as engines read them.
    lines: String,
    /// Names of those whose values are escaped.
    escaped: Vec<String>,
}

impl Variables {
    /// Reads them.
    ///
    /// # Errors
    /// `Invalid` for a variable that cannot be handed over; the value is not told.
    pub(crate) fn of(variables: &[(String, String)]) -> Result<Variables, ExtensionError> {
        let mut all = Variables::default();
        for (name, value) in variables {
            let refuse = |why: &str, hint: &str| {
                let shown: String = name.chars().take(60).collect();
                let message = format!("the variable `{}` {why}", shown.escape_debug());
                Err(ExtensionError::new(ErrorKind::Invalid, message).hint(hint))
            };
            let is_odd = |c: char| c == '=' || c.is_whitespace() || c.is_control();
            if name.is_empty() || name.starts_with('#') || name.contains(is_odd) {
                let hint = "a name has no blanks, `=` or control characters, and does not begin with `#`";
                return refuse("has a name that no container engine takes", hint);
            }
            if value.contains('\0') {
                return refuse("has a NUL in its value", "pass it on standard input");
            }
            let mut value = value.as_str();
            let escaped;
            if value.contains(['\n', '\r']) {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if !name.chars().all(is_plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
                    let hint = "use a name of letters, digits and `_`, or pass it on standard input";
                    return refuse(
                        "has several lines in its value, which no shell takes for such a name",
                        hint,
                    );
                }
                escaped = value.replace('\\', r"\\").replace('\n', r"\n").replace('\r', r"\r");
                value = &escaped;
                all.escaped.push(name.clone());
            }
            if name.len() + value.len() > LONGEST {
                return refuse("is longer than 60 KiB", "pass it on standard input");
            }
            all.lines.extend([name.as_str(), "=", value, "\n"]);
        }
        Ok(all)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What is run inside, so that the command finds its variables as they were meant.
    pub(crate) fn wrap(&self, command: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if self.escaped.is_empty() {
            return command;
        }
        let shell = ["sh", "-c", TURN_BACK, "sh"].map(|word| word.as_bytes().to_vec());
        let mut all = shell.to_vec();
        all.push(self.escaped.len().to_string().into_bytes());
        all.extend(self.escaped.iter().map(|name| name.clone().into_bytes()));
        all.extend(command);
        all
    }

    /// Hands them over; the path of their file on the host.
    ///
    /// # Errors
    /// `NotFound` without the sandbox, `Unavailable`, `Failed`.
    pub(crate) async fn hand_over(
        &self,
        machine: &Machine,
        base_dir: &str,
        id: &str,
    ) -> Result<String, ExtensionError> {
        let program = Program {
            text: Cow::Borrowed(TEXT),
            words: vec![base_dir.to_owned(), id.to_owned()],
            timeout: TIMEOUT,
            output_cap: 4096,
        };
        let answer = machine.run(program, self.lines.clone().into_bytes()).await?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_line_or_refused() {
        let one = |name: &str, value: &str| Variables::of(&[(name.to_owned(), value.to_owned())]);
        assert_eq!(one("A", r" x = $y # \n ").unwrap().lines, "A= x = $y # \\n \n");
        assert_eq!(one("a.b-c", "").unwrap().lines, "a.b-c=\n");
        let several = one("A", "1\r\n\\n2\n").unwrap();
        assert_eq!(several.lines, "A=1\\r\\n\\\\n2\\n\n");
        assert_eq!(several.escaped, ["A"]);
        for (name, value) in [
            ("", "x"),
            ("#A", "x"),
            ("A B", "x"),
            ("A=B", "x"),
            ("a.b", "x\ny"),
            ("1", "x\ry"),
        ] {
            let refused = one(name, value).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Invalid, "{name:?} {value:?}");
            assert!(!refused.message.contains('x'), "a value is told nobody: {refused}");
        }
        assert!(one("A", &"v".repeat(LONGEST)).is_err());
    }

    #[test]
    fn what_is_escaped_is_turned_back() {
        let value = "one\ntwo\\n \\\\ %s $HOME `x` 'q' \"\\0041\r\n\n";
        let variables = Variables::of(&[("LINES".to_owned(), value.to_owned())]).unwrap();
        let (name, line) = variables.lines.trim_end_matches('\n').split_once('=').unwrap();
        let words = variables.wrap(vec![b"printenv".to_vec(), b"LINES".to_vec()]);
        let words: Vec<String> = words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect();
        #[expect(clippy::disallowed_methods, reason = "a shell is tried")]
        let printed = std::process::Command::new(&words[0])
            .args(&words[1..])
            .env(name, line)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), format!("{value}\n"));
    }
}
