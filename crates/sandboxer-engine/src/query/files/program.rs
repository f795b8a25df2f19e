//! What runs inside: fixed programs for a POSIX shell with the tools of Debian or of BusyBox. Values of callers are arguments
//! (`$1` is the path) and never part of a text. How a program ends says what came of it; what tools print about their
//! failures is looked at inside and goes no further.

use sandboxer_model::error::{ErrorCode, UserError};

use super::path::WorkspacePath;

/// A program, and what it does to a path, in words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    body: &'static str,
    verb: &'static str,
}

/// In front of each: ends with the code of what a tool printed.
const PRELUDE: &str = r#"LC_ALL=C; export LC_ALL; umask 022; p=$1
fail() { case $1 in
*"No space left"*|*"uota exceeded"*|*"File too large"*) exit 64;;
*"Permission denied"*|*"Read-only file system"*|*"not permitted"*) exit 65;;
*"Not a directory"*|*"File exists"*) exit 66;;
*"too long"*) exit 67;;
*"No such file"*) exit 61;;
*"not found"*) exit 127;;
esac; exit 70; }
found() { [ -e "$p" ] || [ -h "$p" ] || exit 61; }
"#;

/// A regular file, if it is no larger than `$2` bytes.
pub(super) const READ: Program = Program {
    verb: "read",
    body: r#"[ -e "$p" ] || exit 61
[ ! -d "$p" ] || exit 62
[ -f "$p" ] || exit 63
[ -r "$p" ] || exit 65
n=$(stat -L -c %s "$p" 2>/dev/null) && [ "$n" -gt "$2" ] && exit 68
exec cat "$p"
"#,
};

/// An archive of what is in a directory, or of one file. That something changed while it was read (1) is no failure: what
/// else would a workspace do that is being worked in.
pub(super) const READ_TREE: Program = Program {
    verb: "read",
    body: r#"found
if [ -d "$p" ] && [ ! -h "$p" ]; then tar -cf - -C "$p" . 2>/dev/null; else
d=${p%/*}; tar -cf - -C "$d" "./${p##*/}" 2>/dev/null; fi
code=$?; [ "$code" != 1 ] || exit 0; exit "$code"
"#,
};

/// What comes in, up to the seal `$2`, as a file of the mode `$3`. What does not end with the seal broke off.
pub(super) const WRITE: Program = Program {
    verb: "write",
    body: r#"[ ! -d "$p" ] || exit 62
d=${p%/*}; take "$d"
m=$3; [ -n "$m" ] || m=$(stat -L -c %a "$p" 2>/dev/null) || m=644
case $m in ????) m=${m#?};; esac
why=$(chmod "$m" "$t" 2>&1) || fail "$why"
why=$(mv -f "$t" "$p" 2>&1) || fail "$why"
"#,
};

/// What comes in, up to the seal `$2`, is an archive to unpack into a directory.
pub(super) const WRITE_TREE: Program = Program {
    verb: "unpack an archive into",
    body: r#"take "$p"
tar -tf "$t" >/dev/null 2>&1 || { [ $? != 127 ] || exit 127; exit 69; }
why=$(tar -xof "$t" -C "$p" 2>&1 >/dev/null) || fail "$why"
"#,
};

/// Writes what comes in to a temporary file `$t` beneath the directory `$1`, without the seal; removes it at the end, whatever
/// that is.
const TAKE: &str = r#"seal=$2
take() {
why=$(mkdir -p "$1" 2>&1) || fail "$why"
[ -d "$1" ] || exit 66
t=$(mktemp "$1/.sandboxer-XXXXXX" 2>&1) || fail "$t"
trap 'rm -f "$t"' EXIT; trap 'exit 71' HUP INT PIPE TERM
why=$(cat 2>&1 >"$t") || fail "$why"
[ "$(tail -c 32 "$t")" = "$seal" ] || exit 71
n=$(stat -c %s "$t") || exit 70
why=$(dd if=/dev/null of="$t" bs=1 count=0 seek=$((n - 32)) 2>&1) || fail "$why"
}
"#;

/// Names, an empty name, then for each its raw mode in hexadecimal and its size; in parts.
pub(super) const LIST: Program = Program {
    verb: "list",
    body: r#"[ -e "$p" ] || exit 61
[ -d "$p" ] || exit 66
[ -r "$p" ] && cd "$p" 2>/dev/null || exit 65
find . -mindepth 1 -maxdepth 1 -exec sh -c 'for f; do printf "%s\0" "${f#./}"; done
printf "\0"; stat -c "%f %s" "$@"; printf "\0"' sh {} + 2>/dev/null || exit 72
"#,
};

/// A file, a link, or a directory and what is in it.
pub(super) const REMOVE: Program = Program {
    verb: "remove",
    body: r#"found
why=$(rm -rf "$p" 2>&1) || fail "$why"
"#,
};

impl Program {
    /// The whole text.
    pub(super) fn text(self) -> Vec<u8> {
        let take = if self.body.contains("take ") { TAKE } else { "" };
        [PRELUDE, take, self.body].concat().into_bytes()
    }

    /// What its end means.
    pub(super) fn verdict(self, path: &WorkspacePath, code: u8) -> Result<(), UserError> {
        let verb = self.verb;
        let said = |code, why: &str| UserError::new(code, format!("cannot {verb} `{}`: {why}", shown(path)));
        Err(match code {
            0 => return Ok(()),
            61 => said(ErrorCode::NotFound, "there is no such file in the workspace"),
            62 => said(ErrorCode::InvalidInput, "it is a directory").hint("use `archive=tar` for what is in it"),
            63 => said(ErrorCode::InvalidInput, "it is neither a file nor a directory"),
            64 => said(ErrorCode::QuotaExceeded, "the disk of the sandbox is full")
                .hint("remove what is not needed, or give it more by `resources.disk_mb` of its profile"),
            65 => said(ErrorCode::Forbidden, "the sandbox does not allow it")
                .hint("see `workspace.access` of its profile, and the permissions of the file"),
            66 => said(
                ErrorCode::InvalidInput,
                "it is no directory, or a part of its path is none",
            ),
            67 => said(
                ErrorCode::InvalidInput,
                "its name is too long for the file system inside",
            ),
            68 => said(ErrorCode::TooLarge, "it is larger than 1 GiB"),
            69 => said(ErrorCode::InvalidInput, "what was sent is no tar archive").hint("send it without compression"),
            71 => said(
                ErrorCode::Unavailable,
                "what was sent broke off; what was there is unchanged",
            )
            .hint("send it again"),
            72 => said(ErrorCode::Busy, "it changed while it was looked at").hint("try again"),
            126 | 127 => said(
                ErrorCode::MissingPrerequisite,
                "a tool that is needed is not there inside",
            )
            .hint("an image needs `sh`, `cat`, `stat`, `mktemp`, `find` and `tar`, as Debian and BusyBox have them"),
            137 | 143 => {
                said(ErrorCode::Unavailable, "it was ended before it was done").hint("see what became of the sandbox")
            }
            other => said(
                ErrorCode::BackendFailed,
                &format!("what does it inside ended with {other}"),
            ),
        })
    }
}

/// A path in an error: as it was given, without what a terminal would obey.
fn shown(path: &WorkspacePath) -> String {
    path.as_str()
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(200)
        .collect()
}
