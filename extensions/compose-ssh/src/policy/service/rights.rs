//! What a service may do: nothing that reaches beyond its container.

use std::collections::BTreeSet;

use crate::policy::fields::{At, Fields};
use crate::policy::refusal::reason;

/// Capabilities that a container keeps when a file says nothing, and the most that it can ask for: what images need that
/// start as root, make their directories, and go on as somebody else. None of them reaches beyond the container.
pub(in crate::policy) const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
];

/// What takes rights away, or asks for no more than every container has.
pub(super) fn harmless_rights(fields: &mut Fields<'_>) {
    fields.drop_keys(&["cap_drop"], "is not used: every capability is dropped but a few");
    if let Some(given) = fields.take("cap_add") {
        let kept: BTreeSet<&str> = CAPABILITIES.iter().copied().collect();
        for item in given.items().unwrap_or_default() {
            if let Some(text) = item.text() {
                let upper = text.to_ascii_uppercase();
                let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
                if !kept.contains(bare) {
                    item.refuse::<()>(format!(
                        "asks for {text}, which {}",
                        reason("cap_add").unwrap_or_default()
                    ));
                }
            }
        }
    }
    if let Some(given) = fields.take("security_opt") {
        for item in given.items().unwrap_or_default() {
            match item.text().as_deref() {
                Some("no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true") | None => {}
                Some(_) => {
                    item.refuse::<()>(reason("security_opt").unwrap_or_default());
                }
            }
        }
    }
    if let Some(privileged) = fields.take("privileged")
        && privileged.truth() != Some(false)
    {
        privileged.refuse::<()>(reason("privileged").unwrap_or_default());
    }
}

/// `user[:group]`, each a name or a number.
pub(super) fn plain_user(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let plain = |part: &str| {
        !part.is_empty() && part.len() <= 32 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if text.splitn(2, ':').all(plain) {
        Some(text)
    } else {
        at.refuse(format!("is `{text}`, not a user"))
    }
}
