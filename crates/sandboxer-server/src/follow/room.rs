//! How many may follow, and whose key is still good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandboxer_api::identity::Identity;
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::watch;

/// Streams of one project at most.
const MOST_OF_PROJECT: usize = 50;
/// Streams at most.
const MOST: usize = 1000;

/// Those who follow.
#[derive(Default)]
pub(super) struct Room {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    all: usize,
    /// By project; administrators have none.
    projects: HashMap<Option<String>, Project>,
    keys: HashMap<String, Key>,
}

struct Project {
    count: usize,
    /// The position up to which there may be something to see.
    latest: watch::Sender<u64>,
}

struct Key {
    count: usize,
    /// Set when the key is not good any more.
    over: watch::Sender<bool>,
}

/// A place that is given back.
pub(super) struct Place {
    room: Arc<Room>,
    project: Option<String>,
    key_id: String,
    /// The position up to which there may be something to see.
    pub(super) latest: watch::Receiver<u64>,
    /// Whether the key is good no more.
    pub(super) over: watch::Receiver<bool>,
}

impl Room {
    /// Lets somebody in who sees everything up to this position by itself.
    ///
    /// # Errors
    /// `RateLimited`.
    pub(super) fn enter(self: &Arc<Room>, who: &Identity, position: u64) -> Result<Place, UserError> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let of_project = inside.projects.get(&who.project).map_or(0, |project| project.count);
        let full = |what: String| {
            Err(UserError::new(ErrorCode::RateLimited, what)
                .hint("end one, or share one: a stream carries everything that a key may see"))
        };
        if of_project >= MOST_OF_PROJECT {
            return full(format!("the project has {MOST_OF_PROJECT} event streams already"));
        }
        if inside.all >= MOST {
            return full(format!("the server has {MOST} event streams already"));
        }
        inside.all += 1;
        let project = inside.projects.entry(who.project.clone()).or_insert_with(|| Project {
            count: 0,
            latest: watch::Sender::new(position),
        });
        project.count += 1;
        let latest = project.latest.subscribe();
        let key = inside.keys.entry(who.key_id.clone()).or_insert_with(|| Key {
            count: 0,
            over: watch::Sender::new(false),
        });
        key.count += 1;
        Ok(Place {
            room: Arc::clone(self),
            project: who.project.clone(),
            key_id: who.key_id.clone(),
            latest,
            over: key.over.subscribe(),
        })
    }

    /// Whether nobody follows.
    pub(super) fn is_empty(&self) -> bool {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).all == 0
    }

    /// The keys that are used.
    pub(super) fn keys(&self) -> Vec<String> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.keys.keys().cloned().collect()
    }

    /// A key is not good any more.
    pub(super) fn expel(&self, key_id: &str) {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = inside.keys.get(key_id) {
            key.over.send_replace(true);
        }
    }

    /// There may be something new for a project, and for those who see all. `None`: for everybody.
    pub(super) fn wake(&self, projects: Option<&[Option<String>]>, position: u64) {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, project) in &inside.projects {
            if name.is_none() || projects.is_none_or(|projects| projects.contains(name)) {
                project.latest.send_replace(position);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.room.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all = inside.all.saturating_sub(1);
        if let Some(project) = inside.projects.get_mut(&self.project) {
            project.count = project.count.saturating_sub(1);
            if project.count == 0 {
                inside.projects.remove(&self.project);
            }
        }
        if let Some(key) = inside.keys.get_mut(&self.key_id) {
            key.count = key.count.saturating_sub(1);
            if key.count == 0 {
                inside.keys.remove(&self.key_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sandboxer_model::sandbox::Actor;

    use super::*;

    fn who(project: &str, key: &str) -> Identity {
        Identity {
            key_id: key.to_owned(),
            name: "n".to_owned(),
            role: Actor::Agt,
            project: Some(project.to_owned()),
            grants: vec![],
        }
    }

    #[test]
    fn a_project_has_its_places_and_takes_none_of_others() {
        let room = Arc::new(Room::default());
        let mut inside: Vec<_> = (0..MOST_OF_PROJECT)
            .map(|_| room.enter(&who("a", "k"), 0).unwrap())
            .collect();
        let Err(error) = room.enter(&who("a", "k"), 0) else {
            panic!("there is room for one more")
        };
        assert_eq!(error.code, ErrorCode::RateLimited);
        assert!(room.enter(&who("b", "l"), 0).is_ok());
        inside.pop();
        assert!(room.enter(&who("a", "k"), 0).is_ok());
        drop(inside);
        assert!(room.is_empty());
    }

    #[test]
    fn only_those_whom_it_concerns_are_woken() {
        let room = Arc::new(Room::default());
        let (a, b) = (
            room.enter(&who("a", "k"), 0).unwrap(),
            room.enter(&who("b", "l"), 0).unwrap(),
        );
        room.wake(Some(&[Some("a".to_owned())]), 5);
        assert_eq!((*a.latest.borrow(), *b.latest.borrow()), (5, 0));
        room.expel("l");
        assert_eq!((*a.over.borrow(), *b.over.borrow()), (false, true));
    }
}
