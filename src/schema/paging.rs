//! The four arguments of a connection, after Relay's specification.

use async_graphql::SimpleObject;

use super::cursor::{Cursor, CursorArgument};
use super::error::ApiError;
use crate::engine::Cost;
use crate::model::{End, Page, PageRequest, Place};

/// The most items of a page.
const MOST: usize = 100;
/// How many items a page has when nobody says.
const DEFAULT: u8 = 20;
/// What a page may add to a response.
pub(super) const PAGE: Cost = Cost::Page {
    default: DEFAULT as usize,
    most: MOST,
};

/// Where a page of a connection stands in the whole.
#[derive(SimpleObject)]
pub struct PageInfo {
    /// Whether there is more in front of this page. Of a page that is taken from
    /// the front: whether `after` was given.
    pub has_previous_page: bool,
    /// Whether there is more behind this page. Of a page that is taken from the
    /// back: whether `before` was given.
    pub has_next_page: bool,
    /// The first edge's cursor, to be used as `before`; null when the page is
    /// empty.
    pub start_cursor: Option<String>,
    /// The last edge's cursor, to be used as `after`; null when the page is
    /// empty.
    pub end_cursor: Option<String>,
}

impl PageInfo {
    /// Where a page stands whose edges have these cursors.
    pub(super) fn of<'a, T>(
        page: &Page<T>,
        mut cursors: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Self {
        let start = cursors.next();
        Self {
            has_previous_page: page.has_previous,
            has_next_page: page.has_next,
            start_cursor: start.map(str::to_owned),
            end_cursor: cursors.next_back().or(start).map(str::to_owned),
        }
    }
}

/// `first`, `after`, `last` and `before`, as they were given.
pub(super) struct PageArgs<C> {
    pub first: Option<i32>,
    pub after: Option<CursorArgument<C>>,
    pub last: Option<i32>,
    pub before: Option<CursorArgument<C>>,
}

impl<C: Cursor> PageArgs<C> {
    /// What is asked for. `default_end` is where a page is taken from when
    /// nothing says; `place` is where a cursor of this connection stands.
    pub fn into_request(
        self,
        default_end: End,
        place: impl Fn(C) -> Option<Place>,
    ) -> Result<PageRequest, ApiError> {
        let bound = |name: &str, argument: Option<CursorArgument<C>>| {
            match argument.and_then(|cursor| cursor.0) {
            None => Ok(None),
            Some(cursor) => place(cursor).map(Some).ok_or_else(|| {
                ApiError::BadUserInput(format!(
                    "The cursor given as `{name}` belongs to another connection. Take one from an edge of this one."
                ))
            }),
        }
        };
        let after = bound("after", self.after)?;
        let before = bound("before", self.before)?;
        let (end, name, limit) = match (self.first, self.last) {
            (Some(_), Some(_)) => {
                let message = "`first` and `last` exclude each other. Give one of them.";
                return Err(ApiError::BadUserInput(message.to_owned()));
            }
            (Some(first), None) => (End::First, "first", first),
            (None, Some(last)) => (End::Last, "last", last),
            (None, None) if after.is_some() => (End::First, "first", DEFAULT.into()),
            (None, None) if before.is_some() => (End::Last, "last", DEFAULT.into()),
            (None, None) => (default_end, "first", DEFAULT.into()),
        };
        match usize::try_from(limit) {
            Ok(limit) if limit <= MOST => Ok(PageRequest {
                end,
                limit,
                after,
                before,
            }),
            _ => Err(ApiError::BadUserInput(format!(
                "`{name}` is {limit}. It has to be from 0 to {MOST}."
            ))),
        }
    }
}
