//! How many sockets each user has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::UserId;

/// The sockets of all users. Kept by each instance for itself.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Crowd(Arc<Mutex<HashMap<UserId, usize>>>);

/// A socket's place among those of its user, until it is dropped.
#[derive(Debug)]
pub(in crate::server) struct Seat {
    crowd: Crowd,
    user: UserId,
}

impl Crowd {
    /// Another socket of a user, who may have so many.
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
