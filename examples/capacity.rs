//! A model of the load of 1,000 to 100,000,000 users on the instances and on each store.
//!
//! It simulates one minute of the busiest hour: exchanges begin at random times, each of them
//! sends messages between two users, and each message writes the items that `ARCHITECTURE.md` lists.
//! The items' keys are spread over partitions of DynamoDB, and the users' requests over instances.
//! The result is in `docs/scaling.md`; a test compares the two.
//!
//! `cargo run --example capacity`

use std::collections::HashMap;
use std::fmt::Write as _;

const SEED: u64 = 18;
/// The simulated time in seconds.
const SECONDS: u32 = 60;
/// The greatest number of simulated messages. Above it, a part of the minute is simulated.
const MESSAGES: f64 = 500_000.0;

/// The behaviour of users. These are assumptions: replace them by the figures of your own app.
mod behaviour {
    /// Share of the users who use the app on a day.
    pub const ACTIVE: f64 = 0.2;
    /// Share of the users who have a WebSocket open in the busiest hour.
    pub const CONNECTED: f64 = 0.05;
    /// Messages that an active user sends in a day.
    pub const MESSAGES: f64 = 20.0;
    /// Queries of an active user in a day: lists of groups and pages of messages.
    pub const QUERIES: f64 = 60.0;
    /// Groups that an active user marks as read in a day.
    pub const MARKS: f64 = 20.0;
    /// The rate in the busiest hour as a multiple of the day's average.
    pub const BUSIEST: f64 = 3.0;
    /// Mean number of messages of an exchange between two users, and mean seconds between two of them.
    pub const EXCHANGE: f64 = 8.0;
    pub const PAUSE: f64 = 4.0;
    /// The exponent of Zipf's law, by which receivers are chosen.
    pub const POPULARITY: f64 = 0.8;
    /// Bytes that a message adds to the table, with its idempotency record of 24 hours.
    pub const STORED: f64 = 600.0;
}

/// The cost of a request: units from `ARCHITECTURE.md`, CPU time from `docs/scaling.md`.
mod cost {
    /// Milliseconds of CPU time of a query (mean of W1 and W2) and of a write (W3).
    pub const QUERY_MS: f64 = 0.32;
    pub const WRITE_MS: f64 = 0.34;
    /// Milliseconds of CPU time to send an event to a subscriber: an assumption.
    pub const EVENT_MS: f64 = 0.05;
    /// Share of an instance's CPU time that is used before another instance is added.
    pub const TARGET: f64 = 0.5;
    /// Write units on the partition of each key: the message, the head, the row of one participant
    /// (deleted and put), the idempotency record. The index has partitions of its own.
    pub const MESSAGE: f64 = 2.0;
    pub const HEAD: f64 = 2.0;
    pub const ROW: f64 = 4.0;
    pub const KEY: f64 = 2.0;
    pub const INDEX: f64 = 4.0;
    /// Write units of a mark as read: head, row and index.
    pub const MARK: f64 = 5.0;
    /// Read units of a query, and of the two reads of a subscribed user's rows every 30 s.
    pub const QUERY_UNITS: f64 = 3.0;
    pub const REREAD_UNITS: f64 = 2.0 / 30.0;
}

/// The limits of the stores, and the defaults of `serve` and of deploy/cloudformation.yaml.
mod limit {
    pub const PARTITION_WRITE: f64 = 1000.0;
    /// Write and read units of an on-demand table before its quota is raised.
    pub const TABLE: f64 = 40_000.0;
    /// Write units that a new on-demand table takes at once.
    pub const NEW_TABLE: f64 = 4_000.0;
    /// `--max-connections`.
    pub const SOCKETS: f64 = 10_000.0;
    /// Half a vCPU and at most ten tasks.
    pub const TASK_CPU: f64 = 0.5;
    pub const TASKS: f64 = 10.0;
    /// `--database-connections`, and the connections of a database of 2 GiB (memory / 9,531,392).
    pub const DATABASE_CONNECTIONS: f64 = 10.0;
    pub const DATABASE: f64 = 225.0;
    /// Messages that one Redis delivers in a second.
    pub const REDIS: f64 = 100_000.0;
    /// Messages a second of one user over all groups.
    pub const USER: f64 = 250.0;
}

/// The load in the busiest hour.
struct Load {
    users: f64,
    /// Messages per second on average, and in the busiest second.
    messages: f64,
    busiest: f64,
    requests: f64,
    sockets: f64,
    events: f64,
    write_units: f64,
    read_units: f64,
    partitions: f64,
    /// Write units of the hottest partition in its busiest second.
    hottest_partition: f64,
    /// Messages of the most popular user in the busiest second.
    hottest_user: f64,
    instances: f64,
    gigabytes: f64,
}

impl Load {
    fn simulate(users: f64) -> Self {
        let daily = users * behaviour::ACTIVE * behaviour::BUSIEST / 86_400.0;
        let rate = daily * behaviour::MESSAGES;
        let queries = daily * behaviour::QUERIES;
        let marks = daily * behaviour::MARKS;
        let sockets = users * behaviour::CONNECTED;
        // A message has two participants, each of whom may be connected.
        let events = rate * 2.0 * behaviour::CONNECTED / behaviour::ACTIVE;
        let per_message = cost::MESSAGE + cost::HEAD + 2.0 * cost::ROW + cost::KEY + cost::INDEX;
        let write_units = rate * per_message + marks * cost::MARK;
        let read_units = queries * cost::QUERY_UNITS + marks + sockets * cost::REREAD_UNITS;
        let cpu =
            (queries * cost::QUERY_MS + (rate + marks) * cost::WRITE_MS + events * cost::EVENT_MS)
                / 1000.0;
        let by_cpu = cpu / (limit::TASK_CPU * cost::TARGET);
        let instances = by_cpu.max(sockets / limit::SOCKETS).ceil().max(2.0);
        // The model assumes that DynamoDB splits partitions until each has half of its units in
        // reserve.
        let partitions = (write_units / limit::PARTITION_WRITE * 2.0).ceil().max(4.0);
        let traffic = Traffic::of(users, rate, partitions);
        Self {
            users,
            messages: rate,
            busiest: traffic.busiest,
            requests: queries + rate + marks,
            sockets,
            events,
            write_units,
            read_units,
            partitions,
            hottest_partition: traffic.hottest_partition,
            hottest_user: traffic.hottest_user,
            instances,
            gigabytes: users * behaviour::ACTIVE * behaviour::MESSAGES * 30.0 * behaviour::STORED
                / 1e9,
        }
    }

    /// The load on each resource of the default stack, as a share of its limit.
    fn shares(&self) -> [(&'static str, f64); 8] {
        let connections = self.instances * limit::DATABASE_CONNECTIONS;
        // Each message is published to both participants' channels.
        let redis = 2.0 * self.messages + self.events;
        let hottest = self.hottest_partition;
        [
            ("ten instances of 0.5 vCPU", self.instances / limit::TASKS),
            (
                "4,000 write units of a new table",
                self.write_units / limit::NEW_TABLE,
            ),
            (
                "40,000 write units of a table",
                self.write_units / limit::TABLE,
            ),
            (
                "40,000 read units of a table",
                self.read_units / limit::TABLE,
            ),
            (
                "1,000 write units of a partition",
                hottest / limit::PARTITION_WRITE,
            ),
            ("250 messages/s of a user", self.hottest_user / limit::USER),
            ("225 connections of Postgres", connections / limit::DATABASE),
            ("100,000 messages/s of a Redis", redis / limit::REDIS),
        ]
    }
}

/// The counts of the simulated messages.
struct Traffic {
    busiest: f64,
    hottest_partition: f64,
    hottest_user: f64,
}

impl Traffic {
    /// Simulates exchanges of messages at a rate, in messages a second.
    fn of(users: f64, rate: f64, partitions: f64) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let seconds = (MESSAGES / rate).min(f64::from(SECONDS)).max(1.0);
        let mut by_second: HashMap<u64, f64> = HashMap::new();
        let mut by_partition: HashMap<(u64, u64), f64> = HashMap::new();
        let mut by_user: HashMap<(u64, u64), f64> = HashMap::new();
        // Exchanges that began before the first second can continue in it.
        let before = behaviour::EXCHANGE * behaviour::PAUSE * 4.0;
        let mut start = -before;
        loop {
            start += exponential(&mut random) * behaviour::EXCHANGE / rate;
            if start > seconds {
                break;
            }
            let group = Group::between(users, &mut random);
            let mut at = start;
            loop {
                if at >= 0.0 && at < seconds {
                    let second = whole(at);
                    *by_second.entry(second).or_default() += 1.0;
                    for user in group.users {
                        *by_user.entry((second, user)).or_default() += 1.0;
                    }
                    for (key, units) in group.writes(&mut random) {
                        let partition = key % whole(partitions);
                        *by_partition.entry((second, partition)).or_default() += units;
                    }
                }
                // The number of messages has a geometric distribution.
                if random.f64() < 1.0 / behaviour::EXCHANGE {
                    break;
                }
                at += exponential(&mut random) * behaviour::PAUSE;
            }
        }
        Self {
            busiest: highest(by_second.into_values()),
            hottest_partition: highest(by_partition.into_values()),
            hottest_user: highest(by_user.into_values()),
        }
    }
}

/// A message group of two users.
struct Group {
    users: [u64; 2],
    key: u64,
}

impl Group {
    fn between(users: f64, random: &mut fastrand::Rng) -> Self {
        let sender = whole(random.f64() * users);
        // The inverse of Zipf's distribution function.
        let rank = random.f64().powf(1.0 / (1.0 - behaviour::POPULARITY));
        let receiver = whole(rank * users);
        Self {
            users: [sender, receiver],
            key: hash(sender.wrapping_mul(0x9e37_79b9) ^ receiver.rotate_left(32)),
        }
    }

    /// The keys that a message writes, and the write units of each of them.
    fn writes(&self, random: &mut fastrand::Rng) -> [(u64, f64); 5] {
        let [sender, receiver] = self.users;
        [
            (hash(self.key ^ 1), cost::MESSAGE),
            (hash(self.key ^ 2), cost::HEAD),
            (hash(sender), cost::ROW),
            (hash(receiver), cost::ROW),
            (random.u64(..), cost::KEY),
        ]
    }
}

fn exponential(random: &mut fastrand::Rng) -> f64 {
    -(1.0_f64 - random.f64()).ln()
}

/// The finalizer of `SplitMix64`, in place of DynamoDB's hash function.
fn hash(key: u64) -> u64 {
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are not negative and small"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

fn highest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, f64::max)
}

/// A number with three significant digits and its thousands separated.
fn shown(number: f64) -> String {
    if number < 10.0 {
        return format!("{number:.1}");
    }
    let digits = number.log10().floor();
    let step = 10_f64.powf((digits - 2.0).max(0.0));
    let text = format!("{:.0}", (number / step).round() * step);
    let mut shown = String::new();
    for (place, digit) in text.chars().enumerate() {
        if place > 0 && (text.len() - place) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A row of the first table: its name and its value.
type Row<'a> = (&'a str, &'a dyn Fn(&Load) -> f64);

/// The tables of `docs/scaling.md` in Markdown: the load, and its share of each limit.
pub fn report() -> String {
    let loads: Vec<Load> = (3..=8)
        .map(|power| Load::simulate(10_f64.powi(power)))
        .collect();
    let reread = |load: &Load| load.sockets * cost::REREAD_UNITS;
    let connections = |load: &Load| load.instances * limit::DATABASE_CONNECTIONS;
    let rows: [Row<'_>; 15] = [
        ("messages/s, mean", &|load| load.messages),
        ("messages/s, busiest second", &|load| load.busiest),
        ("requests/s", &|load| load.requests),
        ("WebSockets, Redis channels", &|load| load.sockets),
        ("events/s to subscribers", &|load| load.events),
        ("write units/s, table and index", &|load| load.write_units),
        ("read units/s", &|load| load.read_units),
        ("of these, repeated reads of rows", &reread),
        ("partitions of the table", &|load| load.partitions),
        ("hottest partition, write units/s", &|load| {
            load.hottest_partition
        }),
        ("hottest user, messages/s", &|load| load.hottest_user),
        ("instances of 0.5 vCPU", &|load| load.instances),
        ("Postgres connections", &connections),
        ("Redis messages/s, in and out", &|load| {
            2.0 * load.messages + load.events
        }),
        ("GB a month", &|load| load.gigabytes),
    ];
    let mut tables = heading("users", &loads);
    for (name, value) in rows {
        line(
            &mut tables,
            name,
            loads.iter().map(|load| shown(value(load))),
        );
    }
    tables.push('\n');
    tables += &heading("limit of the default stack", &loads);
    let shares: Vec<_> = loads.iter().map(Load::shares).collect();
    for (resource, (name, _)) in shares[0].iter().enumerate() {
        let percent =
            |shares: &[(&str, f64); 8]| format!("{} %", shown(shares[resource].1 * 100.0));
        line(&mut tables, name, shares.iter().map(percent));
    }
    tables
}

fn heading(name: &str, loads: &[Load]) -> String {
    let mut table = String::new();
    line(&mut table, name, loads.iter().map(|load| shown(load.users)));
    let _ = writeln!(table, "|---|{}", "---:|".repeat(loads.len()));
    table
}

fn line(table: &mut String, name: &str, values: impl Iterator<Item = String>) {
    let values: Vec<String> = values.collect();
    let _ = writeln!(table, "| {name} | {} |", values.join(" | "));
}

fn main() {
    print!("{}", report());
}
