//! Who is connected. There is room for so many, and for half as many from one address. When there is none, whoever has been
//! waiting longest without a request under way makes room for the next: who says nothing keeps nobody out. Who has only just
//! come goes last, for their request may be on its way.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// How long somebody has only just come.
const FRESH: Duration = Duration::from_secs(3);

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// In all.
    pub(crate) most: usize,
    /// From one address.
    pub(crate) most_of_one: usize,
}

/// Those who are connected.
pub(crate) struct Guests {
    room: Room,
    inside: Mutex<Inside>,
    pub(crate) connections: TaskTracker,
}

#[derive(Default)]
struct Inside {
    /// Counts connections and the moments at which one began to wait.
    last: u64,
    all: HashMap<u64, Place>,
    of: HashMap<Option<IpAddr>, usize>,
}

struct Place {
    from: Option<IpAddr>,
    /// When it came, until it has asked for something.
    came: Option<Duration>,
    /// Since when it has no request under way.
    idle_since: Option<u64>,
    leave: Arc<Notify>,
}

/// A place that is given back.
pub(crate) struct Guest {
    guests: Arc<Guests>,
    number: u64,
    leave: Arc<Notify>,
}

/// The place was given to somebody else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ShownOut;

impl Guests {
    /// Nobody yet.
    pub(crate) fn new(room: Room) -> Arc<Guests> {
        Arc::new(Guests {
            room,
            inside: Mutex::default(),
            connections: TaskTracker::new(),
        })
    }

    /// Waits until all have left. The doors are closed by then.
    pub(crate) async fn leave(&self) {
        self.connections.close();
        self.connections.wait().await;
    }

    /// Lets one in, at this time of a steady clock; `None`: everybody who might make room is busy. From nowhere come those whose
    /// address says nothing: through a local socket, or a proxy.
    pub(crate) fn enter(self: &Arc<Guests>, from: Option<IpAddr>, now: Duration) -> Option<Guest> {
        let from = from.map(network);
        let mut inside = self.inside();
        let most_of_one = match from {
            Some(_) => self.room.most_of_one,
            None => self.room.most,
        };
        if inside.of.get(&from).is_some_and(|count| *count >= most_of_one) {
            inside.show_out_one(now, |place| place.from == from)?;
        } else if inside.all.len() >= self.room.most {
            inside.show_out_one(now, |_| true)?;
        }
        inside.last += 1;
        let number = inside.last;
        let leave = Arc::new(Notify::new());
        inside.all.insert(
            number,
            Place {
                from,
                came: Some(now),
                idle_since: Some(number),
                leave: Arc::clone(&leave),
            },
        );
        *inside.of.entry(from).or_default() += 1;
        drop(inside);
        Some(Guest {
            guests: Arc::clone(self),
            number,
            leave,
        })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Takes a place from one of these: from where most are, the one that has been idle longest.
    fn show_out_one(&mut self, now: Duration, is_one: impl Fn(&Place) -> bool) -> Option<()> {
        let idle = self.all.iter().filter(|(_, place)| is_one(place));
        let idle = idle.filter_map(|(number, place)| {
            let crowd = self.of.get(&place.from).copied().unwrap_or(0);
            let is_fresh = place.came.is_some_and(|came| now.saturating_sub(came) < FRESH);
            Some((Reverse(crowd), is_fresh, place.idle_since?, *number))
        });
        let (_, _, _, number) = idle.min()?;
        self.remove(number)?.leave.notify_one();
        Some(())
    }

    fn remove(&mut self, number: u64) -> Option<Place> {
        let place = self.all.remove(&number)?;
        if let Some(count) = self.of.get_mut(&place.from) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&place.from);
            }
        }
        Some(place)
    }
}

/// Whose address it is: a network of version 6 is of one owner up to its 64th bit.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

impl Guest {
    /// A request has come: until its answer is through, the place is kept.
    ///
    /// # Errors
    /// It is gone already.
    pub(crate) fn work(self: &Arc<Guest>) -> Result<Work, ShownOut> {
        let mut inside = self.guests.inside();
        let place = inside.all.get_mut(&self.number).ok_or(ShownOut)?;
        place.came = None;
        place.idle_since = None;
        Ok(Work(Arc::clone(self)))
    }

    /// Returns once the place was given to somebody else.
    pub(crate) async fn shown_out(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.inside().remove(self.number);
    }
}

/// A request that is under way.
pub(crate) struct Work(Arc<Guest>);

impl Work {
    /// Goes on until the last byte of the answer was taken by the connection.
    pub(crate) fn until_sent(self, answer: Response<Body>) -> Response<Body> {
        answer.map(|body| Body::new(Sent { body, _work: self }))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut inside = self.0.guests.inside();
        inside.last += 1;
        let now = inside.last;
        if let Some(place) = inside.all.get_mut(&self.0.number) {
            place.idle_since = Some(now);
        }
    }
}

/// The body of an answer, and the work that it is part of.
struct Sent {
    body: Body,
    _work: Work,
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::body::HttpBody as _;

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
    }

    fn house(most: usize, most_of_one: usize) -> Arc<Guests> {
        Guests::new(Room { most, most_of_one })
    }

    fn enter(guests: &Arc<Guests>, last: u8) -> Option<Arc<Guest>> {
        guests.enter(address(last), Duration::ZERO).map(Arc::new)
    }

    fn enter_later(guests: &Arc<Guests>, last: u8, later: Duration) -> Option<Arc<Guest>> {
        guests.enter(address(last), later).map(Arc::new)
    }

    fn is_inside(guest: &Guest) -> bool {
        guest.guests.inside().all.contains_key(&guest.number)
    }

    #[test]
    fn who_waits_longest_makes_room_and_who_works_does_not() {
        let guests = house(4, 2);
        let (first, second) = (enter(&guests, 1).unwrap(), enter(&guests, 1).unwrap());
        let work = first.work().unwrap();
        let third = enter(&guests, 1).unwrap();
        assert!(is_inside(&first) && !is_inside(&second) && is_inside(&third));
        assert!(matches!(second.work(), Err(ShownOut)));
        let more = third.work().unwrap();
        assert!(enter(&guests, 1).is_none());
        // The first was done before the third: it has waited longer.
        drop(work);
        drop(more);
        let fourth = enter(&guests, 1).unwrap();
        assert!(!is_inside(&first) && is_inside(&third) && is_inside(&fourth));
    }

    #[test]
    fn who_was_answered_goes_before_who_has_only_just_come() {
        let guests = house(3, 3);
        let silent = enter(&guests, 1).unwrap();
        let answered = enter(&guests, 1).unwrap();
        drop(answered.work().unwrap());
        let (third, fourth) = (enter(&guests, 1).unwrap(), enter(&guests, 1).unwrap());
        assert!(is_inside(&silent) && !is_inside(&answered) && is_inside(&third) && is_inside(&fourth));
        // Later its silence has lasted.
        drop(fourth.work().unwrap());
        let last = enter_later(&guests, 1, FRESH).unwrap();
        assert!(!is_inside(&silent) && is_inside(&third) && is_inside(&fourth) && is_inside(&last));
    }

    #[test]
    fn a_full_house_is_cleared_where_most_are() {
        let guests = house(3, 2);
        let few = enter(&guests, 1).unwrap();
        let many = [enter(&guests, 2).unwrap(), enter(&guests, 2).unwrap()];
        let last = enter(&guests, 3).unwrap();
        assert!(is_inside(&few) && !is_inside(&many[0]) && is_inside(&many[1]) && is_inside(&last));
        // Where most are, all are busy: then elsewhere.
        let guests = house(3, 2);
        let few = enter(&guests, 1).unwrap();
        let many = [enter(&guests, 2).unwrap(), enter(&guests, 2).unwrap()];
        let work = many.each_ref().map(|one| one.work().unwrap());
        let last = enter(&guests, 3).unwrap();
        assert!(!is_inside(&few) && is_inside(&last));
        let _more = last.work().unwrap();
        assert!(enter(&guests, 4).is_none());
        drop(work);
    }

    #[test]
    fn a_network_is_one_address() {
        let guests = house(4, 1);
        let from = |text: &str| guests.enter(Some(text.parse().unwrap()), Duration::ZERO).map(Arc::new);
        let first = from("2001:db8:1:2::1").unwrap();
        let second = from("2001:db8:1:2:ffff::1").unwrap();
        assert!(!is_inside(&first) && is_inside(&second));
        let third = from("2001:db8:1:3::1").unwrap();
        assert!(is_inside(&second) && is_inside(&third));
        let fourth = from("::ffff:127.0.0.1").unwrap();
        let _fifth = from("127.0.0.1").unwrap();
        assert!(!is_inside(&fourth));
    }

    #[test]
    fn a_place_is_given_back_once() {
        let guests = house(2, 2);
        let (first, second) = (enter(&guests, 1).unwrap(), enter(&guests, 1).unwrap());
        let third = enter(&guests, 1).unwrap();
        drop(first);
        assert_eq!(guests.inside().of.get(&address(1)), Some(&2));
        drop((second, third));
        assert!(guests.inside().all.is_empty() && guests.inside().of.is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_under_way_until_its_body_is_gone() {
        let guests = house(1, 1);
        let guest = enter(&guests, 1).unwrap();
        let answer = guest.work().unwrap().until_sent(Response::new(Body::from("x")));
        assert!(enter(&guests, 1).is_none());
        assert_eq!(answer.body().size_hint().exact(), Some(1));
        drop(answer);
        let next = enter(&guests, 1).unwrap();
        guest.shown_out().await;
        assert!(is_inside(&next));
    }
}
