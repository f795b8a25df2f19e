//! What callers may ask to run. Errors say what is wrong and never quote a value: it may be a secret.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandboxer_api::request::ExecRequest;
use sandboxer_api::stream::{Size, Start};
use sandboxer_engine::api::ExecCommand;
use sandboxer_extension::{ExecStdio, WindowSize};
use sandboxer_model::error::{ErrorCode, UserError};

/// How long a command may take when nothing is said.
const USUAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one may take.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

/// A command as callers describe it, checked.
#[derive(Debug)]
pub(crate) struct Wanted {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: Option<String>,
    service: Option<String>,
}

impl Wanted {
    /// The command of a request that waits for its end.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(crate) fn of_request(request: &mut ExecRequest) -> Result<Wanted, UserError> {
        Wanted {
            argv: std::mem::take(&mut request.argv),
            env: std::mem::take(&mut request.env),
            cwd: request.cwd.take(),
            service: request.service.take(),
        }
        .checked()
    }

    /// The command of a connection.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(crate) fn of_start(start: Start) -> Result<Wanted, UserError> {
        Wanted {
            argv: start.argv,
            env: start.env,
            cwd: start.cwd,
            service: start.service,
        }
        .checked()
    }

    /// As the engine takes it.
    pub(crate) fn over(self, stdio: ExecStdio) -> ExecCommand {
        ExecCommand {
            argv: self.argv.into_iter().map(String::into_bytes).collect(),
            env: self.env.into_iter().collect(),
            cwd: self.cwd,
            service: self.service,
            stdio,
        }
    }

    fn checked(self) -> Result<Wanted, UserError> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(invalid("`argv` names no program").hint("give the program as its first element"));
        }
        if let Some(number) = self.argv.iter().position(|word| word.contains('\0')) {
            return Err(invalid(&format!("element {number} of `argv` holds a NUL byte")));
        }
        if self
            .env
            .keys()
            .any(|name| name.is_empty() || name.contains(['=', '\0']))
        {
            return Err(invalid(
                "the name of a variable in `env` is empty or holds `=` or a NUL byte",
            ));
        }
        if self.env.values().any(|value| value.contains('\0')) {
            return Err(invalid("the value of a variable in `env` holds a NUL byte"));
        }
        if self
            .cwd
            .as_ref()
            .is_some_and(|cwd| cwd.is_empty() || cwd.contains('\0'))
        {
            return Err(invalid("`cwd` is empty or holds a NUL byte"));
        }
        Ok(self)
    }
}

/// What a command reads.
///
/// # Errors
/// `InvalidInput`: it is given twice, or is not base 64.
pub(crate) fn stdin(request: &mut ExecRequest) -> Result<Vec<u8>, UserError> {
    match (request.stdin.take(), request.stdin_base64.take()) {
        (Some(_), Some(_)) => Err(invalid("both `stdin` and `stdin_base64` are given").hint("give one of them")),
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|_| invalid("`stdin_base64` is not base 64").hint("use the standard alphabet, with padding")),
        (None, None) => Ok(Vec::new()),
    }
}

/// How long a command may take.
///
/// # Errors
/// `InvalidInput`: too long, or no time at all.
pub(crate) fn timeout(request: &ExecRequest) -> Result<Duration, UserError> {
    let Some(asked) = request.timeout else {
        return Ok(USUAL_TIMEOUT);
    };
    let asked = Duration::from_secs(asked.as_secs());
    if asked.is_zero() || asked > LONGEST_TIMEOUT {
        return Err(invalid("`timeout` is not between 1 second and 10 minutes")
            .hint("commands that take longer are run over a WebSocket, or in the background"));
    }
    Ok(asked)
}

/// The size of a terminal.
///
/// # Errors
/// `InvalidInput`: it has no room for anything.
pub(crate) fn window(size: Size) -> Result<WindowSize, UserError> {
    if size.rows == 0 || size.columns == 0 {
        return Err(invalid("a terminal has at least one row and one column"));
    }
    Ok(WindowSize {
        rows: size.rows,
        columns: size.columns,
    })
}

fn invalid(what: &str) -> UserError {
    UserError::new(ErrorCode::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut ExecRequest)) -> ExecRequest {
        let mut request = ExecRequest {
            argv: vec!["true".to_owned()],
            ..ExecRequest::default()
        };
        change(&mut request);
        request
    }

    #[test]
    fn what_cannot_be_run_is_refused_without_quoting_it() {
        let secret = "hunter2";
        let bad = [
            request(|one| one.argv = Vec::new()),
            request(|one| one.argv = vec![String::new()]),
            request(|one| one.argv.push(format!("{secret}\0"))),
            request(|one| drop(one.env.insert(String::new(), secret.to_owned()))),
            request(|one| drop(one.env.insert(format!("A={secret}"), "b".to_owned()))),
            request(|one| drop(one.env.insert("A".to_owned(), format!("{secret}\0")))),
            request(|one| one.cwd = Some(format!("/{secret}\0"))),
            request(|one| one.cwd = Some(String::new())),
        ];
        for mut request in bad {
            let error = Wanted::of_request(&mut request).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidInput);
            assert!(!error.message.contains(secret), "{}", error.message);
        }
        assert!(Wanted::of_request(&mut request(|_| {})).is_ok());
    }

    #[test]
    fn input_is_text_or_base_64_and_not_both() {
        assert_eq!(stdin(&mut request(|_| {})).unwrap(), b"");
        assert_eq!(
            stdin(&mut request(|one| one.stdin = Some("é".to_owned()))).unwrap(),
            "é".as_bytes()
        );
        let base64 = |text: &str| stdin(&mut request(|one| one.stdin_base64 = Some(text.to_owned())));
        assert_eq!(base64("Yf8=").unwrap(), b"a\xff");
        assert!(!base64("secret!").unwrap_err().message.contains("secret"));
        let both = |one: &mut ExecRequest| {
            one.stdin = Some(String::new());
            one.stdin_base64 = Some(String::new());
        };
        assert!(stdin(&mut request(both)).is_err());
    }

    #[test]
    fn time_is_bounded() {
        let of = |text: &str| timeout(&request(|one| one.timeout = Some(text.parse().unwrap())));
        assert_eq!(timeout(&request(|_| {})).unwrap(), USUAL_TIMEOUT);
        assert_eq!(of("10m").unwrap(), LONGEST_TIMEOUT);
        assert!(of("601s").is_err());
    }
}
