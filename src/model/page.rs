//! Pages of what the table keeps in the order of its keys.

use super::SortKey;

/// Which end of a range a page is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first items of the range.
    First,
    /// The last items of the range.
    Last,
}

/// What part of a connection is asked for. `after` and `before` are exclusive
/// and are meant in the connection's own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Take from this end of the range.
    pub end: End,
    /// At most so many items.
    pub limit: usize,
    /// The range begins behind this place.
    pub after: Option<Place>,
    /// The range ends in front of this place.
    pub before: Option<Place>,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// By its key.
    pub key: SortKey,
    /// By its number; 0 where there are no numbers.
    pub seq: u64,
}

/// Items in the connection's order, and whether it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are items in front of these.
    pub has_previous: bool,
    /// Whether there are items behind these.
    pub has_next: bool,
}

impl<T> Page<T> {
    /// Makes a page of what was read from `request.end` on: one item more than
    /// the limit where the range goes on.
    ///
    /// The flag of the side that was not asked is true when a cursor was given
    /// for it.
    #[must_use]
    pub fn of_read(request: &PageRequest, mut read: Vec<T>) -> Self {
        let goes_on = read.len() > request.limit;
        read.truncate(request.limit);
        match request.end {
            End::First => Self {
                items: read,
                has_previous: request.after.is_some(),
                has_next: goes_on,
            },
            End::Last => {
                read.reverse();
                Self {
                    items: read,
                    has_previous: goes_on,
                    has_next: request.before.is_some(),
                }
            }
        }
    }
}
