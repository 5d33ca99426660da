//! The business rules: which groups and messages a user may see, and how a
//! message is written to the table.
//!
//! `reading` contains the reads and `writing` creates a message. Each group
//! that is being written to has its own task (`writer`). The task plans
//! transactions (`plan`), sends them, determines their outcome and publishes
//! what it committed to the group's subscribers (`live`).

mod adoption;
mod batch;
mod check;
mod directory;
mod error;
mod heads_marker;
mod live;
mod loader;
mod marking;
mod pauses;
mod plan;
mod queue;
mod reading;
mod seeding;
#[cfg(test)]
mod simulation;
mod viewer;
mod writer;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

pub use check::{Finding, FindingKind, Inspector, Unmended};
pub use directory::{Directory, UserLoader};
pub use error::{MessagingError, WriteOutcome};
pub use live::{
    Arrival, Bus, Follow, Follower, InvalidRedisUrl, LiveError, Positions, Update, Updates,
};
pub use loader::BatchLoader;
pub use marking::Marked;
pub use reading::{Freshness, PairLookup};
pub use seeding::{SeedError, SeededMessage, Seeding};
pub use viewer::Viewer;
pub use writing::{
    CreateMessageError, CreatedMessage, Destination, InvalidIdempotencyKey, NewMessage,
};

use crate::clock::Clock;
use crate::model::{MessageGroupId, UserId};
use crate::store::MessageStore;
use heads_marker::HeadsMarker;
use queue::Writers;

/// Size and time to idle of the cache of groups' participants. Participants
/// never change; the absence of a group is never cached.
const REMEMBERED_GROUPS: u64 = 100_000;
const REMEMBER_FOR: Duration = Duration::from_hours(1);

/// The messages of all users. The API and the operator commands are built on
/// it.
#[derive(Clone, Debug)]
pub struct Messaging {
    messages: MessageStore,
    directory: Directory,
    clock: Clock,
    bus: Bus,
    writers: Arc<Writers>,
    participants: Cache<MessageGroupId, [UserId; 2]>,
    marker: HeadsMarker,
}

impl Messaging {
    /// Creates the business rules over the stores. Every committed write is
    /// published on `bus`.
    #[must_use]
    pub fn new(messages: MessageStore, directory: Directory, clock: Clock, bus: Bus) -> Self {
        let marker = HeadsMarker::new(messages.clone());
        Self {
            writers: Arc::new(Writers::new(
                messages.clone(),
                marker.clone(),
                clock.clone(),
                bus.clone(),
            )),
            marker,
            clock,
            bus,
            messages,
            directory,
            participants: Cache::builder()
                .max_capacity(REMEMBERED_GROUPS)
                .time_to_idle(REMEMBER_FOR)
                .build(),
        }
    }

    /// Returns a loader of users for one request.
    #[must_use]
    pub fn user_loader(&self) -> UserLoader {
        self.directory.loader()
    }
}
