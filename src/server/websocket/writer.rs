//! What is written to a socket: answers in the order in which they get ready,
//! and pings.

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

/// How many messages wait for a client to read; what makes more of them waits
/// itself.
pub(super) const QUEUED: usize = 16;
/// How many pings may be without an echo when the next is due.
const UNHEARD: u32 = 2;

/// Something to be written.
pub(super) enum Outgoing {
    /// An answer to a message.
    Reply(String),
    /// Something of an operation, unless it has ended by then.
    Of {
        ticket: Ticket,
        text: String,
        last: bool,
        /// What it takes until it is written.
        space: Option<Space>,
    },
    /// The end.
    Close(CloseFrame),
}

/// An operation: ids come again, numbers do not.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub id: Arc<str>,
    pub number: u64,
}

/// The operations of a socket. One is among them until its last message is
/// written or its client wants no more.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<Arc<str>, Entry>>>);

struct Entry {
    number: u64,
    task: AbortHandle,
    /// Of a subscription, among those that there may be.
    place: Option<OwnedSemaphorePermit>,
}

impl Running {
    pub fn count(&self) -> usize {
        self.entries().len()
    }

    pub fn has(&self, id: &str) -> bool {
        self.entries().contains_key(id)
    }

    /// Starts an operation. Whatever it says, it is known by then.
    pub fn begin(&self, ticket: &Ticket, start: impl FnOnce() -> AbortHandle) {
        let mut entries = self.entries();
        let entry = Entry {
            number: ticket.number,
            task: start(),
            place: None,
        };
        entries.insert(Arc::clone(&ticket.id), entry);
    }

    /// Gives an operation the place that it has until it ends.
    pub fn seat(&self, ticket: &Ticket, place: OwnedSemaphorePermit) {
        if let Some(entry) = self.entries().get_mut(&ticket.id)
            && entry.number == ticket.number
        {
            entry.place = Some(place);
        }
    }

    /// Ends an operation, if there is one: nothing of it is written any more.
    pub fn cancel(&self, id: &str) {
        if let Some(entry) = self.entries().remove(id) {
            entry.task.abort();
        }
    }

    /// Ends all operations.
    pub fn cancel_all(&self) {
        for (_, entry) in self.entries().drain() {
            entry.task.abort();
        }
    }

    /// Whether a message of an operation is to be written; with its last it is
    /// over, and its id is free.
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

/// How many pings a client has been sent since it was last heard.
#[derive(Clone, Default)]
pub(super) struct Silence(Arc<AtomicU32>);

impl Silence {
    /// The client was heard.
    pub fn broken(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Another ping is due: whether the client may still be there.
    fn lasts(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) < UNHEARD
    }
}

/// Writes until the socket is closed, nothing is taken, or nothing is heard.
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
