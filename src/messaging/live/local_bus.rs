//! Delivery of events to the listeners of this instance.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::event::BusEvent;
use crate::lock::lock;
use crate::model::UserId;
use crate::telemetry::metrics::METRICS;

/// Maximum number of undelivered events of one listener, which take about
/// 300 KB. A listener that exceeds it is disconnected.
const MAX_WAITING: usize = 256;

/// The listeners of this instance.
#[derive(Debug, Default)]
pub(super) struct LocalBus {
    users: Mutex<HashMap<UserId, UserListeners>>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct UserListeners {
    listeners: HashMap<u64, mpsc::Sender<BusEvent>>,
    /// The task that reads the user's rows.
    resync: Option<AbortOnDropHandle<()>>,
}

impl LocalBus {
    /// Returns all users that have a listener.
    pub fn users(&self) -> Vec<UserId> {
        lock(&self.users).keys().copied().collect()
    }

    pub fn has(&self, user: UserId) -> bool {
        lock(&self.users).contains_key(&user)
    }

    /// Delivers an event to a user's listeners. Disconnects each listener whose
    /// buffer is full.
    pub fn publish(&self, user: UserId, event: &BusEvent) {
        if let Some(user) = lock(&self.users).get_mut(&user) {
            user.listeners.retain(|_, listener| {
                let is_sent = listener.try_send(event.clone()).is_ok();
                if !is_sent {
                    METRICS.subscribers_dropped.inc();
                }
                is_sent
            });
        }
    }

    /// Subscribes to a user's events.
    pub fn listen(self: &Arc<Self>, user: UserId) -> Listener {
        let (sender, events) = mpsc::channel(MAX_WAITING);
        let mut users = lock(&self.users);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        users
            .entry(user)
            .or_default()
            .listeners
            .insert(number, sender);
        Listener {
            _registration: Registration {
                bus: Arc::clone(self),
                user,
                number,
            },
            events,
        }
    }

    /// Starts the task that reads a user's rows, unless it is running.
    pub fn start_resync<F>(&self, user: UserId, run: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(user) = lock(&self.users).get_mut(&user)
            && user
                .resync
                .as_ref()
                .is_none_or(AbortOnDropHandle::is_finished)
        {
            user.resync = Some(AbortOnDropHandle::new(tokio::spawn(run())));
        }
    }
}

/// A receiver of one user's events.
#[derive(Debug)]
pub(super) struct Listener {
    /// Must be dropped before `events`, so that a listener that ends is not
    /// counted as too slow.
    _registration: Registration,
    events: mpsc::Receiver<BusEvent>,
}

impl Listener {
    /// Returns whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes all waiting events.
    pub fn take_all(&mut self) -> Vec<BusEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// Waits for the next event; `None` if this listener was too slow and has
    /// been disconnected.
    pub async fn next(&mut self) -> Option<BusEvent> {
        self.events.recv().await
    }
}

#[derive(Debug)]
struct Registration {
    bus: Arc<LocalBus>,
    user: UserId,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut users = lock(&self.bus.users);
        if let Some(user) = users.get_mut(&self.user) {
            user.listeners.remove(&self.number);
            if user.listeners.is_empty() {
                users.remove(&self.user);
            }
        }
    }
}
