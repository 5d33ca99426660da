//! New messages as they happen.
//!
//! The writer task of a group tells the [`Bus`] what it has committed. What the
//! bus carries are hints, which may be lost, doubled or late: a [`Follower`]
//! knows by the numbers of the messages how far it has come in each group, and
//! reads from the table what it has missed. Between instances each user's rows
//! are looked through now and then as well, since a writer may die between its
//! commit and its hint.

mod bus;
mod follower;
mod hint;
mod positions;
mod redis;
mod rows;
mod run;
mod updates;

pub use bus::Bus;
pub use follower::{Arrival, Follower};
pub(super) use hint::Hint;
pub use positions::Positions;
pub use redis::InvalidRedisUrl;
pub use updates::{Update, Updates};

use super::MessagingError;
use crate::model::{MessageGroupId, Place};

/// Why a subscription ends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LiveError {
    /// The viewer has no such group.
    #[error("no such message group")]
    NoSuchGroup,
    /// Too much happened for the reader, or something is missing that should
    /// be there by now: it goes on behind the last event's cursor.
    #[error("the subscription fell behind: {0}")]
    Behind(&'static str),
    /// So many groups were active that a cursor does not hold them.
    #[error("too many groups to go on from a cursor")]
    Resync,
    /// A store does not answer.
    #[error(transparent)]
    Messaging(#[from] MessagingError),
}

impl From<crate::store::StoreError> for LiveError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Messaging(error.into())
    }
}

/// Which groups are followed, and from where on.
#[derive(Clone, Debug)]
pub enum Follow {
    /// All of the viewer's: from now on, or from what was told before.
    All(Option<Positions>),
    /// One: from now on, or behind a message.
    Group(MessageGroupId, Option<Place>),
}
