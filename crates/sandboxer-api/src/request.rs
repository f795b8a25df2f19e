//! Bodies of requests about sandboxes, and the answers that are not in [`answer`](crate::answer). Unknown members are refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandboxer_model::duration::Span;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::operation::{OperationKind, OperationStatus};
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::Actor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to create.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSandbox {
    /// A profile of the server's catalog; left out: `profile.sandbox-canary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Inputs of the profile. A directory is given as `upload:<id>`, with the id that uploading it returned.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// On whose behalf, within what the key allows.
    #[serde(
        default,
        deserialize_with = "crate::object::maybe",
        skip_serializing_if = "Option::is_none"
    )]
    pub consumer: Option<AskedConsumer>,
    /// Overrides the profile's scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Overrides the profile's time to live, up to its maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// A registered host to put it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// On whose behalf a sandbox is asked for. What is left out comes from the key; more than the key has is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedConsumer {
    /// What kind of caller: the role of the key or a lesser one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The calling project: the one of the key, or any where the key has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The run, session or job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// A change of labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSandbox {
    /// Labels to set; null removes one.
    pub labels: BTreeMap<String, Option<String>>,
}

/// A new deadline: one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendTtl {
    /// This much later than now or than the present deadline, whichever is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// At this time; safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
}

/// A command to run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// Program and arguments; at least one.
    pub argv: Vec<String>,
    /// Variables on top of the sandbox's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where to start; left out: in the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// In which service, where a sandbox has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What it reads, in base 64 where `stdin_base64` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The same for bytes that are no text; at most one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin_base64: Option<String>,
    /// How long it may take, at most 10 minutes; left out: 60 s. What takes longer is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// How a command ended and what it printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecResult {
    /// What a shell would report: its code, 128 + signal, or 137 when the sandbox ended under it.
    pub exit_code: u8,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// What it printed, with U+FFFD for what is no UTF-8; at most 1 MiB.
    pub stdout: String,
    /// The same of its errors.
    pub stderr: String,
    /// The bytes of `stdout` in base 64, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<String>,
    /// The bytes of `stderr` in base 64, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<String>,
    /// Whether it printed more than is shown.
    pub truncated: bool,
}

/// One durable operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// Its id.
    pub operation_id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// To which sandbox.
    pub sandbox_id: SandboxId,
    /// How far it got.
    pub status: OperationStatus,
    /// The step it is at.
    pub step: Option<String>,
    /// When it was accepted.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// Why it failed or is stuck.
    pub error: Option<String>,
}

/// A directory that was uploaded, to be an input of a create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// `upl-…`: named as `upload:<id>` in the inputs of a create.
    pub upload_id: String,
    /// Files, directories and links in it.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it is removed unless a sandbox uses it.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

/// A file of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// `file`, `directory`, `link` or `other`.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenFile {
    /// Where, below the workspace.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
}
