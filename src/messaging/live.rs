//! Live delivery of new messages.
//!
//! The writer task of a group publishes each commit on the [`Bus`]. The bus
//! carries hints, which may be lost, duplicated or late. A [`Follower`] keeps
//! its position in each group as a message's `seq`, and reads missed messages
//! from the table. With a bus between instances, each user's rows are also read
//! at intervals, because a writer may crash between its commit and its hint.

mod bus;
mod contiguous;
mod error;
mod event;
mod event_queue;
mod follower;
mod hint;
mod local_bus;
mod positions;
mod redis;
mod resync;
mod updates;

pub use bus::Bus;
pub use error::LiveError;
pub use follower::{Arrival, Follow, Follower};
pub(super) use hint::Hint;
pub use positions::Positions;
pub use redis::InvalidRedisUrl;
pub use updates::Updates;

use super::reader::Reader;
use super::viewer::Viewer;
use crate::clock::Clock;
use crate::store::MessageStore;
use resync::Sources;

/// Follows a viewer's groups.
#[derive(Clone, Debug)]
pub struct Subscriptions {
    sources: Sources,
}

impl Subscriptions {
    pub(super) fn new(reader: Reader, messages: MessageStore, clock: Clock, bus: Bus) -> Self {
        Self {
            sources: Sources {
                reader,
                messages,
                clock,
                bus,
            },
        }
    }

    /// Follows new messages.
    ///
    /// Without a start position, the subscription delivers every message that
    /// is committed after the call returns. A message that is committed during
    /// the call is delivered if its hint arrives before the call returns. To
    /// begin without such an interval, use [`positions`](Self::positions).
    ///
    /// One group costs one `GetItem`. All groups cost two `Query`s of the rows
    /// that are newer than 15 minutes.
    pub async fn follow(&self, viewer: &Viewer, follow: Follow) -> Result<Follower, LiveError> {
        Follower::start(self.sources.clone(), viewer, follow).await
    }

    /// Returns the positions from which a subscription to all groups delivers
    /// every message that is committed after the beginning of the request that
    /// makes this call. It also delivers messages that were created up to a
    /// minute before.
    ///
    /// A message that is committed more than a minute after its `createdAt` and
    /// before this call returns may not be delivered. Reads that begin after this
    /// call contain such a message.
    ///
    /// This costs two `Query`s of the rows that are newer than 15 minutes, and
    /// one for each group with a message of the last minute.
    pub async fn positions(&self, viewer: &Viewer) -> Result<Positions, LiveError> {
        Ok(self.sources.positions(viewer.user().id).await?)
    }

    /// Follows the state of the viewer's groups. If hints can be lost, this
    /// costs two `Query`s of the rows that are newer than 15 minutes; otherwise
    /// nothing.
    pub async fn follow_groups(&self, viewer: &Viewer) -> Result<Updates, LiveError> {
        Updates::start(self.sources.clone(), viewer).await
    }
}
