//! What came of trying something that must not work.

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The wall stood; what was seen.
    Held(String),
    /// The wall was passed; what was seen.
    Broken(String),
    /// Neither can be said.
    Unclear(String),
}

impl Outcome {
    /// The line that carries it from one process to another.
    pub(crate) fn to_line(&self) -> String {
        let (word, text) = match self {
            Outcome::Held(text) => ("HELD", text),
            Outcome::Broken(text) => ("BROKEN", text),
            Outcome::Unclear(text) => ("UNCLEAR", text),
        };
        format!("{word} {}", text.replace('\n', " | "))
    }

    /// The outcome in the last line that has one.
    pub(crate) fn in_text(text: &str) -> Option<Outcome> {
        text.lines().rev().find_map(|line| {
            let (word, text) = line.split_once(' ')?;
            let text = text.to_owned();
            match word {
                "HELD" => Some(Outcome::Held(text)),
                "BROKEN" => Some(Outcome::Broken(text)),
                "UNCLEAR" => Some(Outcome::Unclear(text)),
                _ => None,
            }
        })
    }

    /// Whether the wall stood.
    pub(crate) fn held(&self) -> bool {
        matches!(self, Outcome::Held(_))
    }
}

/// One outcome for several: a single breach decides.
pub(crate) fn all(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    let outcomes: Vec<Outcome> = outcomes.into_iter().collect();
    let texts = |want: fn(&Outcome) -> Option<&String>| -> Option<String> {
        let texts: Vec<&str> = outcomes.iter().filter_map(want).map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    };
    let broken = texts(|outcome| match outcome {
        Outcome::Broken(text) => Some(text),
        _ => None,
    });
    let unclear = texts(|outcome| match outcome {
        Outcome::Unclear(text) => Some(text),
        _ => None,
    });
    let held = texts(|outcome| match outcome {
        Outcome::Held(text) => Some(text),
        _ => None,
    });
    match (broken, unclear, held) {
        (Some(text), _, _) => Outcome::Broken(text),
        (None, Some(text), _) => Outcome::Unclear(text),
        (None, None, Some(text)) => Outcome::Held(text),
        (None, None, None) => Outcome::Unclear("nothing was tried".to_owned()),
    }
}

/// Held when the call failed with one of these numbers; any other answer means that the kernel looked at it.
pub(crate) fn refused<T: std::fmt::Debug>(what: &str, result: Result<T, i32>, with: &[i32]) -> Outcome {
    match result {
        Err(errno) if with.contains(&errno) => Outcome::Held(format!("{what}: {}", name(errno))),
        Err(errno) => Outcome::Broken(format!("{what}: {}", name(errno))),
        Ok(value) => Outcome::Broken(format!("{what}: done ({value:?})")),
    }
}

/// [`refused`] for the results of the standard library.
pub(crate) fn refused_io<T>(what: &str, result: std::io::Result<T>, with: &[i32]) -> Outcome {
    refused(
        what,
        result.map(|_| ()).map_err(|error| error.raw_os_error().unwrap_or(0)),
        with,
    )
}

/// Held when it is true.
pub(crate) fn check(holds: bool, seen: impl Into<String>) -> Outcome {
    if holds {
        Outcome::Held(seen.into())
    } else {
        Outcome::Broken(seen.into())
    }
}

/// An error number as people know it.
pub(crate) fn name(errno: i32) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::EROFS, "EROFS"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENXIO, "ENXIO"),
        (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (libc::ENETUNREACH, "ENETUNREACH"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::EINPROGRESS, "EINPROGRESS"),
    ];
    known
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}
