//! The users' database in production: rotated passwords, changed schemas,
//! servers that start late, older versions.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use cruddur::dev::{DataDir, Postgres};
use cruddur::store::{PoolSettings, Pooling, UserStore, connect_database};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::commands::run;
use crate::harness::{
    Cruddur, Database, PostgresProxy, Process, Serving, Setup, cruddur, free_port, start,
    start_with,
};

const VIEWER: &str = "{ viewer { handle } }";
const UNCACHED: [&str; 2] = ["--user-cache-seconds", "0"];

async fn execute(pool: &PgPool, sql: &str) {
    let executed = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool);
    executed.await.expect("executed");
}

/// Starts a `cruddur serve` that caches no users, with further settings.
async fn serve(stores: &Cruddur, settings: &[(&str, &str)]) -> Serving {
    Serving::start_with(stores, &UNCACHED, settings).await
}

fn code(response: &Value) -> &str {
    let code = &response["errors"][0]["extensions"]["code"];
    code.as_str().unwrap_or("none")
}

/// Starts a system with two users that caches no users, and a connection of an administrator.
async fn uncached() -> (Cruddur, PgPool) {
    let cruddur = start_with(Setup {
        users_fresh_for: Duration::ZERO,
        ..Setup::default()
    })
    .await;
    cruddur.users(["luu", "unamused"]).await;
    let admin = PgPool::connect(&cruddur.database.url)
        .await
        .expect("a connection");
    (cruddur, admin)
}

/// How a server gets the password of a role.
enum Gets {
    PasswordFile,
    PassfileInUrl,
    PgPassfile,
}

fn write_password(gets: &Gets, file: &Path, role: &str, password: &str) {
    let text = match gets {
        Gets::PasswordFile => format!("{password}\n"),
        _ => format!("# rotated\n*:*:*:other:wrong\n127.0.0.1:*:*:{role}:{password}\n"),
    };
    // Like programs that rotate passwords: replaces the file by a new one.
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(new, file).expect("a file in place");
}

#[tokio::test]
async fn rotated_password_is_unavailable_until_its_file_has_the_new_one() {
    let stores = start().await;
    stores.users(["luu", "unamused"]).await;
    let admin = PgPool::connect(&stores.database.url)
        .await
        .expect("a connection");
    let folder = tempfile::tempdir().expect("a directory");
    for gets in [Gets::PasswordFile, Gets::PassfileInUrl, Gets::PgPassfile] {
        let role = format!("app_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'old' IN ROLE pg_read_all_data");
        execute(&admin, &create).await;
        let file = folder.path().join(&role);
        let path = file.display().to_string();
        write_password(&gets, &file, &role, "old");
        let mut url = reqwest::Url::parse(&stores.database.url).expect("an address");
        url.set_username(&role).expect("a user");
        url.set_password(None).expect("no password");
        let mut settings = Vec::new();
        match gets {
            Gets::PasswordFile => settings.push(("CRUDDUR_DATABASE_PASSWORD_FILE", &*path)),
            Gets::PgPassfile => settings.push(("PGPASSFILE", &*path)),
            Gets::PassfileInUrl => {
                url.query_pairs_mut().append_pair("passfile", &path);
            }
        }
        settings.push(("DATABASE_URL", url.as_str()));
        let serving = serve(&stores, &settings).await;
        let viewer = async |handle| {
            stores
                .execute_at(&serving.url, handle, VIEWER, json!({}))
                .await
        };
        assert_eq!(viewer("luu").await["data"]["viewer"]["handle"], "luu");

        let rotate = format!(
            "ALTER ROLE {role} PASSWORD 'new';
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        );
        execute(&admin, &rotate).await;
        assert_eq!(viewer("luu").await["data"]["viewer"]["handle"], "luu");
        assert_eq!(code(&viewer("unamused").await), "UNAVAILABLE");

        write_password(&gets, &file, &role, "new");
        let found = viewer("unamused").await;
        assert_eq!(found["data"]["viewer"]["handle"], "unamused", "{found}");
        let line = serving.line_with("password authentication failed").await;
        assert!(!line.contains("at line"), "{line}");
        serving.line_with("the database password has changed").await;
        serving.stop().await;
        execute(&admin, &format!("DROP ROLE {role}")).await;
    }
}

#[tokio::test]
async fn password_file_that_is_invalid_is_named_at_startup() {
    let folder = tempfile::tempdir().expect("a directory");
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").expect("a file");
    for (file, why) in [
        (folder.path().join("missing"), "cannot be read"),
        (empty, "is empty"),
    ] {
        let mut migrate = cruddur(&["migrate", "--database-password-file"]);
        let (code, _, stderr) = run(migrate.arg(&file)).await;
        let expected = format!("cruddur: the password file {} {why}", file.display());
        assert_eq!(code, 1);
        assert!(stderr.starts_with(&expected), "{stderr}");
    }
}

#[tokio::test]
async fn revoked_privileges_cause_unavailable_until_they_are_granted_again() {
    let (cruddur, admin) = uncached().await;
    assert_eq!(
        cruddur.data("luu", VIEWER, json!({})).await["viewer"]["handle"],
        "luu"
    );
    // Only the owner and superusers can read the table, and this role is
    // neither.
    let role = format!("app_{}", uuid::Uuid::new_v4().simple());
    let create = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'password'; GRANT SELECT ON public.users, _sqlx_migrations TO {role}"
    );
    execute(&admin, &create).await;
    let url = cruddur
        .database
        .url
        .replace("postgres:password@", &format!("{role}:password@"));
    let serving = serve(&cruddur, &[("DATABASE_URL", &*url)]).await;
    let viewer = async |handle| {
        cruddur
            .execute_at(&serving.url, handle, VIEWER, json!({}))
            .await
    };
    assert_eq!(viewer("luu").await["data"]["viewer"]["handle"], "luu");

    execute(&admin, &format!("REVOKE ALL ON public.users FROM {role}")).await;
    assert_eq!(viewer("luu").await["data"]["viewer"]["handle"], "luu");
    assert_eq!(code(&viewer("unamused").await), "UNAVAILABLE");
    execute(&admin, &format!("GRANT SELECT ON public.users TO {role}")).await;
    assert_eq!(
        viewer("unamused").await["data"]["viewer"]["handle"],
        "unamused"
    );

    serving.stop().await;
    execute(&admin, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_column_type_prepares_the_statement_again_without_an_error() {
    let (cruddur, admin) = uncached().await;
    let document = "{ viewer { handle displayName } user(handle: \"unamused\") { displayName } }";
    let all = async || {
        let requests = (0..24).map(|_| cruddur.execute("luu", document, json!({})));
        for response in join_all(requests).await {
            assert_eq!(response["errors"], Value::Null);
            assert_eq!(response["data"]["user"]["displayName"], "unamused the user");
        }
    };
    all().await;
    for kind in ["varchar(200)", "text"] {
        let alter = format!(
            "ALTER TABLE public.users ALTER display_name TYPE {kind}, ALTER handle TYPE {kind}"
        );
        execute(&admin, &alter).await;
        all().await;
    }
}

#[tokio::test]
async fn prepared_statement_that_is_missing_is_prepared_again_without_an_error() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let admin = PgPool::connect(&cruddur.database.url)
        .await
        .expect("a connection");
    // A query of users deallocates all statements, like a pooler's DISCARD.
    execute(
        &admin,
        "CREATE FUNCTION public.forget() RETURNS int LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END $$;
         ALTER TABLE public.users RENAME TO people;
         CREATE VIEW public.users AS SELECT people.* FROM public.people, public.forget()",
    )
    .await;
    for given in [None, Some(Pooling::Session)] {
        let settings = PoolSettings {
            max_connections: 1,
            pooling: given,
            ..PoolSettings::default()
        };
        let database = connect_database(&cruddur.database.url, settings).await;
        let database = database.expect("a database");
        let users = UserStore::new(database.clone());
        for _ in 0..3 {
            users.ping().await.expect("a response");
            let found = users.users_by_handle(&["luu".to_owned()]).await;
            assert_eq!(found.expect("users").len(), 1);
        }
        // The server concludes that there is a pooler, unless an operator has
        // set the mode.
        let expected = given.unwrap_or(Pooling::Transaction);
        assert_eq!(database.pooling(), expected);
    }
}

#[tokio::test]
async fn migrate_waits_for_a_database_that_starts_late_and_logs_it() {
    let port = free_port();
    let url = format!("postgres://postgres:password@127.0.0.1:{port}/postgres?sslmode=disable");
    let mut migrate = Process::spawn(cruddur(&["migrate"]).env("DATABASE_URL", &url));
    let waiting = migrate.line_with("waiting for the database").await;
    assert!(waiting.contains(&format!("127.0.0.1:{port}")), "{waiting}");

    let data = DataDir::temporary().expect("a directory");
    let start = tokio::task::spawn_blocking(move || (Postgres::start(&data, port), data));
    let (postgres, _data) = start.await.expect("a thread");
    let _postgres = postgres.expect("a PostgreSQL");

    assert_eq!(migrate.line_with("applied").await, "applied 0001 users");
    assert!(migrate.ended().await.success());
}

/// Responds to the first connections like a server that is starting up, and
/// forwards later ones.
fn starting_server(target: &str, mut rejections: usize) -> String {
    let mut url = reqwest::Url::parse(target).expect("an address");
    let server = ("127.0.0.1", url.port().expect("a port"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    url.set_port(Some(port)).expect("a port");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            if rejections == 0 {
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(server).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
                continue;
            }
            rejections -= 1;
            let mut startup = [0; 1024];
            let read = client.read(&mut startup).await;
            let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0Fpostmaster.c\0L2360\0\0";
            let length = u32::try_from(fields.len() + 4).expect("a length");
            let message = [b"E".as_slice(), &length.to_be_bytes(), fields].concat();
            if read.is_ok() {
                // The client may have disconnected.
                let _ = client.write_all(&message).await;
            }
        }
    });
    url.into()
}

#[tokio::test]
async fn serve_waits_for_a_database_that_is_starting_up_and_logs_why() {
    let stores = start().await;
    stores.users(["luu"]).await;
    let url = starting_server(&stores.database.url, 3);
    let process = Serving::spawn(&stores, &UNCACHED, &[("DATABASE_URL", &url)]);

    let waiting = process.line_with("waiting for the database").await;
    assert!(
        waiting.contains("the database system is starting up (SQLSTATE 57P03)"),
        "{waiting}"
    );
    assert!(!waiting.contains("2360"), "{waiting}");
    let serving = Serving::ready(process).await;
    let found = stores
        .execute_at(&serving.url, "luu", VIEWER, json!({}))
        .await;
    assert_eq!(found["data"]["viewer"]["handle"], "luu");
    serving.stop().await;
}

#[tokio::test]
async fn serve_that_waits_for_its_database_can_be_stopped() {
    let stores = start().await;
    let proxy = PostgresProxy::start(&stores.database.url).await;
    proxy.cut(true);
    let mut process = Serving::spawn(&stores, &[], &[("DATABASE_URL", &proxy.url)]);
    process.line_with("waiting for the database").await;
    assert_eq!(process.end("TERM").await.code(), Some(130));
}

async fn migrate_at(url: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command: Command = cruddur(&["migrate"]);
    run(command.args(arguments).env("DATABASE_URL", url)).await
}

#[tokio::test]
async fn database_errors_that_waiting_does_not_resolve_end_the_command_at_once() {
    let database = Database::create().await;
    let place = database.url.split(['@', '?']).nth(1).expect("a place");
    let (host, name) = place.split_once('/').expect("a name");
    for (url, expected) in [
        (
            format!("postgres://nobody:wrong@{place}?sslmode=disable"),
            format!(
                "no connection to the database {name} at {host}: password authentication failed for user \"nobody\" (SQLSTATE 28P01)"
            ),
        ),
        (
            format!(
                "{}&application_name=x",
                database.url.replace(name, "missing")
            ),
            format!(
                "no connection to the database missing at {host}: database \"missing\" does not exist (SQLSTATE 3D000)"
            ),
        ),
    ] {
        let (code, out, stderr) = migrate_at(&url, &[]).await;
        assert_eq!(
            (code, &*out, &*stderr),
            (1, "", &*format!("cruddur: {expected}\n"))
        );
    }
}

#[tokio::test]
async fn database_wait_limits_the_time_to_wait() {
    let url = format!("postgres://postgres@127.0.0.1:{}/cruddur", free_port());
    let (code, _, stderr) = migrate_at(&url, &["--database-wait", "1"]).await;
    assert_eq!(code, 1);
    let last = stderr.lines().last().expect("a line");
    assert!(
        last.starts_with("cruddur: no connection to the database cruddur"),
        "{stderr}"
    );
    let (code, _, stderr) = migrate_at(&url, &["--database-wait", "0"]).await;
    assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
}

#[tokio::test]
async fn older_version_migrates_and_serves_a_newer_database() {
    let stores = start().await;
    stores.users(["luu"]).await;
    let admin = PgPool::connect(&stores.database.url)
        .await
        .expect("a connection");
    execute(
        &admin,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9000, 'nicknames', true, '', 0)",
    )
    .await;

    let (code, out, stderr) = migrate_at(&stores.database.url, &[]).await;

    assert_eq!((code, &*stderr), (0, ""));
    assert_eq!(
        out,
        "the database schema is newer than this version, but compatible with it: a newer version has applied 9000 nicknames\n"
    );
    Serving::start(&stores, &[]).await.stop().await;
}
