//! Where links lead: never out of the tree, at no point of their way.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// More links than this on one way are a circle for Linux too (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// Whether a link leaves the tree at any point on its way, however it comes back: by its own target, or by a link that
/// its target leads through. `at` says where what is at a path leads, if it is a link.
pub(super) fn leads_out(link: &Path, target: &OsStr, at: &dyn Fn(&Path) -> Option<OsString>) -> bool {
    let mut here: PathBuf = link.parent().map(Path::to_owned).unwrap_or_default();
    let mut steps = VecDeque::new();
    if !ahead(&mut steps, target) {
        return true;
    }
    let mut links = 1;
    while let Some(step) = steps.pop_front() {
        if step == ".." {
            if !here.pop() {
                return true;
            }
            continue;
        }
        here.push(&step);
        let Some(target) = at(&here) else { continue };
        here.pop();
        links += 1;
        // A circle leads nowhere.
        if links > MOST_LINKS {
            return false;
        }
        if !ahead(&mut steps, &target) {
            return true;
        }
    }
    false
}

/// Puts the steps of a target before all others. `false`: it does not begin where the link is.
fn ahead(steps: &mut VecDeque<OsString>, target: &OsStr) -> bool {
    if target.as_bytes().contains(&0) {
        return false;
    }
    for part in Path::new(target).components().rev() {
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

    fn out(link: &str, target: &str, others: &[(&str, &str)]) -> bool {
        let at = |path: &Path| {
            let found = others.iter().find(|(link, _)| Path::new(link) == path);
            found.map(|(_, target)| OsString::from(target))
        };
        leads_out(Path::new(link), OsStr::new(target), &at)
    }

    #[test]
    fn links_may_go_up_but_not_out() {
        for (link, target, is_out) in [
            ("a", "b", false),
            ("a/b", "../c", false),
            ("a/b", "../../c", true),
            ("a", "..", true),
            ("a", "../x/a", true),
            ("a/b/c", "../../d/e", false),
            ("a", "/etc", true),
            ("a/b", "x/../../c", false),
            ("a/b", "x/../../../c", true),
        ] {
            assert_eq!(out(link, target, &[]), is_out, "{link} -> {target}");
        }
    }

    #[test]
    fn a_link_through_links_is_where_they_lead() {
        for (link, target, others, is_out) in [
            ("a", "b", &[("b", "c"), ("c", "/etc")] as &[_], true),
            ("a", "b", &[("b", "c"), ("c", "d")], false),
            ("a", "d/e", &[("d", "..")], true),
            // One level up from where a link leads, not from where it is.
            ("a", "x/y/l/..", &[("x/y/l", "../..")], true),
            ("a", "x/y/l/../f", &[("x/y/l", "../z")], false),
            ("a", "b", &[("b", "a"), ("a", "b")], false),
        ] {
            assert_eq!(out(link, target, others), is_out, "{link} -> {target} with {others:?}");
        }
    }
}
