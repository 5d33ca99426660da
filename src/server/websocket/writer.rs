//! The writer of a WebSocket: sends responses in the order in which they become ready, and pings.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::lock::lock;
use crate::server::admission::ResponseBudget;

/// Capacity of the queue of messages. When it is full, the producers of messages wait. It is small
/// because the queue's memory is allocated per connection, and large enough that a burst of events
/// does not wait for each write.
pub(super) const QUEUE_CAPACITY: usize = 16;
/// Maximum number of unanswered pings when the next ping is due. One of two pongs may be late,
/// because the ping waited for a large message ahead of it.
const MAX_UNANSWERED_PINGS: u32 = 2;

/// A message to write. It is boxed in the queue, which allocates memory for 32 messages at once.
pub(super) enum Outgoing {
    /// A direct reply to a client message.
    Reply {
        text: String,
        budget: Option<ResponseBudget>,
    },
    /// A message of an operation. It is discarded if the operation has ended before it is written.
    Operation {
        key: OperationKey,
        text: String,
        last: bool,
        /// Memory that is reserved until the message is written.
        budget: Option<ResponseBudget>,
    },
    /// The close frame.
    Close(CloseFrame),
}

impl Outgoing {
    /// Creates a reply that is so small that no memory is reserved for it.
    pub fn small_reply(text: String) -> Self {
        Self::Reply { text, budget: None }
    }
}

/// Identifies an operation. Clients can reuse an ID, but `number` is unique.
#[derive(Clone, Debug)]
pub(super) struct OperationKey {
    pub id: Arc<str>,
    pub number: u64,
}

/// The operations in progress of a WebSocket. An operation is removed when its last message is
/// written or its client cancels it.
#[derive(Clone, Default)]
pub(super) struct ActiveOperations(Arc<Mutex<HashMap<Arc<str>, Entry>>>);

struct Entry {
    number: u64,
    task: AbortHandle,
    /// The permit of a subscription, released when it ends.
    permit: Option<OwnedSemaphorePermit>,
}

impl ActiveOperations {
    pub fn count(&self) -> usize {
        lock(&self.0).len()
    }

    pub fn contains(&self, id: &str) -> bool {
        lock(&self.0).contains_key(id)
    }

    /// Starts an operation. The map is locked meanwhile, so the operation is registered before any
    /// of its messages is written.
    pub fn start(&self, key: &OperationKey, start: impl FnOnce() -> AbortHandle) {
        let mut entries = lock(&self.0);
        let entry = Entry {
            number: key.number,
            task: start(),
            permit: None,
        };
        entries.insert(Arc::clone(&key.id), entry);
    }

    /// Assigns a subscription's permit to the operation, which holds it until it ends.
    pub fn set_subscription_permit(&self, key: &OperationKey, permit: OwnedSemaphorePermit) {
        if let Some(entry) = lock(&self.0).get_mut(&key.id)
            && entry.number == key.number
        {
            entry.permit = Some(permit);
        }
    }

    /// Cancels the operation with this ID, if there is one. None of its messages is written after
    /// this.
    pub fn cancel(&self, id: &str) {
        if let Some(entry) = lock(&self.0).remove(id) {
            entry.task.abort();
        }
    }

    /// Cancels all operations.
    pub fn cancel_all(&self) {
        for (_, entry) in lock(&self.0).drain() {
            entry.task.abort();
        }
    }

    /// Returns whether a message of an operation is to be written. The last message removes the
    /// operation, so that its ID can be reused.
    fn should_write(&self, key: &OperationKey, last: bool) -> bool {
        let mut entries = lock(&self.0);
        let entry = entries.get(&key.id);
        let is_active = entry.is_some_and(|entry| entry.number == key.number);
        if is_active && last {
            entries.remove(&key.id);
        }
        is_active
    }
}

/// The number of pings that were sent since the client's last message.
#[derive(Clone, Default)]
pub(super) struct Heartbeat(Arc<AtomicU32>);

impl Heartbeat {
    /// Resets the count, because a message from the client was received.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Counts a ping that is due. Returns whether the client may still be connected.
    fn count_ping(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) < MAX_UNANSWERED_PINGS
    }
}

/// Writes messages until the WebSocket is closed, a write fails, or the client does not respond to
/// pings.
pub(super) async fn write(
    mut socket: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Box<Outgoing>>,
    active: ActiveOperations,
    heartbeat: Heartbeat,
    ping_every: Duration,
) {
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (message, _budget) = tokio::select! {
            queued = queue.recv() => match queued.map(|queued| *queued) {
                None => return,
                Some(Outgoing::Operation { key, last, .. }) if !active.should_write(&key, last) => continue,
                Some(Outgoing::Operation { text, budget, .. } | Outgoing::Reply { text, budget }) => {
                    (Message::Text(text.into()), budget)
                }
                Some(Outgoing::Close(frame)) => (Message::Close(Some(frame)), None),
            },
            _ = pings.tick() => {
                if !heartbeat.count_ping() {
                    return;
                }
                (Message::Ping(Bytes::new()), None)
            }
        };
        let is_last = matches!(message, Message::Close(_));
        if socket.send(message).await.is_err() || is_last {
            return;
        }
    }
}
