//! The writer of a WebSocket: sends responses in the order in which they become ready, and pings.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::server::load::Space;

/// Number of queued messages of a client that does not read. When the queue is full, the producers
/// of messages wait.
pub(super) const QUEUED: usize = 16;
/// Maximum number of unanswered pings when the next ping is due.
const UNHEARD: u32 = 2;

/// A message to write.
pub(super) enum Outgoing {
    /// A direct reply to a client message.
    Reply(String),
    /// A message of an operation. It is discarded if the operation has ended before it is written.
    Of {
        ticket: Ticket,
        text: String,
        last: bool,
        /// Memory that is reserved until the message is written.
        space: Option<Space>,
    },
    /// The close frame.
    Close(CloseFrame),
}

/// Identifies an operation. Clients can reuse an id, but `number` is unique.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub id: Arc<str>,
    pub number: u64,
}

/// The operations in progress of a WebSocket. An operation is removed when its last message is
/// written or its client cancels it.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<Arc<str>, Entry>>>);

struct Entry {
    number: u64,
    task: AbortHandle,
    /// The permit of a subscription, released when it ends.
    place: Option<OwnedSemaphorePermit>,
}

impl Running {
    pub fn count(&self) -> usize {
        self.entries().len()
    }

    pub fn has(&self, id: &str) -> bool {
        self.entries().contains_key(id)
    }

    /// Starts an operation. The map is locked meanwhile, so the operation is registered before any
    /// of its messages is written.
    pub fn begin(&self, ticket: &Ticket, start: impl FnOnce() -> AbortHandle) {
        let mut entries = self.entries();
        let entry = Entry {
            number: ticket.number,
            task: start(),
            place: None,
        };
        entries.insert(Arc::clone(&ticket.id), entry);
    }

    /// Assigns a subscription's permit to the operation, which holds it until it ends.
    pub fn seat(&self, ticket: &Ticket, place: OwnedSemaphorePermit) {
        if let Some(entry) = self.entries().get_mut(&ticket.id)
            && entry.number == ticket.number
        {
            entry.place = Some(place);
        }
    }

    /// Cancels the operation with this id, if there is one. None of its messages is written after
    /// this.
    pub fn cancel(&self, id: &str) {
        if let Some(entry) = self.entries().remove(id) {
            entry.task.abort();
        }
    }

    /// Cancels all operations.
    pub fn cancel_all(&self) {
        for (_, entry) in self.entries().drain() {
            entry.task.abort();
        }
    }

    /// Returns whether a message of an operation is to be written. The last message removes the
    /// operation, so that its id can be reused.
    fn take(&self, ticket: &Ticket, last: bool) -> bool {
        let mut entries = self.entries();
        let entry = entries.get(&ticket.id);
        let runs = entry.is_some_and(|entry| entry.number == ticket.number);
        if runs && last {
            entries.remove(&ticket.id);
        }
        runs
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of pings that were sent since the client's last message.
#[derive(Clone, Default)]
pub(super) struct Silence(Arc<AtomicU32>);

impl Silence {
    /// Resets the count, because a message from the client was received.
    pub fn broken(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Counts another ping that is due. Returns whether the client may still be connected.
    fn lasts(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) < UNHEARD
    }
}

/// Writes messages until the WebSocket is closed, a write fails, or the client does not respond to
/// pings.
pub(super) async fn write(
    mut socket: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Outgoing>,
    running: Running,
    silence: Silence,
    ping_every: Duration,
) {
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (message, _space) = tokio::select! {
            queued = queue.recv() => match queued {
                None => return,
                Some(Outgoing::Of { ticket, last, .. }) if !running.take(&ticket, last) => continue,
                Some(Outgoing::Of { text, space, .. }) => (Message::Text(text.into()), space),
                Some(Outgoing::Reply(text)) => (Message::Text(text.into()), None),
                Some(Outgoing::Close(frame)) => (Message::Close(Some(frame)), None),
            },
            _ = pings.tick() => {
                if !silence.lasts() {
                    return;
                }
                (Message::Ping(Bytes::new()), None)
            }
        };
        let is_end = matches!(message, Message::Close(_));
        if socket.send(message).await.is_err() || is_end {
            return;
        }
    }
}
