//! The limit on WebSocket connections and event streams per user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::UserId;

/// The number of open connections of each user. Each instance counts its own.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Crowd(Arc<Mutex<HashMap<UserId, usize>>>);

/// A connection that counts towards its user's limit until this is dropped.
#[derive(Debug)]
pub(in crate::server) struct Seat {
    crowd: Crowd,
    user: UserId,
}

impl Crowd {
    /// Counts another connection of a user; `None` if the user already has `most`.
    pub fn enter(&self, user: UserId, most: usize) -> Option<Seat> {
        let mut counts = self.counts();
        let count = counts.entry(user).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat {
            crowd: self.clone(),
            user,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}
