//! Delivery of hints to subscribers: in this process, and through Redis to
//! other instances.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::hint::Hint;
use super::redis::{InvalidRedisUrl, Redis};
use super::rows::Look;
use crate::model::UserId;
use crate::telemetry::metrics;

/// Maximum number of undelivered events of one listener. A listener that
/// exceeds it is disconnected.
const MOST_WAITING: usize = 256;

/// An event for a listener.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// A write was committed.
    Hint(Arc<Hint>),
    /// The user's rows were read.
    Look(Arc<Look>),
}

/// Carries hints from writers to listeners. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    hub: Arc<Hub>,
    redis: Option<Redis>,
}

impl Bus {
    /// Creates a bus within this process only.
    #[must_use]
    pub fn local() -> Self {
        let hub = Arc::default();
        Self { hub, redis: None }
    }

    /// Creates a bus between all instances that use the same Redis or Valkey
    /// and the same table. While Redis is unavailable, hints between instances
    /// are lost, but no messages.
    pub fn between_instances(url: &str, table: &str) -> Result<Self, InvalidRedisUrl> {
        let hub = Arc::default();
        let redis = Redis::start(url, table, &hub)?;
        Ok(Self {
            hub,
            redis: Some(redis),
        })
    }

    /// Publishes a hint to the users that it concerns. This never blocks.
    pub(in crate::messaging) fn publish(&self, hint: Hint) {
        let hint = Arc::new(hint);
        for user in hint.audience() {
            self.hub.tell(user, &News::Hint(Arc::clone(&hint)));
        }
        if let Some(redis) = &self.redis {
            redis.publish(hint);
        }
    }

    /// Subscribes to a user's events, from the moment when this function
    /// returns.
    ///
    /// `look` reads the user's rows whenever [`Looks`] requires it, once for
    /// all listeners of the user. It is not started if hints cannot be lost.
    pub(super) async fn listen<F>(&self, user: UserId, look: impl FnOnce(Looks) -> F) -> Listener
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = self.hub.listen(user);
        if let Some(redis) = &self.redis {
            redis.listen(user).await;
            let looks = Looks {
                hub: Arc::clone(&self.hub),
                user,
                again: redis.connections(),
            };
            self.hub.look_for(user, || look(looks));
        }
        listener
    }

    /// Returns whether hints can be lost.
    pub(super) fn is_lossy(&self) -> bool {
        self.redis.is_some()
    }
}

/// When to read a user's rows again, and the listeners that receive the result.
pub(super) struct Looks {
    hub: Arc<Hub>,
    user: UserId,
    /// Changes when hints may have been lost.
    pub again: watch::Receiver<u64>,
}

impl Looks {
    pub fn tell(&self, look: Look) {
        self.hub.tell(self.user, &News::Look(Arc::new(look)));
    }
}

/// The listeners of this instance.
#[derive(Debug, Default)]
pub(super) struct Hub {
    audiences: Mutex<HashMap<UserId, Audience>>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Audience {
    listeners: HashMap<u64, mpsc::Sender<News>>,
    /// The task that reads the user's rows.
    looking: Option<AbortOnDropHandle<()>>,
}

impl Hub {
    fn audiences(&self) -> MutexGuard<'_, HashMap<UserId, Audience>> {
        self.audiences
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all users that have a listener.
    pub fn users(&self) -> Vec<UserId> {
        self.audiences().keys().copied().collect()
    }

    pub fn has(&self, user: UserId) -> bool {
        self.audiences().contains_key(&user)
    }

    /// Delivers an event to a user's listeners. Disconnects each listener whose
    /// buffer is full.
    pub fn tell(&self, user: UserId, news: &News) {
        if let Some(audience) = self.audiences().get_mut(&user) {
            let in_time = |listener: &mpsc::Sender<News>| {
                let told = listener.try_send(news.clone()).is_ok();
                if !told {
                    metrics::listener_let_go();
                }
                told
            };
            audience.listeners.retain(|_, listener| in_time(listener));
        }
    }

    fn listen(self: &Arc<Self>, user: UserId) -> Listener {
        let (sender, news) = mpsc::channel(MOST_WAITING);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut audiences = self.audiences();
        let audience = audiences.entry(user).or_default();
        audience.listeners.insert(number, sender);
        Listener {
            _seat: Seat {
                hub: Arc::clone(self),
                user,
                number,
            },
            news,
        }
    }

    /// Starts the task that reads a user's rows, unless it is running.
    fn look_for<F>(&self, user: UserId, look: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(audience) = self.audiences().get_mut(&user)
            && audience
                .looking
                .as_ref()
                .is_none_or(AbortOnDropHandle::is_finished)
        {
            let looking = tokio::spawn(look());
            audience.looking = Some(AbortOnDropHandle::new(looking));
        }
    }
}

/// A receiver of one user's events.
#[derive(Debug)]
pub(super) struct Listener {
    /// Must be dropped before `news`, so that a listener that ends is not
    /// counted as too slow.
    _seat: Seat,
    news: mpsc::Receiver<News>,
}

impl Listener {
    /// Returns whether no event waits.
    pub fn has_heard_all(&self) -> bool {
        self.news.is_empty()
    }

    /// Takes all waiting events.
    pub fn waiting(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.news.try_recv().ok()).collect()
    }

    /// Waits for the next event; `None` if this listener was too slow and has
    /// been disconnected.
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

#[derive(Debug)]
struct Seat {
    hub: Arc<Hub>,
    user: UserId,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut audiences = self.hub.audiences();
        if let Some(audience) = audiences.get_mut(&self.user) {
            audience.listeners.remove(&self.number);
            if audience.listeners.is_empty() {
                audiences.remove(&self.user);
            }
        }
    }
}
