//! Simulation of the write path over a model of DynamoDB: random interleavings
//! of writers on several instances. Calls are lost before or after execution,
//! executed seconds late, rejected or throttled, or get no response, and
//! processes crash. After each run, the whole table is checked.
//!
//! Each run has its own seed. The first seed is 0 or `CRUDDUR_TEST_SEED`;
//! `CRUDDUR_TEST_CASES` sets the number of runs.

mod table;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::writer::{Draft, GroupSnapshot, IdempotentInput, Mark, WriteResult};
use super::{Bus, Directory, Messaging, MessagingError, WriteOutcome};
use crate::clock::Clock;
use crate::model::{MessageBody, MessageGroupId, MessageId, User, UserId};
use crate::random;
use crate::store::simulated::{Faults, Simulated, Wire};
use crate::store::{IdempotencyKey, MessageStore, UserStore};
use table::Checked;

/// Default number of runs. `.ci/run` also performs 300 runs with other seeds.
const RUNS: u32 = 60;
/// Deadlines of requests. The service allows ten seconds; some requests here
/// have less, so that deadlines pass more often.
const DEADLINES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
];
/// Time at the end of a run for late calls and for writers that resolve unknown
/// outcomes, which take at most 40 seconds.
const QUIET: Duration = Duration::from_secs(90);

/// A process of the service.
struct Instance {
    messaging: Arc<Messaging>,
    wire: Wire,
    crashed: Notify,
}

/// A message that a user sends, with the result that the sender knows.
#[derive(Clone, Debug)]
pub(super) struct SimulatedMessage {
    pub group: MessageGroupId,
    pub body: String,
    pub began: Instant,
    /// Whether the message has an idempotency key and is sent again until it is
    /// acknowledged.
    pub keyed: bool,
    pub result: SendResult,
}

/// A mark as read: a participant has read the messages up to a `seq`.
#[derive(Clone, Debug)]
pub(super) struct SimulatedMark {
    pub group: MessageGroupId,
    pub reader: UserId,
    pub seq: u64,
    pub acknowledged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendResult {
    /// The message is in the table, under this UUID. The time is that of the
    /// acknowledgement.
    Acknowledged(MessageId, Instant),
    /// The message is not in the table and will never be.
    NotApplied,
    Unknown,
}

struct Simulation {
    dynamo: Arc<Simulated>,
    instances: Vec<tokio::sync::RwLock<Arc<Instance>>>,
    users: Vec<User>,
    start: DateTime<Utc>,
    began: Instant,
    crashes: AtomicUsize,
    /// Messages in the table, by group and `seq`.
    written: Mutex<Vec<(MessageGroupId, u64)>>,
    marks: Mutex<Vec<SimulatedMark>>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let dynamo = Simulated::new(seed);
        let start = "2026-11-22T06:29:00Z".parse().expect("a time");
        let began = Instant::now();
        let instances = 1 + dynamo.random_below(3);
        let instances = (0..instances).map(|_| {
            let instance = Instance::start(&dynamo, start, began);
            tokio::sync::RwLock::new(Arc::new(instance))
        });
        Self {
            instances: instances.collect(),
            users: (1..=4).map(User::example).collect(),
            start,
            began,
            crashes: AtomicUsize::new(0),
            written: Mutex::default(),
            marks: Mutex::default(),
            dynamo,
        }
    }

    /// Returns a random process.
    async fn instance(&self) -> Arc<Instance> {
        Arc::clone(&*self.dynamo.pick(&self.instances).read().await)
    }

    /// Sends some messages, one after another.
    async fn write(&self, writer: u64, count: u64) -> Vec<SimulatedMessage> {
        let mut sent = Vec::new();
        for number in 0..count {
            let sender = self.dynamo.pick(&self.users);
            let others = self.users.iter().filter(|user| user.id != sender.id);
            let others: Vec<&User> = others.collect();
            // Most messages go to the same receiver, so that messages can share
            // transactions.
            let picked = [(); 2].map(|()| self.dynamo.random_index(others.len()));
            let receiver = others[picked[0].min(picked[1])];
            sleep(Duration::from_micros(self.dynamo.random_below(300_000))).await;
            let body = format!("message {number} of writer {writer}");
            sent.push(self.send(sender, receiver, body).await);
            if self.dynamo.random_below(3) == 0 {
                self.read(sender.id).await;
            }
        }
        sent
    }

    /// Marks a random message of any sender as read. It is chosen from the
    /// reader's own groups; without one, nothing happens.
    async fn read(&self, reader: UserId) {
        let written = self.written.lock().expect("no panic").clone();
        let groups = self.users.iter();
        let groups = groups.map(|other| MessageGroupId::of_pair(reader, other.id));
        let groups: Vec<_> = groups.collect();
        let own = written.into_iter();
        let own: Vec<_> = own.filter(|(group, _)| groups.contains(group)).collect();
        if own.is_empty() {
            return;
        }
        let (group, seq) = *self.dynamo.pick(&own);
        let instance = self.instance().await;
        let deadline = Instant::now() + *self.dynamo.pick(&DEADLINES);
        let mark = Mark {
            reader,
            seq,
            head: None,
            deadline,
        };
        let mark = instance.messaging.writer.registry.mark(group, mark);
        let acknowledged = tokio::select! {
            marked = mark => marked.is_ok(),
            () = instance.crashed.notified() => false,
        };
        self.marks.lock().expect("no panic").push(SimulatedMark {
            group,
            reader,
            seq,
            acknowledged,
        });
    }

    /// Sends a message as a client would: with an idempotency key until it is
    /// acknowledged, without one only once.
    async fn send(&self, sender: &User, receiver: &User, body: String) -> SimulatedMessage {
        let keyed = self.dynamo.random_below(10) < 7;
        let mut sending = SimulatedMessage {
            group: MessageGroupId::of_pair(sender.id, receiver.id),
            began: Instant::now(),
            keyed,
            result: SendResult::Unknown,
            body,
        };
        loop {
            sending.result = self.send_once(sender, receiver, &sending).await;
            if !keyed || matches!(sending.result, SendResult::Acknowledged(..)) {
                return sending;
            }
            sleep(Duration::from_micros(self.dynamo.random_below(500_000))).await;
        }
    }

    async fn send_once(
        &self,
        sender: &User,
        receiver: &User,
        sending: &SimulatedMessage,
    ) -> SendResult {
        let draft = Draft {
            id: MessageId(
                uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid(),
            ),
            body: MessageBody::parse(sending.body.clone()).expect("a body"),
            sender: sender.clone(),
            receiver: receiver.clone(),
            at: None,
            idempotency: sending.keyed.then(|| IdempotentInput {
                key: IdempotencyKey {
                    sender: sender.id,
                    idempotency_key: sending.body.clone(),
                },
                input_digest: sending.body.clone(),
            }),
        };
        let instance = self.instance().await;
        let deadline = Instant::now() + *self.dynamo.pick(&DEADLINES);
        let id = draft.id;
        let written = instance.messaging.writer.write(
            sending.group,
            draft,
            GroupSnapshot::default(),
            deadline,
        );
        // Some clients disconnect before they receive a response.
        let patience = match self.dynamo.random_below(10) {
            0 => Duration::from_micros(self.dynamo.random_below(200_000)),
            _ => QUIET,
        };
        tokio::select! {
            written = timeout(patience, written) => match written {
                Ok(Ok(WriteResult::Created(created))) => {
                    // With an idempotency key, an earlier request may have
                    // written the message.
                    assert!(sending.keyed || created.message.id == id);
                    let written = (sending.group, created.message.seq);
                    self.written.lock().expect("no panic").push(written);
                    SendResult::Acknowledged(created.message.id, Instant::now())
                }
                Ok(Ok(WriteResult::Repeated(record))) => SendResult::Acknowledged(record.message_id, Instant::now()),
                Ok(
                    Ok(WriteResult::Redirected(..))
                    | Err(MessagingError::Unavailable {
                        outcome: Some(WriteOutcome::NotApplied),
                        ..
                    }),
                ) => SendResult::NotApplied,
                Ok(Err(MessagingError::Unavailable { .. })) | Err(_) => SendResult::Unknown,
                Ok(Err(error)) => panic!("{error}"),
            },
            () = instance.crashed.notified() => SendResult::Unknown,
        }
    }

    /// Prepares the table. In some runs two users have messages from the
    /// original, without a head; in half of the other runs the table has the
    /// heads marker.
    fn prepare_table(&self) {
        match self.dynamo.random_below(8) {
            0 | 1 => table::insert_originals(&self.dynamo, &self.users, self.start),
            2..=4 => table::insert_marker(&self.dynamo),
            _ => {}
        }
    }

    /// Crashes random processes and starts new ones in their place.
    async fn crash_processes(&self) {
        loop {
            sleep(Duration::from_millis(500 + self.dynamo.random_below(8000))).await;
            let mut instance = self.dynamo.pick(&self.instances).write().await;
            instance.wire.cut();
            instance.crashed.notify_waiters();
            *instance = Arc::new(Instance::start(&self.dynamo, self.start, self.began));
            self.crashes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Instance {
    /// Starts a process with a clock skew of up to two seconds.
    fn start(dynamo: &Arc<Simulated>, start: DateTime<Utc>, began: Instant) -> Self {
        let skew = i64::try_from(dynamo.random_below(4000)).unwrap_or_default() - 2000;
        let clock = Clock::new(move || {
            let passed = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
            start + TimeDelta::microseconds(passed) + TimeDelta::milliseconds(skew)
        });
        let wire = dynamo.wire();
        let messages = MessageStore::new(wire.client(), "cruddur-messages".to_owned());
        let directory = Directory::new(UserStore::failing(), Duration::ZERO);
        Self {
            messaging: Messaging::new(messages, directory, clock, Bus::local()),
            wire,
            crashed: Notify::new(),
        }
    }
}

/// Performs one run, and checks the table after it.
async fn run(seed: u64, total: &mut Checked) {
    fastrand::seed(seed);
    let simulation = Simulation::new(seed);
    simulation.prepare_table();
    let dynamo = &simulation.dynamo;
    dynamo.set_faults(Faults::some(dynamo));
    let writers = 2 + dynamo.random_below(14);
    let count = 2 + dynamo.random_below(6);
    let writing = join_all((0..writers).map(|writer| simulation.write(writer, count)));
    let sent = tokio::select! {
        sent = writing => sent.concat(),
        () = simulation.crash_processes(), if seed.is_multiple_of(2) => unreachable!("it never ends"),
    };
    dynamo.set_faults(Faults::default());
    sleep(QUIET).await;
    let marks = simulation.marks.lock().expect("no panic").clone();
    let end =
        simulation.start + TimeDelta::from_std(simulation.began.elapsed()).expect("a short run");
    total.check(&dynamo.items(), &sent, &marks, [simulation.start, end]);
    total.crashes += simulation.crashes.load(Ordering::Relaxed);
}

#[test]
fn random_faults_neither_lose_nor_duplicate_nor_reorder_messages() {
    let first = random::seed().unwrap_or(0);
    let runs = random::cases().unwrap_or(RUNS);
    let seeds = first..first.saturating_add(runs.into());
    let mut total = Checked::default();
    for seed in seeds.clone() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(seed, &mut total));
        assert!(
            total.faults.is_empty(),
            "run {seed}; CRUDDUR_TEST_SEED={seed} CRUDDUR_TEST_CASES=1 repeats it: {:#?}",
            total.faults
        );
    }
    println!("runs {seeds:?}: {total:?}");
}
