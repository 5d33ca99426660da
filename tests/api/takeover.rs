//! The original's `public.users`, taken over by the migration.

use cruddur::store::{PoolSettings, UserStore, connect_database, migrate};
use sqlx::{PgPool, Row};

use crate::harness::Database;

/// The original's table, as its `schema.sql` makes it, with some users.
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

async fn original() -> (Database, PgPool) {
    let database = Database::create().await;
    let settings = PoolSettings {
        max_connections: 1,
        acquire_timeout: std::time::Duration::from_secs(5),
    };
    let pool = connect_database(&database.url, settings)
        .await
        .expect("a database");
    // A machine whose zone is not UTC.
    sqlx::raw_sql("SET timezone = 'America/New_York'")
        .execute(&pool)
        .await
        .expect("a zone");
    sqlx::raw_sql(ORIGINAL)
        .execute(&pool)
        .await
        .expect("the original's table");
    (database, pool)
}

async fn rows(pool: &PgPool, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(pool).await.expect("rows");
    rows.iter()
        .map(|row| row.get::<Option<String>, _>(0).unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn every_user_keeps_uuid_names_and_time() {
    let (_database, pool) = original().await;
    let uuids = rows(&pool, "SELECT uuid::text FROM public.users ORDER BY handle").await;

    migrate(&pool).await.expect("migrated");
    migrate(&pool).await.expect("migrated again");

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
    let users = UserStore::new(pool.clone());
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
    let (_database, pool) = original().await;
    migrate(&pool).await.expect("migrated");
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
async fn what_only_a_person_can_decide_stops_it_by_name_and_changes_nothing() {
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
        let (_database, pool) = original().await;
        sqlx::raw_sql(fault).execute(&pool).await.expect("a fault");
        let before = rows(
            &pool,
            "SELECT concat(handle, cognito_user_id, created_at) FROM public.users ORDER BY 1",
        )
        .await;

        let refused = migrate(&pool).await.expect_err("a refusal").to_string();

        assert!(refused.contains(expected), "{refused}");
        let after = rows(
            &pool,
            "SELECT concat(handle, cognito_user_id, created_at) FROM public.users ORDER BY 1",
        )
        .await;
        assert_eq!(after, before);
    }
}
