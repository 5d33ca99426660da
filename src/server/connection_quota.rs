//! The limit on WebSocket connections and event streams per user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::model::UserId;

/// The number of open connections of each user. Each instance counts its own.
#[derive(Clone, Debug)]
pub(super) struct ConnectionQuota {
    max_per_user: usize,
    counts: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// A connection that counts towards its user's limit until this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    quota: ConnectionQuota,
    user: UserId,
}

impl ConnectionQuota {
    pub fn new(max_per_user: usize) -> Self {
        Self {
            max_per_user,
            counts: Arc::default(),
        }
    }

    /// Counts another connection of a user; `None` if the user already has the maximum number.
    pub fn acquire(&self, user: UserId) -> Option<ConnectionSlot> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(user).or_default();
        if *count >= self.max_per_user {
            return None;
        }
        *count += 1;
        Some(ConnectionSlot {
            quota: self.clone(),
            user,
        })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut counts = lock(&self.quota.counts);
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}
