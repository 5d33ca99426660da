//! Who hears of what: within this instance, and through Redis on others.

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

/// How much may wait for one listener. Whoever takes longer is let go.
const MOST_WAITING: usize = 256;

/// What a listener hears.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// Something was committed.
    Hint(Arc<Hint>),
    /// The user's rows were looked through.
    Look(Arc<Look>),
}

/// Carries hints from those who write to those who listen. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    hub: Arc<Hub>,
    redis: Option<Redis>,
}

impl Bus {
    /// Within this instance alone.
    #[must_use]
    pub fn local() -> Self {
        let hub = Arc::default();
        Self { hub, redis: None }
    }

    /// Between all instances that use the same Redis or Valkey and the same
    /// table. It may be away: hints are lost then, and nothing else.
    pub fn between_instances(url: &str, table: &str) -> Result<Self, InvalidRedisUrl> {
        let hub = Arc::default();
        let redis = Redis::start(url, table, &hub)?;
        Ok(Self {
            hub,
            redis: Some(redis),
        })
    }

    /// Tells everybody whom it concerns. Never waits.
    pub(in crate::messaging) fn publish(&self, hint: Hint) {
        let hint = Arc::new(hint);
        for user in hint.audience() {
            self.hub.tell(user, &News::Hint(Arc::clone(&hint)));
        }
        if let Some(redis) = &self.redis {
            redis.publish(hint);
        }
    }

    /// Listens to what concerns a user, from when this returns on. `look` looks
    /// through the user's rows, as often as [`Looks`] says, for all listeners
    /// of a user together; where no hint can get lost it is not begun.
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

    /// Whether a hint may get lost.
    pub(super) fn is_lossy(&self) -> bool {
        self.redis.is_some()
    }
}

/// When a user's rows have to be looked through, and who hears of it.
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
    /// Looks through the user's rows.
    looking: Option<AbortOnDropHandle<()>>,
}

impl Hub {
    fn audiences(&self) -> MutexGuard<'_, HashMap<UserId, Audience>> {
        self.audiences
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// All users whom somebody listens for.
    pub fn users(&self) -> Vec<UserId> {
        self.audiences().keys().copied().collect()
    }

    pub fn has(&self, user: UserId) -> bool {
        self.audiences().contains_key(&user)
    }

    /// Tells a user's listeners; lets go of those who are too slow.
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

    /// Begins to look through a user's rows, unless somebody does.
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

/// Somebody who listens to what concerns a user.
#[derive(Debug)]
pub(super) struct Listener {
    /// Given up first: who has gone is not too slow.
    _seat: Seat,
    news: mpsc::Receiver<News>,
}

impl Listener {
    /// Whether nothing waits to be heard.
    pub fn has_heard_all(&self) -> bool {
        self.news.is_empty()
    }

    /// What waits to be heard.
    pub fn waiting(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.news.try_recv().ok()).collect()
    }

    /// What comes next; `None` once it was let go, having been too slow.
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
