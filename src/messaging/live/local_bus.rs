//! Delivery of events to the listeners of this instance.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio_util::task::AbortOnDropHandle;

use super::event::BusEvent;
use super::event_queue::EventQueue;
use crate::lock::lock;
use crate::model::UserId;
use crate::telemetry::metrics::METRICS;

/// The listeners of this instance.
#[derive(Debug, Default)]
pub(super) struct LocalBus {
    users: Mutex<HashMap<UserId, UserListeners>>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct UserListeners {
    listeners: HashMap<u64, Arc<EventQueue>>,
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
    /// queue is full.
    pub fn publish(&self, user: UserId, event: &BusEvent) {
        if let Some(user) = lock(&self.users).get_mut(&user) {
            user.listeners.retain(|_, queue| {
                let is_queued = queue.push_or_close(event.clone());
                if !is_queued {
                    METRICS.subscribers_dropped.inc();
                }
                is_queued
            });
        }
    }

    /// Subscribes to a user's events.
    pub fn listen(self: &Arc<Self>, user: UserId) -> Listener {
        let queue = Arc::<EventQueue>::default();
        let mut users = lock(&self.users);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let listeners = &mut users.entry(user).or_default().listeners;
        listeners.insert(number, Arc::clone(&queue));
        Listener {
            bus: Arc::clone(self),
            user,
            number,
            queue,
        }
    }

    /// Starts the task that reads a user's rows, unless it is running.
    pub fn start_resync<F>(&self, user: UserId, run: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(UserListeners { resync, .. }) = lock(&self.users).get_mut(&user)
            && resync.as_ref().is_none_or(AbortOnDropHandle::is_finished)
        {
            *resync = Some(AbortOnDropHandle::new(tokio::spawn(run())));
        }
    }
}

/// A receiver of one user's events.
#[derive(Debug)]
pub(super) struct Listener {
    bus: Arc<LocalBus>,
    user: UserId,
    number: u64,
    /// The events; closed if this listener was too slow and has been disconnected.
    pub queue: Arc<EventQueue>,
}

impl Drop for Listener {
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
