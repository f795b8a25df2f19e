//! What is on a host: everything that looks like a sandbox, ours and foreign, and what the host itself is like.

use std::collections::BTreeMap;

use sandboxer_extension::{HostProbe, Inventory, InventoryItem};
use sandboxer_model::operation::Epoch;

use sandboxer_host::reply::Reply;

/// Stands where a program takes a sandbox's id and the call is about none.
pub(crate) const NOBODY: &str = "nobody";

/// Lines `thing|KIND|ID|PROJECT|SANDBOX|INSTALLATION|EPOCH` and `directory|NAME|AGE|INSTALLATION|EPOCH|PATH`. What a
/// label names counts only where it can be read as what it should be.
pub(crate) fn read(reply: &Reply) -> Inventory {
    let items = reply.things.iter().filter_map(|line| item(line)).collect();
    match (&reply.partial, reply.complete) {
        (None, true) => Inventory::Complete(items),
        (Some(why), _) => Inventory::Partial {
            items,
            why: why.clone(),
        },
        (None, false) => Inventory::Partial {
            items,
            why: "the host's answer broke off".to_owned(),
        },
    }
}

fn item(line: &str) -> Option<InventoryItem> {
    let fields: Vec<&str> = line.split('|').collect();
    match fields.as_slice() {
        ["thing", kind, id, project, sandbox, installation, epoch] => Some(InventoryItem {
            kind: (*kind).to_owned(),
            name: format!("{project}/{id}"),
            sandbox_id: sandbox.parse().ok(),
            installation_id: installation.parse().ok(),
            epoch: epoch.parse().ok().map(Epoch),
        }),
        ["directory", name, _age, installation, epoch, path] => Some(InventoryItem {
            kind: "directory".to_owned(),
            name: (*path).to_owned(),
            sandbox_id: name.parse().ok(),
            installation_id: installation.parse().ok(),
            epoch: epoch.parse().ok().map(Epoch),
        }),
        _ => None,
    }
}

/// What a host is like, and what sandboxes would lack there.
pub(crate) fn probe(reply: &Reply) -> HostProbe {
    let mut missing: Vec<String> = reply.lacks.iter().map(|what| lack(what)).collect();
    let facts: BTreeMap<String, String> = reply.facts.iter().cloned().collect();
    if let Some(failure) = reply.failure() {
        missing.push(failure.message);
    } else if !facts.contains_key("compose") {
        missing.push("no docker compose, docker-compose or podman-compose: install one".to_owned());
    }
    HostProbe {
        snapshot: reply.snapshot(),
        facts,
        missing,
    }
}

/// What the lack of one thing means, and what to do about it.
pub(crate) fn lack(what: &str) -> String {
    match what {
        "root" => {
            "no root: `network.default: deny` cannot be held there; log in as root, or let the user run `sudo -n`"
                .to_owned()
        }
        "nft" => "no nft: `network.default: deny` cannot be held there; install nftables".to_owned(),
        "guard" => {
            "logins end what they started (KillUserProcesses=yes in logind.conf): no guard would keep the time to \
                    live; set it to no, or `loginctl enable-linger`"
                .to_owned()
        }
        "nsenter" | "bash" => format!("no {what}: isolation would not be tried out from inside; install it"),
        program => format!("no {program}: install it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        let mut reply = Reply::default();
        for line in text.lines() {
            reply.take(line);
        }
        reply
    }

    #[test]
    fn a_list_that_broke_off_is_not_complete() {
        let lines = "directory|sbx-x|10||3|/tmp/sandboxer/sbx-x";
        assert!(matches!(read(&reply(lines)), Inventory::Partial { .. }));
        assert!(matches!(read(&reply(&format!("{lines}\nseen"))), Inventory::Complete(items) if items.len() == 1));
        assert!(matches!(
            read(&reply(&format!(
                "partial the container engine does not answer\n{lines}\nseen"
            ))),
            Inventory::Partial { .. }
        ));
    }

    #[test]
    fn a_label_that_is_no_id_owns_nothing() {
        let read = read(&reply("thing|container|abc|sbx-evil|sbx-../../x|inst|-1\nseen"));
        let [item] = read.items() else { panic!("{read:?}") };
        assert_eq!(
            (&item.sandbox_id, &item.installation_id, item.epoch),
            (&None, &None, None)
        );
    }
}
