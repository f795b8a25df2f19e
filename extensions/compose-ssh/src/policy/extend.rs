//! `extends` of a service in the same file: its entries are what the other has and it has not. Whatever it names otherwise (a
//! file, itself, nobody) stays as written, and is refused like any key that is not known.

use sandboxer_model::document::{Entry, Node, Value};

/// Values that may be made by extending, all services together: as many as a file may have.
const MOST_NODES: usize = 20_000;
/// How often one may extend the other.
const MOST_STEPS: usize = 8;

/// Extends the services of a file.
pub(super) fn extend(root: &mut Node) {
    let Value::Map(top) = &mut root.value else { return };
    let Some(services) = top.iter_mut().find(|entry| entry.key == "services") else {
        return;
    };
    let Value::Map(services) = &mut services.value.value else {
        return;
    };
    let written = services.clone();
    let mut budget = MOST_NODES;
    for service in services.iter_mut() {
        if let Some(whole) = resolved(&written, &service.key, MOST_STEPS, &mut budget) {
            service.value.value = Value::Map(whole);
        }
    }
}

/// The entries of a service with those that it extends; `None`: as written.
fn resolved(services: &[Entry], name: &str, steps: usize, budget: &mut usize) -> Option<Vec<Entry>> {
    let Value::Map(own) = &services.iter().find(|entry| entry.key == name)?.value.value else {
        return None;
    };
    let Some(at) = own.iter().position(|entry| entry.key == "extends") else {
        *budget = budget.checked_sub(count_all(own))?;
        return Some(own.clone());
    };
    let base = base_of(&own.get(at)?.value)?;
    let mut whole = resolved(services, base, steps.checked_sub(1)?, budget)?;
    *budget = budget.checked_sub(count_all(own))?;
    for entry in own.iter().filter(|entry| entry.key != "extends") {
        match whole.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => lay_over(&mut known.value, &entry.value),
            None => whole.push(entry.clone()),
        }
    }
    Some(whole)
}

fn base_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(name) => Some(name),
        Value::Map(entries) => match entries.as_slice() {
            [only] if only.key == "service" => match &only.value.value {
                Value::Text(name) => Some(name),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Mappings are joined, lists follow each other, anything else is replaced.
fn lay_over(base: &mut Node, own: &Node) {
    match (&mut base.value, &own.value) {
        (Value::Map(below), Value::Map(above)) => {
            for entry in above {
                match below.iter_mut().find(|known| known.key == entry.key) {
                    Some(known) => lay_over(&mut known.value, &entry.value),
                    None => below.push(entry.clone()),
                }
            }
        }
        (Value::List(below), Value::List(above)) if !is_command(below, above) => below.extend(above.iter().cloned()),
        _ => *base = own.clone(),
    }
}

/// Lists of words (a command, a test) are one value; lists of things are several. Told apart by what Compose joins: ports,
/// volumes and the like hold `:`, `=`, digits or mappings.
fn is_command(below: &[Node], above: &[Node]) -> bool {
    let is_thing = |node: &Node| match &node.value {
        Value::Text(text) => text.contains([':', '=']) || text.bytes().all(|b| b.is_ascii_digit()),
        Value::Number(..) | Value::Map(_) => true,
        _ => false,
    };
    !below.iter().chain(above).all(is_thing)
}

fn count_all(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| 1 + count(&entry.value)).sum()
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => items.iter().map(|item| 1 + count(item)).sum(),
        Value::Map(entries) => count_all(entries),
        _ => 1,
    }
}
