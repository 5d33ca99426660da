//! A pooler in transaction mode between the server and Postgres.

use cruddur::store::{PoolSettings, Pooling, UserStore, connect_database};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

use crate::commands::run;
use crate::harness::{Database, PgBouncer, Setup, TIMEOUT, cruddur, start_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_in_transaction_mode_serves_many_connections_by_two() {
    let direct = Database::create().await;
    let Some(pooler) = PgBouncer::start(&direct.url).await else {
        return;
    };
    let database = Database::at(pooler.url.clone()).await;
    let setup = Setup {
        users_fresh_for: Duration::ZERO,
        ..Setup::default()
    };
    let cruddur = start_on(database, setup).await;
    cruddur.users(["luu", "unamused", "tove"]).await;
    cruddur.send("luu", "unamused", "by a pooler").await;
    // Other instances, which use the same two connections of the pooler.
    let others = join_all((0..3).map(async |_| {
        // A hundred queries share two connections on a busy machine.
        let patient = PoolSettings {
            acquire_timeout: TIMEOUT,
            ..PoolSettings::default()
        };
        let connected = connect_database(&pooler.url, patient).await;
        UserStore::new(connected.expect("a database"))
    }));

    let clients = others.await.into_iter().flat_map(|users| vec![users; 4]);
    let instances = join_all(clients.map(async |users| {
        for _ in 0..25 {
            let found = users.users_by_handle(&["luu".to_owned()]).await;
            assert_eq!(found.expect("users")[0].handle, "luu");
            let found = users.find_cognito_id("tove").await.expect("an id");
            assert_eq!(found.as_deref(), Some("sub-tove"));
            users.ping().await.expect("a response");
        }
    }));
    let document = "{ viewer { handle } user(handle: \"tove\") { displayName }
        messageGroups { edges { node { otherUser { handle } } } } }";
    let requests = join_all((0..8).map(async |_| {
        for _ in 0..10 {
            let data = cruddur.data("luu", document, json!({})).await;
            assert_eq!(data["viewer"]["handle"], "luu");
            assert_eq!(data["user"]["displayName"], "tove the user");
        }
    }));
    tokio::join!(instances, requests);
}

#[tokio::test]
async fn pooler_in_transaction_mode_is_distinguished_from_a_server() {
    let direct = Database::create().await;
    let pooling = async |url: &str, given| {
        let settings = PoolSettings {
            pooling: given,
            ..PoolSettings::default()
        };
        let connected = connect_database(url, settings).await;
        connected.expect("a database").pooling()
    };
    assert_eq!(pooling(&direct.url, None).await, Pooling::Session);
    let Some(pooler) = PgBouncer::start(&direct.url).await else {
        return;
    };
    assert_eq!(pooling(&pooler.url, None).await, Pooling::Transaction);
    let session = Some(Pooling::Session);
    assert_eq!(pooling(&pooler.url, session).await, Pooling::Session);
    for (mode, size, expected) in [
        ("session", 10, Pooling::Session),
        ("transaction", 1, Pooling::Transaction),
        // There is no second connection for the comparison.
        ("session", 1, Pooling::Transaction),
    ] {
        let other = PgBouncer::start_in(&direct.url, mode, size).await;
        let other = other.expect("a PgBouncer");
        // With one connection, the comparison waits for a second one until the timeout.
        let acquire_timeout = if size == 1 {
            Duration::from_secs(2)
        } else {
            TIMEOUT
        };
        let settings = PoolSettings {
            max_connections: 1,
            acquire_timeout,
            ..PoolSettings::default()
        };
        let database = connect_database(&other.url, settings).await;
        let database = database.expect("a database");
        assert_eq!(database.pooling(), expected, "{mode} {size}");
        let users = UserStore::new(database);
        users.ping().await.expect("a response");
    }
    let without_statements = format!("{}&statement-cache-capacity=0", pooler.url);
    let transaction = Pooling::Transaction;
    assert_eq!(pooling(&without_statements, None).await, transaction);
}

#[tokio::test]
async fn migrate_works_behind_a_pooler_also_after_a_failure() {
    let direct = Database::create().await;
    let Some(pooler) = PgBouncer::start(&direct.url).await else {
        return;
    };
    let connection = sqlx::PgPool::connect(&direct.url)
        .await
        .expect("a connection");
    let execute = async |sql: &'static str| {
        let executed = sqlx::raw_sql(sql).execute(&connection).await;
        executed.expect("executed");
    };
    execute("CREATE TABLE public.users (uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(), display_name text, \
             handle text, email text, cognito_user_id text, created_at timestamp DEFAULT now());
             INSERT INTO public.users (handle) VALUES ('luu'), ('luu')").await;
    let migrate = async || {
        let mut command = cruddur(&["migrate"]);
        run(command.env("DATABASE_URL", &pooler.url)).await
    };
    for _ in 0..2 {
        let (code, _, stderr) = migrate().await;
        assert_eq!(code, 1);
        assert!(
            stderr.contains("more than one user has the handle luu"),
            "{stderr}"
        );
    }
    execute("DELETE FROM public.users").await;
    let (code, out, stderr) = migrate().await;
    assert_eq!(code, 0, "{stderr}");
    assert!(out.contains("applied 0001 users\n"), "{out}");
    for _ in 0..3 {
        let (code, out, _) = migrate().await;
        assert_eq!((code, &*out), (0, "the database schema is up to date\n"));
    }
}
