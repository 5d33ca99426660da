//! Live delivery of new messages.
//!
//! The writer task of a group publishes each commit on the [`Bus`]. The bus
//! carries hints, which may be lost, duplicated or late. A [`Follower`] keeps
//! its position in each group as a message's `seq`, and reads missed messages
//! from the table. With a bus between instances, each user's rows are also read
//! at intervals, because a writer may crash between its commit and its hint.

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
    /// The group does not exist, or the viewer is not a participant.
    #[error("no such message group")]
    NoSuchGroup,
    /// The client reads too slowly, or a message is missing although it should
    /// be readable by now. The client can resume from the last event's cursor.
    #[error("the subscription fell behind: {0}")]
    Behind(&'static str),
    /// More groups were active than a cursor can hold. The client cannot resume
    /// from its cursor and must reload its groups.
    #[error("too many groups to go on from a cursor")]
    Resync,
    /// A store is unavailable, or a read failed.
    #[error(transparent)]
    Messaging(#[from] MessagingError),
}

impl From<crate::store::StoreError> for LiveError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Messaging(error.into())
    }
}

/// The groups to follow, and the start position.
#[derive(Clone, Debug)]
pub enum Follow {
    /// All groups of the viewer: from now on, or from the given positions.
    All(Option<Positions>),
    /// One group: from now on, or after the given message.
    Group(MessageGroupId, Option<Place>),
}
