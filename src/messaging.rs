//! The business rules: which groups and messages a user may see, and how a
//! message is written to the table.
//!
//! [`Messaging`] consists of small services: `reader` reads groups and messages,
//! `writer` creates messages and marks groups as read, `live` follows a viewer's
//! groups, `directory` looks up users, and `seeder` writes predefined groups.
//! `check` finds and repairs inconsistencies of the table.
//!
//! Comments refer to the original's access patterns by letter: A reads the
//! messages of a group, B reads the groups of a user, C writes a message to a
//! group, and D writes the first message to a user.

mod check;
mod directory;
mod error;
mod heads_marker;
mod live;
mod loader;
mod reader;
mod seeding;
#[cfg(test)]
mod simulation;
mod view;
mod viewer;
mod writer;

pub use check::{Finding, FindingKind, Inspector, Unrepaired};
pub use directory::{Directory, UserLoader};
pub use error::{MessagingError, MessagingResult, WriteOutcome};
pub use live::{
    Arrival, Bus, Follow, Follower, InvalidRedisUrl, LiveError, Positions, Subscriptions, Updates,
};
pub use loader::BatchLoader;
pub use reader::{PairLookup, Reader};
pub use seeding::{SeedError, SeededMessage, Seeder, Seeding};
pub use viewer::Viewer;
pub use writer::{
    CreateMessageError, CreatedMessage, Destination, InvalidIdempotencyKey, MarkResult, NewMessage,
    Writer,
};

use std::sync::Arc;

use crate::clock::Clock;
use crate::store::MessageStore;
use heads_marker::HeadsMarker;
use writer::Registry;

/// The services that the API and the operator commands use.
#[derive(Debug)]
pub struct Messaging {
    /// Reads groups and messages.
    pub reader: Reader,
    /// Creates messages and marks groups as read.
    pub writer: Writer,
    /// Follows a viewer's groups.
    pub live: Subscriptions,
    /// Looks up users.
    pub directory: Directory,
    /// Writes predefined groups.
    pub seeder: Seeder,
}

impl Messaging {
    /// Creates the services over the stores. Every committed write is published
    /// on `bus`.
    pub fn new(messages: MessageStore, directory: Directory, clock: Clock, bus: Bus) -> Arc<Self> {
        let marker = HeadsMarker::new(messages.clone());
        let reader = Reader::new(messages.clone(), marker.clone());
        let registry = Registry::new(messages.clone(), marker.clone(), clock.clone(), bus.clone());
        Arc::new(Self {
            writer: Writer::new(reader.clone(), registry),
            live: Subscriptions::new(reader.clone(), messages.clone(), clock, bus),
            seeder: Seeder::new(messages, marker),
            reader,
            directory,
        })
    }
}
