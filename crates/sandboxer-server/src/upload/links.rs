//! Where links lead: never out of the tree, at no point of their way.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// More links than this on one way are a circle for Linux too (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;
/// More steps than this on one way lead nowhere that anybody meant.
const MOST_STEPS: usize = 4096;

/// Whether a link leaves the tree at any point on its way: by its own target, or by a link that its target leads through.
pub(super) fn leads_out(link: &Path, target: &[u8], links: &HashMap<PathBuf, Vec<u8>>) -> bool {
    let mut here: PathBuf = link.parent().map(Path::to_owned).unwrap_or_default();
    let mut steps = VecDeque::new();
    if !ahead(&mut steps, target) {
        return true;
    }
    let (mut followed, mut taken) = (1, 0);
    while let Some(step) = steps.pop_front() {
        taken += 1;
        if taken > MOST_STEPS {
            return true;
        }
        if step == ".." {
            if !here.pop() {
                return true;
            }
            continue;
        }
        here.push(&step);
        let Some(target) = links.get(&here) else { continue };
        here.pop();
        followed += 1;
        // A circle leads nowhere.
        if followed > MOST_LINKS {
            return false;
        }
        if !ahead(&mut steps, target) {
            return true;
        }
    }
    false
}

/// Puts the steps of a target before all others. `false`: it does not begin where the link is.
fn ahead(steps: &mut VecDeque<OsString>, target: &[u8]) -> bool {
    if target.is_empty() || target.contains(&0) {
        return false;
    }
    for part in Path::new(OsStr::from_bytes(target)).components().rev() {
        match part {
            Component::RootDir | Component::Prefix(_) => return false,
            Component::ParentDir | Component::Normal(_) => steps.push_front(part.as_os_str().to_owned()),
            Component::CurDir => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_may_go_up_but_not_out_whatever_they_go_through() {
        for (link, target, others, is_out) in [
            ("a", "b", &[] as &[(&str, &str)], false),
            ("a/b", "../c", &[], false),
            ("a/b", "../../c", &[], true),
            ("a", "..", &[], true),
            ("a", "../x/a", &[], true),
            ("a", "/etc", &[], true),
            ("a", "", &[], true),
            ("a", "d/e", &[("d", "..")], true),
            ("a", "x/y/l/..", &[("x/y/l", "../..")], true),
            ("a", "x/y/l/../f", &[("x/y/l", "../z")], false),
            ("a", "b", &[("b", "a"), ("a", "b")], false),
            ("a", "b", &[("b", "c"), ("c", "/etc")], true),
        ] {
            let others: HashMap<PathBuf, Vec<u8>> = others
                .iter()
                .map(|(link, target)| (link.into(), target.as_bytes().to_vec()))
                .collect();
            assert_eq!(
                leads_out(Path::new(link), target.as_bytes(), &others),
                is_out,
                "{link} -> {target}"
            );
        }
    }
}
