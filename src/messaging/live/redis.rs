//! Hints between instances, through publish/subscribe of Redis or Valkey. Each
//! user has one channel.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub, PubSubSink};
use redis::{Client, RedisError};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::bus::{Hub, News};
use super::hint::Hint;
use crate::model::UserId;
use crate::telemetry::metrics;

/// Maximum number of hints that wait to be published. Further hints are lost.
const MOST_WAITING: usize = 1024;
/// Timeout of each call to Redis.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// Interval between two pings of the subscriber's connection.
const PING_EVERY: Duration = Duration::from_secs(5);
/// The shortest and the longest delay before a reconnect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An invalid Redis URL. The message contains no part of the URL, because that
/// part may be a password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRedisUrl {
    /// The scheme is missing or not supported.
    #[error("it does not begin with redis:// or rediss://, valkey:// or valkeys://")]
    Scheme,
    /// A reserved character is not percent-encoded, or the host is missing.
    #[error(
        "its host is missing, or reserved characters of user name and password are not percent-encoded (/ as %2F, ? \
         as %3F, # as %23, @ as %40, : as %3A, % as %25)"
    )]
    Reserved,
    /// Any other error.
    #[error("it is not an address like redis://localhost:6379 or rediss://user:password@host: {0}")]
    Other(#[from] RedisError),
}

/// Checks the parts that a password with an unencoded reserved character can
/// break. Such a character ends the host part too early: the rest of the URL
/// then contains an `@`, and the host is wrong.
fn check(url: &str) -> Result<(), InvalidRedisUrl> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(InvalidRedisUrl::Scheme);
    };
    match scheme {
        "redis" | "rediss" | "valkey" | "valkeys" => {}
        "unix" | "redis+unix" | "valkey+unix" => return Ok(()),
        _ => return Err(InvalidRedisUrl::Scheme),
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let fragment = behind.split_once('#').map_or("insecure", |(_, text)| text);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if behind.contains('@') || fragment != "insecure" || matches!(host, "" | ":") {
        return Err(InvalidRedisUrl::Reserved);
    }
    Ok(())
}

/// A hint, with the instance that published it.
#[derive(Serialize, Deserialize)]
struct Published<H> {
    from: Uuid,
    hint: H,
}

/// The channels of the users of one table.
#[derive(Clone, Debug)]
pub(super) struct Redis {
    hints: mpsc::Sender<Arc<Hint>>,
    wanted: mpsc::UnboundedSender<Wanted>,
    connections: watch::Receiver<u64>,
}

/// A user whose channel is to be subscribed to, and the sender of the
/// acknowledgement.
type Wanted = (UserId, oneshot::Sender<()>);

impl Redis {
    pub fn start(url: &str, table: &str, hub: &Arc<Hub>) -> Result<Self, InvalidRedisUrl> {
        check(url)?;
        let client = Client::open(url)?;
        let (hints, published) = mpsc::channel(MOST_WAITING);
        let (wanted, asked) = mpsc::unbounded_channel();
        let (connected, connections) = watch::channel(0);
        let channels = Channels {
            prefix: format!("{table}:user:"),
            instance: Uuid::new_v4(),
        };
        let subscriber = Subscriber {
            client: client.clone(),
            channels: channels.clone(),
            hub: Arc::downgrade(hub),
            connected,
        };
        tokio::spawn(subscriber.run(asked));
        tokio::spawn(publish(client, channels, published));
        Ok(Self {
            hints,
            wanted,
            connections,
        })
    }

    /// Queues a hint for publication. The hint is lost if the queue is full.
    pub fn publish(&self, hint: Arc<Hint>) {
        if self.hints.try_send(hint).is_err() {
            metrics::hint_lost();
        }
    }

    /// Waits until a user's channel is subscribed to, for at most
    /// `ANSWERS_WITHIN`. Missed hints are compensated for by reading the user's
    /// rows.
    pub async fn listen(&self, user: UserId) {
        let (subscribed, acknowledged) = oneshot::channel();
        if self.wanted.send((user, subscribed)).is_ok() {
            // Without an acknowledgement, the next connection triggers a read
            // of the rows.
            let _ = timeout(ANSWERS_WITHIN, acknowledged).await;
        }
    }

    /// Changes with each new connection. Hints published before the connection
    /// was made are lost.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }
}

#[derive(Clone, Debug)]
struct Channels {
    prefix: String,
    /// This instance. It ignores its own hints, which it has already delivered
    /// locally.
    instance: Uuid,
}

impl Channels {
    fn of(&self, user: UserId) -> String {
        format!("{}{user}", self.prefix)
    }

    fn user(&self, channel: &str) -> Option<UserId> {
        channel.strip_prefix(&self.prefix)?.parse().ok()
    }
}

/// Publishes queued hints, one after another.
async fn publish(client: Client, channels: Channels, mut hints: mpsc::Receiver<Arc<Hint>>) {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(ANSWERS_WITHIN))
        .set_response_timeout(Some(ANSWERS_WITHIN))
        .set_max_delay(SHORTEST_PAUSE * 10);
    let mut redis = match ConnectionManager::new_lazy_with_config(client, config) {
        Ok(redis) => redis,
        Err(cause) => return tracing::error!(%cause, "nothing can be published"),
    };
    while let Some(hint) = hints.recv().await {
        let from = channels.instance;
        let Ok(text) = serde_json::to_string(&Published { from, hint: &*hint }) else {
            continue;
        };
        let mut both = redis::pipe();
        for user in hint.audience() {
            both.publish(channels.of(user), &text).ignore();
        }
        let mut published = both.exec_async(&mut redis).await;
        if published.is_err() {
            // The error may come from an earlier attempt to connect.
            published = both.exec_async(&mut redis).await;
        }
        if let Err(cause) = published {
            metrics::hint_lost();
            tracing::warn!(%cause, "a hint was not published");
        }
    }
}

/// Keeps one connection that is subscribed to all requested channels.
struct Subscriber {
    client: Client,
    channels: Channels,
    hub: Weak<Hub>,
    connected: watch::Sender<u64>,
}

impl Subscriber {
    async fn run(self, mut wanted: mpsc::UnboundedReceiver<Wanted>) {
        let mut pause = SHORTEST_PAUSE;
        while self.hub.strong_count() > 0 {
            match timeout(ANSWERS_WITHIN, self.client.get_async_pubsub()).await {
                Ok(Ok(connection)) => {
                    let began = Instant::now();
                    let Err(cause) = self.listen(connection, &mut wanted).await else {
                        return;
                    };
                    tracing::warn!(%cause, "the connection to Redis is lost");
                    if began.elapsed() > LONGEST_PAUSE {
                        pause = SHORTEST_PAUSE;
                    }
                }
                Ok(Err(cause)) => tracing::warn!(%cause, "Redis cannot be reached"),
                Err(_) => tracing::warn!("Redis does not answer"),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            // The next connection subscribes to the channels of all listeners,
            // including the channels requested here.
            while wanted.try_recv().is_ok() {}
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Receives hints until the connection fails, or until the `Redis` handle
    /// is dropped.
    async fn listen(
        &self,
        connection: PubSub,
        wanted: &mut mpsc::UnboundedReceiver<Wanted>,
    ) -> Result<(), Lost> {
        let (mut sink, mut messages) = connection.split();
        let users = self
            .hub
            .upgrade()
            .map(|hub| hub.users())
            .unwrap_or_default();
        for some in users.chunks(1000) {
            let channels: Vec<String> = some.iter().map(|user| self.channels.of(*user)).collect();
            in_time(sink.subscribe(channels)).await?;
        }
        self.connected.send_modify(|connections| *connections += 1);
        let mut ping = tokio::time::interval(PING_EVERY);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.deliver(&message, &mut sink).await?,
                    None => return Err(Lost::Closed),
                },
                wish = wanted.recv() => match wish {
                    Some((user, subscribed)) => {
                        in_time(sink.subscribe(self.channels.of(user))).await?;
                        // The send fails if the listener no longer waits for
                        // it.
                        let _ = subscribed.send(());
                    }
                    None => return Ok(()),
                },
                _ = ping.tick() => in_time(sink.ping::<redis::Value>()).await.map(drop)?,
            }
        }
    }

    /// Delivers a hint to a user's listeners. Unsubscribes from the channel if
    /// the user has no listener.
    async fn deliver(&self, message: &redis::Msg, sink: &mut PubSubSink) -> Result<(), Lost> {
        let channel = message.get_channel_name();
        let Some((hub, user)) = self.hub.upgrade().zip(self.channels.user(channel)) else {
            return Ok(());
        };
        if !hub.has(user) {
            return in_time(sink.unsubscribe(channel)).await;
        }
        match serde_json::from_slice::<Published<Hint>>(message.get_payload_bytes()) {
            Ok(published) if published.from == self.channels.instance => {}
            Ok(published) => hub.tell(user, &News::Hint(Arc::new(published.hint))),
            Err(cause) => tracing::warn!(%cause, "a hint cannot be read"),
        }
        Ok(())
    }
}

/// Why a connection was closed.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("it was closed")]
    Closed,
    #[error("no answer in time")]
    Silent,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

async fn in_time<T>(asked: impl Future<Output = Result<T, RedisError>>) -> Result<T, Lost> {
    Ok(timeout(ANSWERS_WITHIN, asked)
        .await
        .map_err(|_| Lost::Silent)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_address_is_rejected_without_any_part_of_it() {
        for wrong in [
            "redis://:12/secret@127.0.0.1:6379",
            "redis://u:12/secret@127.0.0.1:6379",
            "redis://u:12?secret@127.0.0.1",
            "redis://u:12#secret@127.0.0.1",
            "redis://u:secret@",
            "redis://u:secret",
            "redis://u:1@h/secret",
            "u:secret@127.0.0.1:6379",
            "secret:1@127.0.0.1:6379",
            "http://u:secret@127.0.0.1",
        ] {
            let opened = check(wrong).and_then(|()| Ok(Client::open(wrong)?));
            let refused = opened.expect_err(wrong).to_string();
            assert!(!refused.contains("secret"), "{wrong}: {refused}");
        }
        for right in [
            "redis://localhost",
            "rediss://u:p@ss@[::1]:6379/1#insecure",
            "valkey://:pass@h:6379/0?protocol=resp3",
        ] {
            check(right)
                .and_then(|()| Ok(Client::open(right)?))
                .expect(right);
        }
    }
}
