//! Delivery of hints to subscribers: in this process, and through Redis to
//! other instances.

use std::sync::Arc;

use tokio::sync::watch;

use super::event::{BusEvent, RowsSnapshot};
use super::hint::Hint;
use super::local_bus::{Listener, LocalBus};
use super::redis::{InvalidRedisUrl, Redis};
use crate::model::UserId;

/// Carries hints from writers to listeners. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    local: Arc<LocalBus>,
    redis: Option<Redis>,
}

impl Bus {
    /// Creates a bus within this process only.
    pub fn local() -> Self {
        let local = Arc::default();
        Self { local, redis: None }
    }

    /// Creates a bus between all instances that use the same Redis or Valkey
    /// and the same table. While Redis is unavailable, hints between instances
    /// are lost, but no messages.
    pub fn between_instances(url: &str, table: &str) -> Result<Self, InvalidRedisUrl> {
        let local = Arc::default();
        let redis = Redis::start(url, table, &local)?;
        Ok(Self {
            local,
            redis: Some(redis),
        })
    }

    /// Publishes a hint to the users that it concerns. This never blocks.
    pub fn publish(&self, hint: Hint) {
        let hint = Arc::new(hint);
        for user in hint.recipients() {
            self.local.publish(user, &BusEvent::Hint(Arc::clone(&hint)));
        }
        if let Some(redis) = &self.redis {
            redis.publish(hint);
        }
    }

    /// Subscribes to a user's events, from the moment when this function
    /// returns.
    ///
    /// `run` reads the user's rows whenever [`Resync`] requires it, once for all
    /// listeners of the user. It is not started if hints cannot be lost.
    pub(super) async fn listen<F>(&self, user: UserId, run: impl FnOnce(Resync) -> F) -> Listener
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = self.local.listen(user);
        if let Some(redis) = &self.redis {
            redis.listen(user).await;
            let resync = Resync {
                local: Arc::clone(&self.local),
                user,
                hints_lost: redis.connections.clone(),
            };
            self.local.start_resync(user, || run(resync));
        }
        listener
    }

    /// Returns whether hints can be lost.
    pub(super) fn is_lossy(&self) -> bool {
        self.redis.is_some()
    }
}

/// When to read a user's rows again, and the listeners that receive the result.
pub(super) struct Resync {
    local: Arc<LocalBus>,
    user: UserId,
    /// Changes when hints may have been lost.
    pub hints_lost: watch::Receiver<u64>,
}

impl Resync {
    pub fn publish(&self, rows: RowsSnapshot) {
        let event = BusEvent::Rows(Arc::new(rows));
        self.local.publish(self.user, &event);
    }
}
