//! Pages of items that are ordered by their keys.

use super::SortKey;

/// The consistency of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The read sees everything that was acknowledged before it began.
    Strong,
    /// The read may miss about the last second of writes. It costs half as
    /// much.
    Eventual,
}

/// The end of a range from which a page is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first items of the range.
    First,
    /// The last items of the range.
    Last,
}

/// The part of a connection that a client requests.
///
/// `after` and `before` are exclusive and refer to the connection's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The end of the range from which items are taken.
    pub end: End,
    /// Maximum number of items.
    pub limit: usize,
    /// The range begins after this position.
    pub after: Option<Position>,
    /// The range ends before this position.
    pub before: Option<Position>,
}

/// The position of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The sort key of the item.
    pub key: SortKey,
    /// The sequence number of the item; 0 if items have no numbers.
    pub seq: u64,
}

impl Position {
    /// Creates the position of a message.
    pub fn new(key: SortKey, seq: u64) -> Self {
        Self { key, seq }
    }
}

/// Items in the connection's order, and whether more items exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether items exist before the first item of the page.
    pub has_previous: bool,
    /// Whether items exist after the last item of the page.
    pub has_next: bool,
}

impl<T> Page<T> {
    /// Creates a page from the items that were read from `request.end`.
    ///
    /// `read` has one item more than the limit if more items exist in the
    /// direction of the read. For the other direction, the page states that more
    /// items exist if the request has a cursor at that end.
    pub fn of_read(request: &PageRequest, mut read: Vec<T>) -> Self {
        let goes_on = read.len() > request.limit;
        read.truncate(request.limit);
        let (has_previous, has_next) = match request.end {
            End::First => (request.after.is_some(), goes_on),
            End::Last => {
                read.reverse();
                (goes_on, request.before.is_some())
            }
        };
        Self {
            items: read,
            has_previous,
            has_next,
        }
    }
}
