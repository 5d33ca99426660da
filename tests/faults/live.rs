//! Those who follow messages while instances, connections and Redis come and
//! go: each has to see every message of their groups once and in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use cruddur::clock::Clock;
use cruddur::model::MessageGroupId;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::original::{Original, OriginalGroup};
use crate::harness::random::draw;
use crate::harness::{Cruddur, Faults, Redis, Setup, Socket, checker, start_with};
use crate::load::Load;
use crate::server::Server;

const CREATED: &str = "subscription($group: UUID, $after: String) {
    messageCreated(messageGroupUuid: $group, after: $after) {
        cursor
        messageEdge { node { uuid messageGroup { uuid } } }
    }
}";
/// How many users there are, in a ring: each writes with both neighbours.
const USERS: usize = 20;
const SUBSCRIBERS: usize = 200;
/// For how long the last messages may be on their way.
const PATIENCE: Duration = Duration::from_mins(1);

/// Somebody who follows all of a user's groups, or one.
struct Subscriber {
    handle: String,
    token: String,
    group: Option<String>,
    urls: [String; 2],
    /// Group → uuids of messages, in the order in which they came.
    seen: BTreeMap<String, Vec<String>>,
    after: Option<String>,
    cuts: usize,
}

impl Subscriber {
    /// Follows until told to stop, and comes back whenever it is cut off.
    async fn follow(mut self, awake: &AtomicUsize, stop: &AtomicBool) -> Self {
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
                // Both groups of a user who follows all.
                if !begun && (self.group.is_some() || self.seen.len() == 2) {
                    begun = true;
                    awake.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.cuts += 1;
        }
        self
    }

    fn take(&mut self, event: &Value) {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        self.after = Some(text(&event["cursor"]));
        let message = &event["messageEdge"]["node"];
        let group = text(&message["messageGroup"]["uuid"]);
        self.seen
            .entry(group)
            .or_default()
            .push(text(&message["uuid"]));
    }

    /// What is wrong with what was seen, beside what there is.
    fn wrong(&self, there: &HashMap<String, Vec<String>>, real: &HashMap<String, usize>) -> Wrong {
        let mut wrong = Wrong::default();
        for (group, seen) in &self.seen {
            let Some(all) = there.get(group) else {
                wrong.foreign += seen.len();
                continue;
            };
            let first = all.iter().position(|uuid| *uuid == seen[0]);
            let expected = &all[first.unwrap_or(0)..];
            let mut sorted = seen.clone();
            sorted.sort();
            sorted.dedup();
            wrong.doubled += seen.len() - sorted.len();
            wrong.lost += expected.iter().filter(|uuid| !seen.contains(uuid)).count();
            wrong.foreign += seen.iter().filter(|uuid| !all.contains(uuid)).count();
            if seen != expected {
                wrong.out_of_order += 1;
            }
            // What was sent once everybody was awake has to be there.
            wrong.lost += first.unwrap_or(usize::MAX).saturating_sub(real[group]);
        }
        let groups = if self.group.is_some() { 1 } else { 2 };
        wrong.lost += groups - self.seen.len();
        wrong
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Wrong {
    lost: usize,
    doubled: usize,
    out_of_order: usize,
    /// Of groups that are not theirs, or of none.
    foreign: usize,
}

impl Wrong {
    fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.foreign += other.foreign;
    }
}

fn handle(number: usize) -> String {
    format!("user-{}", number % USERS)
}

/// A server whose clock is off.
fn skewed(redis: &Redis, off: TimeDelta) -> Setup {
    #[expect(clippy::disallowed_methods, reason = "this is an instance's own clock")]
    let clock = Clock::new(move || Utc::now() + off);
    Setup {
        clock,
        redis_url: Some(redis.url.clone()),
        ..Setup::default()
    }
}

/// A group of two users as the original kept it, with a message that is stamped
/// an hour and a half ahead.
async fn plant_original(cruddur: &Cruddur, one: &str, other: &str) {
    #[expect(clippy::disallowed_methods, reason = "the original's own clock")]
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

/// Group → uuids of its messages, in their order.
async fn messages(cruddur: &Cruddur) -> HashMap<String, Vec<String>> {
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check_adopted();
    let uuid = |message: &_| checker::text(message, "message_uuid").to_owned();
    let groups = found.messages.iter();
    groups
        .map(|(group, messages)| (group.clone(), messages.iter().map(uuid).collect()))
        .collect()
}

/// Sends a message in each group until everybody who follows has heard of one.
async fn wake(cruddur: &Cruddur, awake: &AtomicUsize, everybody: usize) {
    let began = Instant::now();
    for round in 0.. {
        for number in 0..USERS {
            let body = format!("are you there? {round}");
            cruddur
                .send(&handle(number), &handle(number + 1), &body)
                .await;
        }
        if awake.load(Ordering::Relaxed) == everybody {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(
            began.elapsed() < PATIENCE,
            "{awake:?} of {everybody} hear something"
        );
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
    plant_original(&cruddur, &handle(0), &handle(1)).await;
    let redis_url = [("REDIS_URL", redis.url.clone())];
    let mut publisher = Server::start_with(&cruddur, redis_url.to_vec()).await;

    // The groups are there before anybody follows one of them.
    let (awake, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    wake(&cruddur, &awake, 0).await;
    let mut following = Vec::new();
    for number in 0..SUBSCRIBERS {
        let (user, other) = (handle(number), handle(number + 1));
        let group = match number / USERS % 3 {
            0 => Some(cruddur.group_uuid(&user, &other).await),
            _ => None,
        };
        let subscriber = Subscriber {
            token: cruddur.token(&user),
            handle: user,
            group,
            urls: [cruddur.url.clone(), behind.clone()],
            seen: BTreeMap::new(),
            after: None,
            cuts: 0,
        };
        let (awake, stop) = (Arc::clone(&awake), Arc::clone(&stop));
        following.push(tokio::spawn(async move {
            subscriber.follow(&awake, &stop).await
        }));
    }
    wake(&cruddur, &awake, SUBSCRIBERS).await;
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
            // What it commits from now on it does not live to publish.
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
    // What no hint tells is found within half a minute and a little.
    tokio::time::sleep(Duration::from_secs(40)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut wrong, mut events, mut cuts) = (Wrong::default(), 0, 0);
    for subscriber in join_all(following).await {
        let subscriber = subscriber.expect("no panic");
        let own = subscriber.wrong(&there, &before);
        if own != Wrong::default() {
            println!("{} of {:?}: {own:?}", subscriber.handle, subscriber.group);
        }
        wrong.add(&own);
        events += subscriber.seen.values().map(Vec::len).sum::<usize>();
        cuts += subscriber.cuts;
    }
    println!(
        "{SUBSCRIBERS} subscribers, {} messages of which {} under load, {events} events, {cuts} connections: {wrong:?}",
        there.values().map(Vec::len).sum::<usize>(),
        sent.len(),
    );
    assert_eq!(wrong, Wrong::default());
}
