//! Hints between instances, through publish/subscribe of Redis or Valkey. Each
//! user has one channel.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub, PubSubSink};
use redis::{Client, RedisError};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::event::BusEvent;
use super::hint::Hint;
use super::local_bus::LocalBus;
use crate::backoff::Backoff;
use crate::model::UserId;
use crate::telemetry::metrics::METRICS;

/// Maximum number of hints that wait to be published, which bounds the memory
/// while Redis is unreachable. Further hints are lost.
const MAX_WAITING: usize = 1024;
/// Timeout of each call to Redis. It is short because the start of a
/// subscription waits for a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval between two pings of the subscriber's connection. It bounds the time
/// until a connection that was lost without an error is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The bounds of the first and the longest delay before the subscriber
/// reconnects. A connection that lasted longer than the longest delay resets the
/// backoff to the first delay.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(5);
/// The longest delay before the publisher reconnects. It is short because hints
/// are lost in the meantime.
const PUBLISHER_DELAY: Duration = Duration::from_millis(500);

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
    #[error(
        "it is not an address like redis://localhost:6379 or rediss://user:password@host: {}",
        without_kind(.0)
    )]
    Other(#[from] RedisError),
}

/// Returns the text of an error of the Redis client without the name of the
/// error's kind, with which the client ends the text.
fn without_kind(error: &RedisError) -> String {
    let kind = format!(" - {:?}", error.kind());
    error.to_string().replace(&kind, "")
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
    let host = authority.rsplit_once('@');
    let host = host.map_or(authority, |(_, host)| host);
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
    requests: mpsc::UnboundedSender<ChannelRequest>,
    /// Changes with each new connection. Hints published before the connection
    /// was made are lost.
    pub connections: watch::Receiver<u64>,
}

/// A user whose channel is to be subscribed to, and the sender of the
/// acknowledgement.
type ChannelRequest = (UserId, oneshot::Sender<()>);

impl Redis {
    pub fn start(url: &str, table: &str, local: &Arc<LocalBus>) -> Result<Self, InvalidRedisUrl> {
        check(url)?;
        let client = Client::open(url)?;
        let (hints, published) = mpsc::channel(MAX_WAITING);
        let (requests, requested) = mpsc::unbounded_channel();
        let (connected, connections) = watch::channel(0);
        let channels = Channels {
            prefix: format!("{table}:user:"),
            instance: Uuid::new_v4(),
        };
        let subscriber = Subscriber {
            client: client.clone(),
            channels: channels.clone(),
            local: Arc::downgrade(local),
            connected,
        };
        tokio::spawn(subscriber.run(requested));
        tokio::spawn(publish(client, channels, published));
        Ok(Self {
            hints,
            requests,
            connections,
        })
    }

    /// Queues a hint for publication. The hint is lost if the queue is full.
    pub fn publish(&self, hint: Arc<Hint>) {
        if self.hints.try_send(hint).is_err() {
            METRICS.hints_lost.inc();
        }
    }

    /// Waits until Redis has acknowledged the subscription to a user's channel,
    /// for at most `CALL_TIMEOUT`. Reads of the user's rows find the messages
    /// whose hints were missed.
    pub async fn listen(&self, user: UserId) {
        let (subscribed, acknowledged) = oneshot::channel();
        if self.requests.send((user, subscribed)).is_ok() {
            // Without an acknowledgement, the next connection triggers a read
            // of the rows.
            let _ = timeout(CALL_TIMEOUT, acknowledged).await;
        }
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
        .set_connection_timeout(Some(CALL_TIMEOUT))
        .set_response_timeout(Some(CALL_TIMEOUT))
        .set_max_delay(PUBLISHER_DELAY);
    let mut redis = match ConnectionManager::new_lazy_with_config(client, config) {
        Ok(redis) => redis,
        Err(cause) => return tracing::error!(%cause, "hints cannot be published to Redis"),
    };
    while let Some(hint) = hints.recv().await {
        let from = channels.instance;
        let Ok(text) = serde_json::to_string(&Published { from, hint: &*hint }) else {
            continue;
        };
        let mut both = redis::pipe();
        for user in hint.recipients() {
            both.publish(channels.of(user), &text).ignore();
        }
        let mut published = both.exec_async(&mut redis).await;
        if published.is_err() {
            // The error may come from an earlier attempt to connect.
            published = both.exec_async(&mut redis).await;
        }
        if let Err(cause) = published {
            METRICS.hints_lost.inc();
            tracing::warn!(%cause, "a hint was not published to Redis");
        }
    }
}

/// Keeps one connection that is subscribed to all requested channels.
struct Subscriber {
    client: Client,
    channels: Channels,
    local: Weak<LocalBus>,
    connected: watch::Sender<u64>,
}

impl Subscriber {
    async fn run(self, mut requests: mpsc::UnboundedReceiver<ChannelRequest>) {
        let mut backoff = Backoff::new(FIRST_DELAY, MAX_DELAY, 0.5);
        while self.local.strong_count() > 0 {
            match timeout(CALL_TIMEOUT, self.client.get_async_pubsub()).await {
                Ok(Ok(connection)) => {
                    let began = Instant::now();
                    let Err(cause) = self.listen(connection, &mut requests).await else {
                        return;
                    };
                    tracing::warn!(%cause, "the connection to Redis was lost; reconnecting");
                    if began.elapsed() > MAX_DELAY {
                        backoff.reset();
                    }
                }
                Ok(Err(cause)) => tracing::warn!(%cause, "Redis is unreachable"),
                Err(_) => tracing::warn!("Redis did not respond in time"),
            }
            // The next connection subscribes to the channels of all listeners,
            // including the channels requested here.
            while requests.try_recv().is_ok() {}
            backoff.wait().await;
        }
    }

    /// Receives hints until the connection fails or the `Redis` handle is
    /// dropped.
    async fn listen(
        &self,
        connection: PubSub,
        requests: &mut mpsc::UnboundedReceiver<ChannelRequest>,
    ) -> Result<(), ConnectionLost> {
        let (mut sink, mut messages) = connection.split();
        let local = self.local.upgrade();
        let users = local.map(|local| local.users()).unwrap_or_default();
        for some in users.chunks(1000) {
            let channels: Vec<String> = some.iter().map(|user| self.channels.of(*user)).collect();
            in_time(sink.subscribe(channels)).await?;
        }
        self.connected.send_modify(|connections| *connections += 1);
        let mut ping = tokio::time::interval(PING_INTERVAL);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.deliver(&message, &mut sink).await?,
                    None => return Err(ConnectionLost::Closed),
                },
                request = requests.recv() => match request {
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
    async fn deliver(
        &self,
        message: &redis::Msg,
        sink: &mut PubSubSink,
    ) -> Result<(), ConnectionLost> {
        let channel = message.get_channel_name();
        let Some((local, user)) = self.local.upgrade().zip(self.channels.user(channel)) else {
            return Ok(());
        };
        if !local.has(user) {
            return in_time(sink.unsubscribe(channel)).await;
        }
        match serde_json::from_slice::<Published<Hint>>(message.get_payload_bytes()) {
            Ok(published) if published.from == self.channels.instance => {}
            Ok(published) => local.publish(user, &BusEvent::Hint(Arc::new(published.hint))),
            Err(cause) => tracing::warn!(%cause, "a hint from Redis is unreadable"),
        }
        Ok(())
    }
}

/// Why a connection was closed.
#[derive(Debug, thiserror::Error)]
enum ConnectionLost {
    #[error("the server closed it")]
    Closed,
    #[error("no response in time")]
    Timeout,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

async fn in_time<T>(
    call: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, ConnectionLost> {
    Ok(timeout(CALL_TIMEOUT, call)
        .await
        .map_err(|_| ConnectionLost::Timeout)??)
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
