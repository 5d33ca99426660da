//! Subscriptions: new messages and changed groups.

use chrono::{DateTime, Utc};
use cruddur::clock::Clock;
use cruddur::messaging::{Follow, LiveError};
use cruddur::model::MessageGroupId;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{
    CREATE, Cruddur, MARK, Redis, Setup, Socket, start, start_for_many_requests, start_with,
    wait_for,
};

const CREATED: &str = "subscription($group: UUID, $after: String) {
    messageCreated(messageGroupUuid: $group, after: $after) {
        cursor
        messageEdge { cursor node { body sender { handle } messageGroup { uuid } } }
        messageGroupEdge { cursor node { uuid unreadCount otherUser { handle } lastMessage { body } } }
    }
}";
const KEYS: &str = "subscription($after: String) {
    messageCreated(after: $after) { cursor idempotencyKey messageEdge { node { body } } }
}";
const UPDATED: &str = "subscription {
    messageGroupUpdated { version messageGroup { unreadCount lastMessage { body } } unreadMessageGroupCount }
}";

/// Returns a socket with an active subscription to a user's new messages.
async fn follow(cruddur: &Cruddur, handle: &str) -> Socket {
    let mut socket = Socket::connect(&cruddur.url, &cruddur.token(handle)).await;
    subscribe(cruddur, &mut socket, CREATED).await;
    socket
}

/// Subscribes to new messages, and waits until the subscription is active.
pub async fn subscribe(cruddur: &Cruddur, socket: &mut Socket, document: &str) {
    let subscribe = socket.subscribe("live", document, json!({}));
    cruddur.subscribed(subscribe).await;
}

/// Subscribes to the state of groups, and sends messages until the subscription
/// delivers one: it reads nothing when it starts, so only an event shows that it
/// is active.
async fn subscribe_to_groups(cruddur: &Cruddur, socket: &mut Socket) {
    socket.subscribe("live", UPDATED, json!({})).await;
    while socket.is_quiet().await {
        cruddur.send("luu", "unamused", "before").await;
    }
    // The response to the last ping follows the first events.
    while socket.message().await["type"] != "pong" {}
}

/// Waits for the state of a group after a message.
async fn state_after(socket: &mut Socket, body: &str) -> Value {
    loop {
        let mut message = socket.message().await;
        let state = message["payload"]["data"]["messageGroupUpdated"].take();
        if state["messageGroup"]["lastMessage"]["body"] == body {
            return state;
        }
    }
}

/// Waits for the next event of a subscription, and returns a field of it.
pub async fn event(socket: &mut Socket, field: &str) -> Value {
    let mut message = socket.message().await;
    assert_eq!(message["type"], "next", "{message}");
    assert_eq!(message["payload"].get("errors"), None, "{message}");
    message["payload"]["data"][field].take()
}

async fn arrival(socket: &mut Socket) -> Value {
    event(socket, "messageCreated").await
}

async fn bodies(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let arrival = arrival(socket).await;
        bodies.push(body(&arrival).to_owned());
    }
    bodies
}

fn body(arrival: &Value) -> &str {
    arrival["messageEdge"]["node"]["body"]
        .as_str()
        .expect("a body")
}

#[tokio::test]
async fn message_created_reaches_both_participants_and_no_one_else() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let mut luu = follow(&cruddur, "luu").await;
    let mut unamused = follow(&cruddur, "unamused").await;
    let mut mirabel = follow(&cruddur, "mirabel").await;

    let created = cruddur.send("luu", "unamused", "hello").await;

    for (socket, other, unread) in [(&mut luu, "unamused", 0), (&mut unamused, "luu", 1)] {
        let arrival = arrival(socket).await;
        assert_eq!(body(&arrival), "hello");
        assert_eq!(
            arrival["messageEdge"]["cursor"],
            created["messageEdge"]["cursor"]
        );
        let group = &arrival["messageGroupEdge"]["node"];
        assert_eq!(group["otherUser"]["handle"], other);
        assert_eq!(group["unreadCount"], unread);
        assert_eq!(group["lastMessage"]["body"], "hello");
    }
    assert!(mirabel.is_quiet().await);
}

#[tokio::test]
async fn message_created_of_one_group_requires_a_participant() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    cruddur.send("luu", "unamused", "before").await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let mut luu = Socket::connect(&cruddur.url, &cruddur.token("luu")).await;
    cruddur.dynamo.calls();
    let variables = json!({ "group": group });
    luu.subscribe("live", CREATED, variables).await;
    cruddur.dynamo.executed("GetItem strong").await;

    cruddur.send("mirabel", "luu", "elsewhere").await;
    cruddur.send("unamused", "luu", "here").await;
    assert_eq!(bodies(&mut luu, 1).await, ["here"]);
    assert!(luu.is_quiet().await);

    let nowhere = uuid::Uuid::new_v4().to_string();
    let mut rejections = Vec::new();
    for group in [&group, &nowhere] {
        let mut mirabel = Socket::connect(&cruddur.url, &cruddur.token("mirabel")).await;
        mirabel
            .subscribe("live", CREATED, json!({ "group": group }))
            .await;
        rejections.push(mirabel.message().await);
        assert_eq!(mirabel.message().await["type"], "complete");
    }
    assert_eq!(rejections[0], rejections[1], "not there and not yours");
    let error = &rejections[0]["payload"]["errors"][0];
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
}

#[tokio::test]
async fn resume_with_a_cursor_misses_no_message() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    cruddur.send("luu", "unamused", "old").await;
    let mut socket = follow(&cruddur, "unamused").await;
    cruddur.send("luu", "unamused", "first").await;
    let first = arrival(&mut socket).await;
    drop(socket);

    for number in 0..3 {
        cruddur
            .send("luu", "unamused", &format!("missed {number}"))
            .await;
    }
    cruddur.send("mirabel", "unamused", "a new group").await;

    let after = json!({ "after": first["cursor"] });
    let mut socket = Socket::connect(&cruddur.url, &cruddur.token("unamused")).await;
    socket.subscribe("live", CREATED, after).await;
    let mut received = bodies(&mut socket, 4).await;
    received.sort();
    assert_eq!(
        received,
        ["a new group", "missed 0", "missed 1", "missed 2"]
    );
    cruddur.send("luu", "unamused", "now").await;
    assert_eq!(bodies(&mut socket, 1).await, ["now"]);

    // In one group, the cursor of an edge can be used to resume.
    let group = cruddur.group_uuid("luu", "unamused").await;
    let after = json!({ "group": group, "after": first["messageEdge"]["cursor"] });
    let mut socket = Socket::connect(&cruddur.url, &cruddur.token("unamused")).await;
    socket.subscribe("live", CREATED, after).await;
    assert_eq!(
        bodies(&mut socket, 4).await,
        ["missed 0", "missed 1", "missed 2", "now"]
    );
}

#[tokio::test]
async fn resume_works_after_every_event_of_several_groups() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let mut socket = follow(&cruddur, "luu").await;
    for number in 0..3 {
        cruddur
            .send("unamused", "luu", &format!("unamused {number}"))
            .await;
        cruddur
            .send("mirabel", "luu", &format!("mirabel {number}"))
            .await;
    }
    let mut received = Vec::new();
    for _ in 0..6 {
        received.push(arrival(&mut socket).await);
    }

    for delivered in 0..6 {
        let mut again = Socket::connect(&cruddur.url, &cruddur.token("luu")).await;
        let after = json!({ "after": received[delivered]["cursor"] });
        again.subscribe("live", CREATED, after).await;
        let mut rest = bodies(&mut again, 5 - delivered).await;
        rest.sort();
        let mut expected: Vec<_> = received[delivered + 1..].iter().map(body).collect();
        expected.sort_unstable();
        assert_eq!(rest, expected, "after event {delivered}");
        assert!(again.is_quiet().await);
    }
}

#[tokio::test]
async fn subscription_cursor_is_valid_only_for_its_user_and_group() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused", "mirabel"]).await;
    let mut socket = follow(&cruddur, "luu").await;
    cruddur.send("luu", "unamused", "hello").await;
    let event = arrival(&mut socket).await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let other = cruddur.send("luu", "mirabel", "hello").await;

    for (handle, variables) in [
        ("unamused", json!({ "after": event["cursor"] })),
        ("luu", json!({ "after": event["messageEdge"]["cursor"] })),
        (
            "luu",
            json!({ "after": event["messageGroupEdge"]["cursor"] }),
        ),
        (
            "luu",
            json!({ "group": group, "after": other["messageEdge"]["cursor"] }),
        ),
        ("luu", json!({ "after": "nonsense" })),
    ] {
        let mut socket = Socket::connect(&cruddur.url, &cruddur.token(handle)).await;
        socket.subscribe("live", CREATED, variables.clone()).await;
        let rejected = socket.message().await;
        let errors = rejected["payload"]
            .get("errors")
            .unwrap_or(&rejected["payload"]);
        assert_eq!(
            errors[0]["extensions"]["code"], "BAD_USER_INPUT",
            "{variables} {rejected}"
        );
    }
}

#[tokio::test]
async fn message_group_updated_reaches_only_the_viewers_own_devices() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let mut luu = Socket::connect(&cruddur.url, &cruddur.token("luu")).await;
    let mut unamused = Socket::connect(&cruddur.url, &cruddur.token("unamused")).await;
    for socket in [&mut luu, &mut unamused] {
        subscribe_to_groups(&cruddur, socket).await;
    }
    let first = cruddur.send("luu", "unamused", "first").await;
    for socket in [&mut luu, &mut unamused] {
        state_after(socket, "first").await;
    }
    let group = &first["messageGroupEdge"]["node"]["uuid"];

    let input =
        json!({ "input": { "messageGroupUuid": group, "upTo": first["messageEdge"]["cursor"] } });
    cruddur.data("unamused", MARK, input).await;
    let read = event(&mut unamused, "messageGroupUpdated").await;
    assert_eq!(read["messageGroup"]["unreadCount"], 0);
    assert_eq!(read["unreadMessageGroupCount"], 0);
    assert!(
        luu.is_quiet().await,
        "whether it was read is not for the other"
    );

    cruddur.send("luu", "unamused", "second").await;
    let sent = event(&mut unamused, "messageGroupUpdated").await;
    assert_eq!(sent["messageGroup"]["unreadCount"], 1);
    assert_eq!(sent["unreadMessageGroupCount"], 1);
    assert_eq!(sent["messageGroup"]["lastMessage"]["body"], "second");
    assert!(sent["version"].as_u64() > read["version"].as_u64());
    let own = event(&mut luu, "messageGroupUpdated").await;
    assert_eq!(own["messageGroup"]["unreadCount"], 0);
}

#[tokio::test]
async fn message_with_a_lost_response_is_delivered_once() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let mut socket = follow(&cruddur, "unamused").await;

    cruddur.dynamo.lose(&[crate::harness::Loss::After]);
    cruddur
        .send("luu", "unamused", "lost on the way back")
        .await;

    assert_eq!(bodies(&mut socket, 1).await, ["lost on the way back"]);
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn concurrent_messages_are_delivered_once_and_in_order() {
    let cruddur = start_for_many_requests().await;
    cruddur.users(["luu", "unamused"]).await;
    let mut socket = follow(&cruddur, "unamused").await;

    let sends = (0..60).map(|number| {
        let (from, to) = if number % 2 == 0 {
            ("luu", "unamused")
        } else {
            ("unamused", "luu")
        };
        let input =
            json!({ "input": { "to": { "receiverHandle": to }, "body": format!("{number}") } });
        cruddur.data(from, CREATE, input)
    });
    futures_util::future::join_all(sends).await;

    let received = bodies(&mut socket, 60).await;
    let group = cruddur.group_uuid("luu", "unamused").await;
    let page = "query($group: UUID!) { messages(messageGroupUuid: $group, last: 100) { edges { node { body } } } }";
    let page = cruddur.data("luu", page, json!({ "group": group })).await;
    assert_eq!(received, crate::harness::bodies(&page["messages"]));
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn clock_that_is_behind_loses_no_event() {
    let late: DateTime<Utc> = "2026-11-22T06:29:00Z".parse().expect("a time");
    let cruddur = start_with(Setup {
        clock: Clock::new(move || late),
        ..Setup::default()
    })
    .await;
    cruddur.users(["luu", "unamused"]).await;
    let mut socket = follow(&cruddur, "unamused").await;
    let second = cruddur.second_server(Setup::default()).await;
    let send = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": "from another instance" } });
    cruddur.execute_at(&second, "luu", CREATE, send).await;

    // Without a bus between the servers, the next message reveals the one
    // before.
    cruddur.send("luu", "unamused", "from this one").await;

    assert_eq!(
        bodies(&mut socket, 2).await,
        ["from another instance", "from this one"]
    );
}

#[tokio::test]
async fn slow_subscriber_is_dropped_and_can_resume() {
    let cruddur = start().await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    let viewer = cruddur.viewer("unamused").await;
    let follow = async |after| {
        let follower = cruddur.messaging.live.follow(&viewer, Follow::All(after));
        Box::pin(follower.await.expect("it begins").arrivals())
    };
    let mut slow = follow(None).await;
    let mut quick = follow(None).await;

    // More than the capacity of a subscriber's queue.
    for number in 0..300 {
        cruddur.send("luu", "unamused", &format!("{number}")).await;
        let arrival = quick.next().await.expect("more").expect("a message");
        assert_eq!(arrival.message.body, format!("{number}"));
    }

    let mut received = 0;
    let mut after = None;
    let ended = loop {
        match slow.next().await.expect("an error") {
            Ok(arrival) => {
                assert_eq!(arrival.message.body, format!("{received}"));
                received += 1;
                after = arrival.positions;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, LiveError::Behind(_)), "{ended}");
    assert!((1..300).contains(&received), "{received}");
    assert!(slow.next().await.is_none());

    let mut again = follow(after).await;
    for number in received..300 {
        let arrival = again.next().await.expect("more").expect("a message");
        assert_eq!(arrival.message.body, format!("{number}"));
        let group = MessageGroupId::of_pair(luu.id, unamused.id);
        assert_eq!(arrival.message.group_id, group);
    }
}

#[tokio::test]
async fn subscription_field_can_be_composed_of_fragments() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let document = "subscription { messageCreated { messageEdge { node { body } } } ...Sender }
        fragment Sender on Subscription { messageCreated { messageEdge { node { sender { handle } } } } }";
    let mut socket = Socket::connect(&cruddur.url, &cruddur.token("unamused")).await;
    subscribe(&cruddur, &mut socket, document).await;

    cruddur.send("luu", "unamused", "in parts").await;

    let arrival = arrival(&mut socket).await;
    let node = json!({ "body": "in parts", "sender": { "handle": "luu" } });
    assert_eq!(arrival, json!({ "messageEdge": { "node": node } }));
}

#[tokio::test]
async fn message_committed_while_a_subscription_starts_is_delivered_once() {
    let cruddur = start().await;
    let [luu, unamused] = cruddur.users(["luu", "unamused"]).await;
    cruddur.send("luu", "unamused", "long before").await;
    let viewer = cruddur.viewer("unamused").await;
    let group = MessageGroupId::of_pair(luu.id, unamused.id);

    for (followed, read, number) in [
        (Follow::All(None), "Query", 1),
        (Follow::All(None), "Query", 2),
        (Follow::Group(group, None), "GetItem", 1),
    ] {
        let case = format!("{followed:?}, during read {number}");
        let mut held = cruddur.dynamo.hold_next(read);
        let send = async {
            for _ in 1..number {
                cruddur.dynamo.called("Query strong").await;
                held = cruddur.dynamo.hold_next(read);
            }
            cruddur.dynamo.called(&format!("{read} strong")).await;
            cruddur.send("luu", "unamused", "during").await;
            drop(held);
        };

        let (follower, ()) = tokio::join!(cruddur.messaging.live.follow(&viewer, followed), send);

        let mut arrivals = Box::pin(follower.expect("it starts").arrivals());
        cruddur.send("luu", "unamused", "after").await;
        for body in ["during", "after"] {
            let arrival = wait_for("an event", arrivals.next()).await;
            let arrival = arrival.expect("an event");
            assert_eq!(arrival.expect("a message").message.body, body, "{case}");
        }
    }
}

#[tokio::test]
async fn idempotency_key_of_an_event_is_returned_to_the_sender_only() {
    let cruddur = start().await;
    cruddur.users(["luu", "unamused"]).await;
    let mut sockets = Vec::new();
    for handle in ["luu", "unamused"] {
        let mut socket = Socket::connect(&cruddur.url, &cruddur.token(handle)).await;
        subscribe(&cruddur, &mut socket, KEYS).await;
        sockets.push(socket);
    }
    cruddur.send("luu", "unamused", "without a key").await;
    let to = json!({ "receiverHandle": "unamused" });
    let input = json!({ "to": to, "body": "with a key", "idempotencyKey": "a key" });
    cruddur.data("luu", CREATE, json!({ "input": input })).await;

    let mut cursors = Vec::new();
    for (socket, expected) in sockets.iter_mut().zip([json!("a key"), Value::Null]) {
        let first = arrival(socket).await;
        assert_eq!(first["idempotencyKey"], Value::Null);
        assert_eq!(arrival(socket).await["idempotencyKey"], expected);
        cursors.push(first["cursor"].clone());
    }
    // An event that is read from the table has it as well.
    for (handle, cursor, expected) in [
        ("luu", &cursors[0], json!("a key")),
        ("unamused", &cursors[1], Value::Null),
    ] {
        let mut socket = Socket::connect(&cruddur.url, &cruddur.token(handle)).await;
        let after = json!({ "after": cursor });
        socket.subscribe("live", KEYS, after).await;
        assert_eq!(arrival(&mut socket).await["idempotencyKey"], expected);
    }
}

#[tokio::test]
async fn redis_connects_instances_and_messages_of_its_outage_are_delivered_after_it() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let setup = || Setup {
        redis_url: Some(redis.url.clone()),
        ..Setup::default()
    };
    let cruddur = start_with(setup()).await;
    let second = cruddur.second_server(setup()).await;
    cruddur.users(["luu", "unamused"]).await;
    let send = async |body: &str| {
        let input = json!({ "input": { "to": { "receiverHandle": "unamused" }, "body": body } });
        let created = cruddur.execute_at(&second, "luu", CREATE, input).await;
        assert_eq!(created.get("errors"), None, "{created}");
    };
    let mut socket = follow(&cruddur, "unamused").await;

    send("by Redis").await;
    assert_eq!(bodies(&mut socket, 1).await, ["by Redis"]);

    redis.kill().await;
    // The request neither waits for Redis nor fails.
    send("while it is away").await;
    redis.restart().await;
    assert_eq!(bodies(&mut socket, 1).await, ["while it is away"]);
    send("by Redis again").await;
    assert_eq!(bodies(&mut socket, 1).await, ["by Redis again"]);
    assert!(socket.is_quiet().await);
}
