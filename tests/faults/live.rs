//! Subscriptions while instances, connections and Redis fail: each must deliver
//! every message of its groups once and in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use cruddur::clock::Clock;
use cruddur::model::MessageGroupId;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::original::{Original, OriginalGroup};
use crate::harness::random::draw;
use crate::harness::{
    Cruddur, Faults, Redis, Setup, Socket, TIMEOUT, checker, start_with, wait_until,
};
use crate::load::Load;
use crate::server::Server;

const CREATED: &str = "subscription($group: UUID, $after: String) {
    messageCreated(messageGroupUuid: $group, after: $after) {
        cursor
        messageEdge { node { uuid messageGroup { uuid } } }
    }
}";
/// Number of users, in a ring: each has a group with both neighbours.
const USERS: usize = 20;
const SUBSCRIBERS: usize = 200;

/// What the test reads of a subscriber while it runs.
#[derive(Default)]
struct Progress {
    /// Group → UUID of the newest message that was received.
    newest: Mutex<HashMap<String, String>>,
    /// Number of connections that have ended.
    cuts: AtomicUsize,
}

/// A subscriber to all groups of a user, or to one group.
struct Subscriber {
    handle: String,
    token: String,
    group: Option<String>,
    urls: [String; 2],
    /// Group → UUIDs of messages, in the order in which they came.
    received: BTreeMap<String, Vec<String>>,
    progress: Arc<Progress>,
    after: Option<String>,
}

impl Subscriber {
    /// Follows until `stop` is set, and resumes after each disconnect.
    async fn follow(mut self, active: &AtomicUsize, stop: &AtomicBool) -> Self {
        let mut begun = false;
        while !stop.load(Ordering::Relaxed) {
            let url = &self.urls[draw(|random| random.usize(..2))];
            let Ok(mut socket) = Socket::try_connect(url, &self.token).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let variables = json!({ "group": self.group, "after": self.after });
            socket.subscribe("live", CREATED, variables).await;
            let cut =
                Instant::now() + Duration::from_millis(draw(|random| random.u64(2000..20_000)));
            while let Some(message) = socket.message_until(cut, stop).await {
                if message["type"] != "next" || message["payload"].get("errors").is_some() {
                    break;
                }
                self.take(&message["payload"]["data"]["messageCreated"]);
                // A subscriber to all groups of a user has two groups.
                if !begun && (self.group.is_some() || self.received.len() == 2) {
                    begun = true;
                    active.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.progress.cuts.fetch_add(1, Ordering::Relaxed);
        }
        self
    }

    fn take(&mut self, event: &Value) {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        self.after = Some(text(&event["cursor"]));
        let message = &event["messageEdge"]["node"];
        let group = text(&message["messageGroup"]["uuid"]);
        let uuid = text(&message["uuid"]);
        let mut newest = self.progress.newest.lock().expect("no panic");
        newest.insert(group.clone(), uuid.clone());
        self.received.entry(group).or_default().push(uuid);
    }

    /// Counts the differences between the received and the stored messages.
    fn wrong(&self, there: &HashMap<String, Vec<String>>, real: &HashMap<String, usize>) -> Wrong {
        let mut wrong = Wrong::default();
        for (group, received) in &self.received {
            let Some(all) = there.get(group) else {
                wrong.foreign += received.len();
                continue;
            };
            let first = all.iter().position(|uuid| *uuid == received[0]);
            let expected = &all[first.unwrap_or(0)..];
            let mut sorted = received.clone();
            sorted.sort();
            sorted.dedup();
            wrong.duplicated += received.len() - sorted.len();
            wrong.lost += expected
                .iter()
                .filter(|uuid| !received.contains(uuid))
                .count();
            wrong.foreign += received.iter().filter(|uuid| !all.contains(uuid)).count();
            if received != expected {
                wrong.out_of_order += 1;
            }
            // All messages must be received that were sent after every subscription was active.
            wrong.lost += first.unwrap_or(usize::MAX).saturating_sub(real[group]);
        }
        let groups = if self.group.is_some() { 1 } else { 2 };
        wrong.lost += groups - self.received.len();
        wrong
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Wrong {
    lost: usize,
    duplicated: usize,
    out_of_order: usize,
    /// Messages of other groups, or of none.
    foreign: usize,
}

impl Wrong {
    fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.foreign += other.foreign;
    }
}

fn handle(number: usize) -> String {
    format!("user-{}", number % USERS)
}

/// Settings of a server whose clock differs from the others.
fn skewed(redis: &Redis, off: TimeDelta) -> Setup {
    #[expect(
        clippy::disallowed_methods,
        reason = "this function creates the clock of an instance"
    )]
    let clock = Clock::new(move || Utc::now() + off);
    Setup {
        clock,
        redis_url: Some(redis.url.clone()),
        ..Setup::for_many_requests()
    }
}

/// Writes a group of two users as the original did, with a message whose key is 90 minutes
/// ahead of the clock.
async fn write_original(cruddur: &Cruddur, one: &str, other: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the original uses the system clock"
    )]
    let ahead = Utc::now() + TimeDelta::minutes(90);
    let sk = ahead.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    let handles = [one.to_owned(), other.to_owned()];
    let users = cruddur.users.users_by_handle(&handles).await;
    let users = users.expect("users");
    let original = Original::new(checker::client(&cruddur.dynamo.url));
    let mut group = OriginalGroup {
        uuid: MessageGroupId::of_pair(users[0].id, users[1].id).0,
        pair: [users[0].clone(), users[1].clone()],
        messages: Vec::new(),
    };
    let body = "of the original";
    original.message(&mut group, 0, &sk, body).await;
    original.row(&group, 0, &sk, body).await;
    original.row(&group, 1, &sk, body).await;
}

/// Returns the UUIDs of the messages of each group, in order.
async fn messages(cruddur: &Cruddur) -> HashMap<String, Vec<String>> {
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check_adopted();
    let uuid = |message: &_| checker::text(message, "message_uuid").to_owned();
    let groups = found.messages.iter();
    groups
        .map(|(group, messages)| (group.clone(), messages.iter().map(uuid).collect()))
        .collect()
}

/// Sends a message in each group until every subscriber has received one.
async fn until_active(cruddur: &Cruddur, active: &AtomicUsize, everybody: usize) {
    let began = Instant::now();
    for round in 0.. {
        for number in 0..USERS {
            let body = format!("message {round} of the start");
            cruddur
                .send(&handle(number), &handle(number + 1), &body)
                .await;
        }
        if active.load(Ordering::Relaxed) == everybody {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(
            began.elapsed() < TIMEOUT,
            "{active:?} of {everybody} subscribers are active"
        );
    }
}

/// Waits until a condition holds for every subscriber.
async fn until_all(progress: &[Arc<Progress>], holds: impl Fn(&Progress) -> bool) {
    wait_until("all subscribers make progress", async || {
        progress.iter().all(|progress| holds(progress))
    })
    .await;
}

/// Waits until each subscriber has received the newest message of each of its groups, and has
/// resumed after that.
async fn until_complete(progress: &[Arc<Progress>], messages: &HashMap<String, Vec<String>>) {
    let newest_received = |progress: &Progress| {
        let newest = progress.newest.lock().expect("no panic");
        let mut groups = newest.iter();
        groups.all(|(group, uuid)| messages[group].last() == Some(uuid))
    };
    until_all(progress, newest_received).await;
    // Each subscriber resumes once more, so that a message that is delivered twice is counted.
    let cuts = |progress: &Progress| progress.cuts.load(Ordering::Relaxed);
    let resumed: Vec<usize> = progress.iter().map(|one| cuts(one) + 2).collect();
    for (progress, until) in progress.iter().zip(resumed) {
        until_all(std::slice::from_ref(progress), |progress| {
            cuts(progress) >= until
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_receive_every_message_once_despite_crashes_and_disconnects() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let cruddur = start_with(skewed(&redis, TimeDelta::seconds(1))).await;
    let behind = cruddur
        .second_server(skewed(&redis, TimeDelta::seconds(-1)))
        .await;
    for number in 0..USERS {
        cruddur.users([handle(number).as_str()]).await;
    }
    write_original(&cruddur, &handle(0), &handle(1)).await;
    let redis_url = [("REDIS_URL", redis.url.clone())];
    let mut publisher = Server::start_with(&cruddur, redis_url.to_vec()).await;

    // The groups must exist before a subscriber subscribes to one of them.
    let (active, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    until_active(&cruddur, &active, 0).await;
    let mut subscribers = Vec::new();
    for number in 0..SUBSCRIBERS {
        let (user, other) = (handle(number), handle(number + 1));
        let group = match number / USERS % 3 {
            0 => Some(cruddur.group_uuid(&user, &other).await),
            _ => None,
        };
        subscribers.push(Subscriber {
            token: cruddur.token(&user),
            handle: user,
            group,
            urls: [cruddur.url.clone(), behind.clone()],
            received: BTreeMap::new(),
            progress: Arc::default(),
            after: None,
        });
    }
    let progress = subscribers
        .iter()
        .map(|subscriber| Arc::clone(&subscriber.progress));
    let progress: Vec<_> = progress.collect();
    let follow = |subscriber: Subscriber| {
        let (active, stop) = (Arc::clone(&active), Arc::clone(&stop));
        tokio::spawn(async move { subscriber.follow(&active, &stop).await })
    };
    let following: Vec<_> = subscribers.into_iter().map(follow).collect();
    until_active(&cruddur, &active, SUBSCRIBERS).await;
    let before: HashMap<String, usize> = {
        let there = messages(&cruddur).await;
        there
            .into_iter()
            .map(|(group, messages)| (group, messages.len()))
            .collect()
    };

    let pairs = (0..USERS).map(|number| [handle(number), handle(number + 1)]);
    let urls = vec![cruddur.url.clone(), behind.clone(), publisher.url.clone()];
    let load = Load::new(urls, pairs.collect(), 40, 50);
    let trouble = async {
        for round in 0..6 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            if round == 2 {
                redis.kill().await;
            }
            // The server commits further transactions, but is killed before it publishes them.
            cruddur.dynamo.set_faults(Faults {
                lost_after: 100,
                ..Faults::default()
            });
            tokio::time::sleep(Duration::from_millis(30)).await;
            publisher.kill(&cruddur).await;
            cruddur.dynamo.set_faults(Faults::default());
            if round == 3 {
                redis.restart().await;
            }
        }
    };
    let began = Instant::now();
    let (sent, ()) = tokio::join!(load.run(&cruddur), trouble);
    println!("{} messages were sent in {:?}", sent.len(), began.elapsed());
    assert!(sent.iter().all(|sent| sent.acknowledged.is_some()));

    let there = messages(&cruddur).await;
    until_complete(&progress, &there).await;
    stop.store(true, Ordering::Relaxed);
    let (mut wrong, mut events, mut cuts) = (Wrong::default(), 0, 0);
    for subscriber in join_all(following).await {
        let subscriber = subscriber.expect("no panic");
        let own = subscriber.wrong(&there, &before);
        if own != Wrong::default() {
            println!("{} of {:?}: {own:?}", subscriber.handle, subscriber.group);
        }
        wrong.add(&own);
        events += subscriber.received.values().map(Vec::len).sum::<usize>();
        cuts += subscriber.progress.cuts.load(Ordering::Relaxed);
    }
    println!(
        "{SUBSCRIBERS} subscribers, {} messages of which {} under load, {events} events, {cuts} connections: {wrong:?}",
        there.values().map(Vec::len).sum::<usize>(),
        sent.len(),
    );
    assert_eq!(wrong, Wrong::default());
}
