//! Names of files in options of `ssh`, whatever is in them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use super::MachineError;

/// What `%` means in an option (ssh_config(5), TOKENS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Percent {
    /// It begins something that is put in: `UserKnownHostsFile`, `IdentityFile`, `CertificateFile`.
    Expands,
    /// It is itself: `GlobalKnownHostsFile`.
    Literal,
}

/// `NAME="FILE" "FILE"`, each as one word (OpenSSH: `misc.c`, `argv_split`).
///
/// # Errors
/// A name holds what OpenSSH has no way to write: a line break, or `${` where it would be put in.
pub(super) fn files(name: &str, files: &[&Path], percent: Percent) -> Result<OsString, MachineError> {
    let mut option = format!("{name}=").into_bytes();
    for (number, file) in files.iter().enumerate() {
        // A whole path does not begin with `~`, which would mean somebody's home.
        let whole = std::path::absolute(file).map_err(|error| MachineError::keys(file, &error.to_string()))?;
        let bytes = whole.as_os_str().as_bytes();
        let is_put_in = percent == Percent::Expands && bytes.windows(2).any(|two| two == b"${");
        if is_put_in || bytes.contains(&b'\n') || bytes.contains(&b'\r') {
            return Err(MachineError::keys(
                file,
                "OpenSSH has no way to write a line break or `${` in such a name",
            ));
        }
        if number > 0 {
            option.push(b' ');
        }
        option.push(b'"');
        for byte in bytes {
            match byte {
                b'"' | b'\\' => option.extend([b'\\', *byte]),
                b'%' if percent == Percent::Expands => option.extend(b"%%"),
                byte => option.push(*byte),
            }
        }
        option.push(b'"');
    }
    Ok(OsString::from_vec(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_word() {
        let option = |file: &str, percent| files("X", &[Path::new(file), Path::new("/b")], percent);
        let expands = option(r#"/a "b\c %d"#, Percent::Expands).expect("it can be written");
        assert_eq!(expands, r#"X="/a \"b\\c %%d" "/b""#);
        let literal = option("/a %d${x}", Percent::Literal).expect("it can be written");
        assert_eq!(literal, r#"X="/a %d${x}" "/b""#);
        assert!(option("/a${x}", Percent::Expands).is_err());
        assert!(option("/a\nb", Percent::Literal).is_err());
    }
}
