//! The migration of the original's `public.users`.

use cruddur::dev::{DataDir, Postgres};
use cruddur::store::{DatabaseError, Migrated, PoolSettings, UserStore, connect_database};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool, Row};

use crate::harness::Database;

/// Creates the original's table, as its `schema.sql` does, with some users.
const ORIGINAL: &str = "
    CREATE TABLE public.users (
        uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY,
        display_name text NOT NULL,
        handle text NOT NULL,
        email text NOT NULL,
        cognito_user_id text NOT NULL,
        created_at timestamp DEFAULT current_timestamp NOT NULL
    );
    CREATE TABLE public.activities (
        uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY,
        user_uuid uuid NOT NULL REFERENCES public.users (uuid),
        message text NOT NULL
    );
    INSERT INTO public.users (display_name, handle, email, cognito_user_id, created_at) VALUES
        ('Luu', 'luu', 'luu@example.com', 'MOCK', '2023-03-01 10:00:00'),
        ('Unamused', 'unamused', 'unamused@example.com', 'MOCK', '2023-03-01 11:00:00'),
        ('Tove', 'tove', 'tove@example.com', '', '2023-03-01 12:00:00'),
        ('Quill', 'quill', 'quill@example.com', 'sub-quill', '2023-03-01 13:00:00');
    INSERT INTO public.activities (user_uuid, message) SELECT uuid, 'hello' FROM public.users;
";

/// Creates the original's database. Returns a connection for statements of the
/// test.
async fn original() -> (Database, PgPool) {
    let database = Database::create().await;
    let pool = fill(&database.url).await;
    (database, pool)
}

async fn fill(url: &str) -> PgPool {
    let options = PgPoolOptions::new().max_connections(1);
    let pool = options.connect(url).await.expect("a database");
    // The client's time zone differs from the database's.
    sqlx::raw_sql("SET timezone = 'America/New_York'")
        .execute(&pool)
        .await
        .expect("a zone");
    sqlx::raw_sql(ORIGINAL)
        .execute(&pool)
        .await
        .expect("the original's table");
    pool
}

async fn execute(pool: &PgPool, sql: &str) {
    let executed = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool);
    executed.await.expect("executed");
}

async fn migrate(url: &str, time_zone: Option<&str>) -> Result<Migrated, DatabaseError> {
    let database = connect_database(url, PoolSettings::default()).await?;
    cruddur::store::migrate(&database, time_zone).await
}

async fn rows(pool: &PgPool, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(pool).await.expect("rows");
    rows.iter()
        .map(|row| row.get::<Option<String>, _>(0).unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn migration_keeps_uuid_names_and_time_of_every_user() {
    let (database, pool) = original().await;
    let uuids = rows(&pool, "SELECT uuid::text FROM public.users ORDER BY handle").await;

    migrate(&database.url, None).await.expect("migrated");
    migrate(&database.url, None).await.expect("migrated again");

    assert_eq!(
        rows(&pool, "SELECT uuid::text FROM public.users ORDER BY handle").await,
        uuids
    );
    let found = "SELECT concat_ws(' ', handle, display_name, coalesce(cognito_user_id, '-'), extract(epoch FROM created_at)::bigint) \
                 FROM public.users ORDER BY handle";
    insta::assert_debug_snapshot!(rows(&pool, found).await, @r#"
    [
        "luu Luu - 1677664800",
        "quill Quill sub-quill 1677675600",
        "tove Tove - 1677672000",
        "unamused Unamused - 1677668400",
    ]
    "#);
    let connected = connect_database(&database.url, PoolSettings::default()).await;
    let users = UserStore::new(connected.expect("a database"));
    let by_sub = users
        .users_by_cognito_id(&["sub-quill".to_owned(), "MOCK".to_owned(), String::new()])
        .await;
    assert_eq!(by_sub.expect("users").len(), 1);
    assert_eq!(
        rows(&pool, "SELECT count(*)::text FROM public.activities").await,
        ["4"]
    );
}

#[tokio::test]
async fn two_users_can_swap_their_cognito_ids_in_one_transaction() {
    let (database, pool) = original().await;
    migrate(&database.url, None).await.expect("migrated");
    sqlx::raw_sql(
        "UPDATE public.users SET cognito_user_id = 'sub-luu' WHERE handle = 'luu';
         BEGIN;
         SET CONSTRAINTS users_cognito_user_id_key DEFERRED;
         UPDATE public.users SET cognito_user_id = 'sub-quill' WHERE handle = 'luu';
         UPDATE public.users SET cognito_user_id = 'sub-luu' WHERE handle = 'quill';
         COMMIT;",
    )
    .execute(&pool)
    .await
    .expect("swapped");
    let found = rows(&pool, "SELECT handle || ' ' || cognito_user_id FROM public.users WHERE cognito_user_id IS NOT NULL ORDER BY 1").await;
    assert_eq!(found, ["luu sub-quill", "quill sub-luu"]);
}

#[tokio::test]
async fn migration_conflict_is_named_and_changes_nothing() {
    for (fault, expected) in [
        (
            "UPDATE public.users SET handle = 'luu' WHERE handle = 'tove'",
            "more than one user has the handle luu: rename or delete one of each",
        ),
        (
            "UPDATE public.users SET cognito_user_id = 'sub-quill' WHERE handle = 'unamused'",
            "more than one user has the same cognito_user_id: quill, unamused: leave it to one of them",
        ),
    ] {
        let (database, pool) = original().await;
        sqlx::raw_sql(fault).execute(&pool).await.expect("a fault");
        let before = rows(
            &pool,
            "SELECT concat(handle, cognito_user_id, created_at) FROM public.users ORDER BY 1",
        )
        .await;

        let rejected = migrate(&database.url, None).await.expect_err("a refusal");
        let rejected = rejected.to_string();

        assert!(rejected.contains(expected), "{rejected}");
        assert!(!rejected.contains("at line"), "{rejected}");
        let after = rows(
            &pool,
            "SELECT concat(handle, cognito_user_id, created_at) FROM public.users ORDER BY 1",
        )
        .await;
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn migration_names_users_without_a_handle_by_uuid() {
    for value in ["NULL", "''"] {
        let (database, pool) = original().await;
        execute(&pool, "ALTER TABLE public.users ALTER handle DROP NOT NULL").await;
        let set =
            format!("UPDATE public.users SET handle = {value} WHERE handle IN ('luu', 'tove')");
        execute(&pool, &set).await;
        let nameless =
            "SELECT uuid::text FROM public.users WHERE coalesce(handle, '') = '' ORDER BY uuid";
        let nameless = rows(&pool, nameless).await;

        let rejected = migrate(&database.url, None).await.expect_err("a refusal");

        let expected = format!("users without a handle: {}:", nameless.join(", "));
        assert!(rejected.to_string().contains(&expected), "{rejected}");
        let kind = "SELECT data_type::text FROM information_schema.columns \
                    WHERE table_name = 'users' AND column_name = 'created_at'";
        assert_eq!(rows(&pool, kind).await, ["timestamp without time zone"]);
        let table = "SELECT coalesce(to_regclass('_sqlx_migrations')::text, 'none')";
        assert_eq!(rows(&pool, table).await, ["none"]);
    }
}

/// Creation time of luu in the database: 2023-03-01 10:00 in some time zone.
const LUU_CAME: &str =
    "SELECT (created_at AT TIME ZONE 'UTC')::text FROM public.users WHERE handle = 'luu'";

#[tokio::test]
async fn migration_reads_created_at_in_the_time_zone_of_the_database_or_role() {
    for (setting, zone, expected) in [
        (
            "ALTER DATABASE {database} SET timezone = 'America/Toronto'",
            "America/Toronto",
            "2023-03-01 15:00:00",
        ),
        (
            "ALTER ROLE CURRENT_USER IN DATABASE {database} SET \"TimeZone\" = 'Asia/Kolkata'",
            "Asia/Kolkata",
            "2023-03-01 04:30:00",
        ),
    ] {
        let (database, pool) = original().await;
        let name = &rows(&pool, "SELECT current_database()::text").await[0];
        execute(&pool, &setting.replace("{database}", name)).await;
        // Set by the original's default, in a session that sets no time zone.
        let now = format!(
            "SET timezone = '{zone}'; INSERT INTO public.users (display_name, handle, email, cognito_user_id) VALUES ('Now', 'now', '', 'sub-now')"
        );
        execute(&pool, &now).await;

        let migrated = migrate(&database.url, None).await.expect("migrated");

        assert_eq!(migrated.time_zone.as_deref(), Some(zone));
        assert_eq!(rows(&pool, LUU_CAME).await, [expected]);
        let age = "SELECT (abs(extract(epoch FROM now() - created_at)) < 600)::text FROM public.users WHERE handle = 'now'";
        assert_eq!(rows(&pool, age).await, ["true"]);
    }
}

#[tokio::test]
async fn migration_reads_created_at_in_the_time_zone_of_the_server() {
    let data = DataDir::temporary().expect("a directory");
    let postgres = Postgres::start(&data, 0).unwrap_or_else(|error| panic!("{error}"));
    let database = Database::at(postgres.url("configured")).await;
    let pool = fill(&database.url).await;
    for name in ["timezone", "log_timezone"] {
        execute(
            &pool,
            &format!("ALTER SYSTEM SET {name} = 'America/Toronto'"),
        )
        .await;
    }
    execute(
        &pool,
        "SELECT pg_reload_conf();
         CREATE ROLE app LOGIN PASSWORD 'password';
         ALTER DATABASE configured OWNER TO app;
         ALTER SCHEMA public OWNER TO app;
         ALTER TABLE public.users OWNER TO app;",
    )
    .await;
    while rows(&pool, "SHOW log_timezone").await != ["America/Toronto"] {
        tokio::task::yield_now().await;
    }

    // A role that cannot read the server's configuration.
    let by_app = database.url.replace("postgres:password@", "app:password@");
    let rejected = migrate(&by_app, None).await.expect_err("two zones");
    assert!(
        rejected
            .to_string()
            .contains("it is America/Toronto or UTC"),
        "{rejected}"
    );
    let unknown = migrate(&by_app, Some("Toronto"))
        .await
        .expect_err("no zone");
    assert!(
        unknown
            .to_string()
            .contains("time zone \"Toronto\" not recognized"),
        "{unknown}"
    );
    let kind = "SELECT pg_typeof(created_at)::text FROM public.users LIMIT 1";
    assert_eq!(rows(&pool, kind).await, ["timestamp without time zone"]);

    let migrated = migrate(&database.url, None).await.expect("migrated");

    assert_eq!(migrated.time_zone.as_deref(), Some("America/Toronto"));
    assert_eq!(rows(&pool, LUU_CAME).await, ["2023-03-01 15:00:00"]);
}

#[tokio::test]
async fn migration_reads_created_at_in_the_time_zone_of_the_option() {
    let (database, pool) = original().await;
    let migrated = migrate(&database.url, Some("Asia/Tokyo")).await;
    assert_eq!(
        migrated.expect("migrated").time_zone.as_deref(),
        Some("Asia/Tokyo")
    );
    assert_eq!(rows(&pool, LUU_CAME).await, ["2023-03-01 01:00:00"]);
}
