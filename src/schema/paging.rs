//! The four arguments of a connection, as defined by the Relay specification.

use async_graphql::SimpleObject;

use super::cursor::{Cursor, CursorArgument, MessageCursor};
use super::error::ApiError;
use crate::engine::DeclaredCost;
use crate::model::{End, MessageGroupId, Page, PageRequest, Position};

/// Maximum number of items of a page, as stated in the schema. A page of
/// messages then takes one `Query` of less than a megabyte.
const MAX_PAGE_SIZE: usize = 100;
/// Number of items of a page if neither `first` nor `last` is given, as stated
/// in the schema.
const DEFAULT_PAGE_SIZE: u8 = 20;
/// The cost of a page.
pub(super) const PAGE: DeclaredCost = DeclaredCost::Page {
    default: DEFAULT_PAGE_SIZE as usize,
    max: MAX_PAGE_SIZE,
};

/// Pagination information of a connection, as defined by the Relay
/// specification.
#[derive(SimpleObject)]
pub struct PageInfo {
    /// Whether more items exist before this page. For a page selected with
    /// `first`: whether `after` was given.
    pub has_previous_page: bool,
    /// Whether more items exist after this page. For a page selected with
    /// `last`: whether `before` was given.
    pub has_next_page: bool,
    /// Cursor of the first edge, for `before`. Null if the page is empty.
    pub start_cursor: Option<String>,
    /// Cursor of the last edge, for `after`. Null if the page is empty.
    pub end_cursor: Option<String>,
}

impl PageInfo {
    /// Creates the information about a page from the cursors of its edges.
    pub(super) fn of<T>(page: &Page<T>, cursor: impl Fn(&T) -> String) -> Self {
        Self {
            has_previous_page: page.has_previous,
            has_next_page: page.has_next,
            start_cursor: page.items.first().map(&cursor),
            end_cursor: page.items.last().map(&cursor),
        }
    }
}

/// The values of `first`, `after`, `last` and `before`.
pub(super) struct PageArgs<C> {
    first: Option<i32>,
    after: Option<CursorArgument<C>>,
    last: Option<i32>,
    before: Option<CursorArgument<C>>,
}

impl PageArgs<MessageCursor> {
    /// Validates the arguments of a connection of a group's messages.
    pub fn of_messages(self, group: MessageGroupId) -> Result<PageRequest, ApiError> {
        self.into_request(End::Last, |cursor| cursor.position_in(group))
    }
}

impl<C: Cursor> PageArgs<C> {
    pub fn new(
        first: Option<i32>,
        after: Option<CursorArgument<C>>,
        last: Option<i32>,
        before: Option<CursorArgument<C>>,
    ) -> Self {
        Self {
            first,
            after,
            last,
            before,
        }
    }

    /// Validates the arguments. `default_end` is the end from which a page is
    /// taken if neither `first` nor `last` is given. `position` returns the
    /// position of a cursor, if the cursor belongs to this connection.
    pub fn into_request(
        self,
        default_end: End,
        position: impl Fn(C) -> Option<Position>,
    ) -> Result<PageRequest, ApiError> {
        let bound = |name: &str, argument: Option<CursorArgument<C>>| {
            match argument.and_then(|cursor| cursor.0) {
            None => Ok(None),
            Some(cursor) => position(cursor).map(Some).ok_or_else(|| {
                ApiError::BadUserInput(format!(
                    "The cursor in `{name}` belongs to another connection. Use a cursor of an edge of this connection."
                ))
            }),
        }
        };
        let after = bound("after", self.after)?;
        let before = bound("before", self.before)?;
        let (end, name, limit) = match (self.first, self.last) {
            (Some(_), Some(_)) => {
                let message = "`first` and `last` cannot be combined. Use only one of them.";
                return Err(ApiError::BadUserInput(message.to_owned()));
            }
            (Some(first), None) => (End::First, "first", first),
            (None, Some(last)) => (End::Last, "last", last),
            (None, None) if after.is_some() => (End::First, "first", DEFAULT_PAGE_SIZE.into()),
            (None, None) if before.is_some() => (End::Last, "last", DEFAULT_PAGE_SIZE.into()),
            (None, None) => (default_end, "first", DEFAULT_PAGE_SIZE.into()),
        };
        match usize::try_from(limit) {
            Ok(limit) if limit <= MAX_PAGE_SIZE => Ok(PageRequest {
                end,
                limit,
                after,
                before,
            }),
            _ => Err(ApiError::BadUserInput(format!(
                "`{name}` is {limit}, but must be from 0 to {MAX_PAGE_SIZE}."
            ))),
        }
    }
}
