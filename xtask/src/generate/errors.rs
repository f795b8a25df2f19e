//! `docs/reference/errors.md`: every error code once, with an example and what to do.

use std::fmt::Write as _;

use sandboxer_model::error::{ERROR_CODES, ErrorCode};

struct Entry {
    meaning: &'static str,
    example: &'static str,
    what_to_do: &'static str,
}

/// What a person needs to know of a code. A code without an entry does not compile.
fn entry(code: ErrorCode) -> Entry {
    let entry = |meaning, example, what_to_do| Entry {
        meaning,
        example,
        what_to_do,
    };
    match code {
        ErrorCode::Internal => entry(
            "a bug of ours",
            "anything that says `internal`",
            "report it with the whole message and the output of `sandboxer doctor`; records and sandboxes are safe",
        ),
        ErrorCode::Usage => entry(
            "the command line makes no sense",
            "`sandboxer exec` without an id",
            "read `sandboxer VERB --help`",
        ),
        ErrorCode::InvalidProfile => entry(
            "a profile, manifest or configuration file is wrong",
            "`isolaton:` instead of `isolation:` in a profile",
            "go to the line and column the message names; `sandboxer profiles check FILE` finds every problem at once",
        ),
        ErrorCode::InvalidInput => entry(
            "an input, label or option has a wrong value",
            "`--input repo=missing-folder`",
            "`sandboxer profiles show PROFILE` lists the inputs and their types",
        ),
        ErrorCode::InvalidTtl => entry(
            "a time to live is wrong, or over the maximum of the profile",
            "`--ttl 99d` where the profile allows 24h",
            "ask for less, or raise `ttl.max` in a profile of your own",
        ),
        ErrorCode::NotFound => entry(
            "no sandbox, profile, extension or host has this name",
            "`sandboxer get sbx-zzz`",
            "`sandboxer list --all`, `sandboxer profiles list` and `sandboxer extensions list` show the names",
        ),
        ErrorCode::Ambiguous => entry(
            "the beginning of an id fits several sandboxes",
            "`sandboxer get sbx-01` with two sandboxes made in the same minute",
            "give more characters; the message lists what fits",
        ),
        ErrorCode::KeyConflict => entry(
            "an idempotency key was used before, for another request",
            "`sandboxer create --idempotency-key k` twice, the second time with another `--ttl`",
            "use another key for another request; the message names what the key made",
        ),
        ErrorCode::WrongState => entry(
            "the sandbox is in a state that does not allow it",
            "`sandboxer exec` into a destroyed sandbox",
            "`sandboxer get ID` shows the state; `sandboxer recreate ID` makes it again",
        ),
        ErrorCode::Busy => entry(
            "another command is working on this sandbox",
            "`recreate` while a `recreate` runs",
            "wait for it, or destroy the sandbox: destroy goes before everything else",
        ),
        ErrorCode::Fenced => entry(
            "another command took over this sandbox, so this one stopped writing",
            "a `create` whose sandbox was destroyed meanwhile",
            "nothing: the newer command has the last word; `sandboxer explain ID` shows both",
        ),
        ErrorCode::CannotEnforce => entry(
            "what the profile asks for cannot be enforced on this machine, so nothing was made",
            "a profile that asks for an egress allow-list, which the native runtime does not have yet",
            "`sandboxer doctor` says what can be enforced here and how to get the rest",
        ),
        ErrorCode::Unsupported => entry(
            "the extension does not have this capability",
            "`exec` on an extension without it",
            "`sandboxer extensions show ID` lists what an extension can do",
        ),
        ErrorCode::NoRoute => entry(
            "every candidate was ruled out, or no extension fits",
            "a profile whose extension is not part of this build",
            "the message names each candidate and why it was ruled out",
        ),
        ErrorCode::MissingPrerequisite => entry(
            "the machine lacks something the backend needs",
            "user namespaces are switched off",
            "`sandboxer doctor` names the fix",
        ),
        ErrorCode::Unavailable => entry(
            "the backend failed in a way that may pass",
            "a machine out of process ids",
            "try again; what had been made was removed",
        ),
        ErrorCode::BackendFailed => entry(
            "the backend failed for good",
            "the overlay file system is refused on this disk",
            "read the cause in the message; what had been made was removed",
        ),
        ErrorCode::Timeout => entry(
            "a deadline passed",
            "`sandboxer wait ID --for destroyed --timeout 1s`",
            "ask for more time, or look at `sandboxer explain ID`",
        ),
        ErrorCode::Stuck => entry(
            "a teardown could not prove that nothing is left",
            "a process in uninterruptible sleep inside the sandbox",
            "`sandboxer explain ID` names what is in the way; `sandboxer destroy ID` tries again",
        ),
        ErrorCode::StoreUnavailable => entry(
            "the data directory or the database cannot be used",
            "`--data-dir /proc/x`",
            "choose a directory you can write to with `--data-dir` or `SANDBOXER_DATA_DIR`",
        ),
        ErrorCode::StoreCorrupt => entry(
            "the database is damaged",
            "a file that was cut short",
            "restore it from a copy; sandboxes that run keep their time to live without it",
        ),
        ErrorCode::StoreForeign => entry(
            "the database was written by a newer release, or is not ours",
            "a data directory shared with a newer `sandboxer`",
            "use the newer release, or another data directory",
        ),
        ErrorCode::Interrupted => entry(
            "you interrupted it, and what it had done was undone",
            "Ctrl-C during `sandboxer create`",
            "nothing",
        ),
        ErrorCode::Unauthenticated => entry(
            "a request came without an API key, or with one that is wrong, expired or revoked; which of these is not said",
            "a request without `Authorization: Bearer sbx_live_…`",
            "set SANDBOXER_API_KEY; an administrator makes keys with `sandboxer keys create`",
        ),
        ErrorCode::Forbidden => entry(
            "the API key is valid and does not allow this",
            "an agent's key that asks for `GET /v1/hosts`",
            "use a key with the grant that the message names",
        ),
        ErrorCode::RateLimited => entry(
            "too many requests in a short time",
            "an eleventh create within a second",
            "wait as long as the header `Retry-After` says",
        ),
        ErrorCode::QuotaExceeded => entry(
            "the project has as many sandboxes as it may have",
            "a fifty-first create while fifty sandboxes of the project live",
            "destroy one, or have an administrator raise it with `sandboxer projects set`",
        ),
        ErrorCode::PreconditionFailed => entry(
            "the sandbox was changed since it was read",
            "`If-Match` with an ETag that is not the present one",
            "read it again and decide anew",
        ),
        ErrorCode::TooLarge => entry(
            "a request is larger than it may be",
            "a body of more than 1 MiB",
            "send less; files have an endpoint of their own that takes more",
        ),
        ErrorCode::NotAllowed => entry(
            "the method, media type or encoding of a request is not taken there",
            "a body that is not `application/json`",
            "see what the operation takes in `/docs`",
        ),
        ErrorCode::InDoubt => entry(
            "the server died while it did this before, so whether it was done cannot be told",
            "the same `Idempotency-Key` again for a command that was running when the server was killed",
            "look what became of it, and use a new key to do it again",
        ),
        ErrorCode::AlreadyDone => entry(
            "it was done before, and what it showed is shown only once",
            "the same `Idempotency-Key` again for a key or a webhook that was made",
            "look for what was made (`sandboxer keys list`, `sandboxer webhooks list`), remove it, and use a new key to make another",
        ),
        ErrorCode::Draining => entry(
            "the server is stopping and takes no more work",
            "a create right after the server got SIGTERM",
            "try again in a moment, with the same `Idempotency-Key`",
        ),
    }
}

/// The page.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Error codes\n\nMade by `cargo xtask generate`.\n\nAn error goes to stderr as `error: …`, followed by `hint: …` lines. \
         With `--output json` the last line of stderr is the same as an object: `{\"code\", \"message\", \"hints\"}`. \
         The exit code follows the kind of error, except that `run` and `exec` return 125 for every error of sandboxer itself, since \
         the other codes belong to the command inside.\n\n| code | exit | meaning | for example | what to do |\n|---|---:|---|---|---|\n",
    );
    for code in ERROR_CODES {
        let Entry {
            meaning,
            example,
            what_to_do,
        } = entry(*code);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{code}` | {} | {meaning} | {example} | {what_to_do} |",
            code.exit_code()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_once() {
        let page = page();
        for code in ERROR_CODES {
            assert_eq!(page.matches(&format!("| `{code}` |")).count(), 1, "{code}");
        }
    }
}
