//! Users, in Postgres.

use std::collections::HashSet;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Connection, Encode, FromRow, Postgres, Row, Type};
use uuid::Uuid;

use super::{DatabasePool, StoreError, StoreResult};
use crate::model::{User, UserId};
use crate::telemetry::postgres_query;

/// The table `public.users`.
#[derive(Clone, Debug)]
pub struct UserStore {
    database: DatabasePool,
}

/// A user to insert into the table.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The unique name in the app's URLs, without `@`.
    pub handle: String,
    /// The display name.
    pub display_name: String,
    /// The email address.
    pub email: String,
    /// The `sub` claim of the user's tokens.
    pub cognito_user_id: Option<String>,
}

/// Result of setting Cognito IDs. All lists contain handles, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CognitoIds {
    /// Users whose ID was another one or missing.
    pub changed: Vec<String>,
    /// Users whose ID was correct.
    pub right: Vec<String>,
    /// Users who are not in the table.
    pub without_row: Vec<String>,
    /// Users who had the ID of another user, which is removed from them.
    pub taken: Vec<String>,
    /// Users whose handle and Cognito ID do not belong to any user of the pool.
    pub without_user: Vec<String>,
    /// All handles of the table.
    pub handles: Vec<String>,
}

/// The handles and Cognito IDs of all users of a pool.
#[derive(Clone, Debug, Default)]
pub struct PoolNames {
    /// The `preferred_username` of each user.
    pub handles: HashSet<String>,
    /// The `sub` of each user.
    pub subs: HashSet<String>,
}

impl PoolNames {
    /// Returns whether a row of the table belongs to a user of the pool.
    fn has(&self, handle: &str, cognito_id: Option<&str>) -> bool {
        self.handles.contains(handle) || cognito_id.is_some_and(|id| self.subs.contains(id))
    }
}

impl FromRow<'_, PgRow> for User {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: UserId(row.try_get("uuid")?),
            handle: row.try_get("handle")?,
            display_name: row.try_get("display_name")?,
        })
    }
}

/// Returns the texts without a NUL character.
///
/// Postgres cannot store NUL, so such a text has no match.
fn storable(texts: &[String]) -> Vec<&str> {
    let texts = texts.iter().map(String::as_str);
    texts.filter(|text| !text.contains('\0')).collect()
}

/// Creates the arguments of a query with one parameter.
fn one_argument<'q, T>(value: T) -> Result<PgArguments, sqlx::Error>
where
    T: Encode<'q, Postgres> + Type<Postgres>,
{
    let mut arguments = PgArguments::default();
    arguments.add(value).map_err(sqlx::Error::Encode)?;
    Ok(arguments)
}

impl UserStore {
    /// Creates a store from a connection pool.
    pub fn new(database: DatabasePool) -> Self {
        Self { database }
    }

    /// Creates a store on which every query fails.
    pub fn failing() -> Self {
        Self::new(DatabasePool::failing())
    }

    /// Executes a query and records it in the metrics under its name: one
    /// statement.
    async fn fetch<R>(
        &self,
        name: &'static str,
        sql: &'static str,
        arguments: Result<PgArguments, sqlx::Error>,
    ) -> StoreResult<Vec<R>>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        // Boxed, because the future contains two attempts.
        let query = Box::pin(async { Ok(self.database.fetch(sql, arguments?).await?) });
        postgres_query(name, query, |error| match error {
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Rejected { .. } | StoreError::Unreadable { .. } => "refused",
        })
        .await
    }

    /// Returns the users with these UUIDs, in no particular order: one
    /// statement.
    pub async fn users_by_id(&self, ids: &[UserId]) -> StoreResult<Vec<User>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let sql = "SELECT uuid, handle, display_name FROM public.users WHERE uuid = ANY($1)";
        self.fetch("users_by_id", sql, one_argument(ids)).await
    }

    /// Returns the users with these handles, in no particular order: one
    /// statement.
    ///
    /// Handles are compared exactly.
    pub async fn users_by_handle(&self, handles: &[String]) -> StoreResult<Vec<User>> {
        let sql = "SELECT uuid, handle, display_name FROM public.users WHERE handle = ANY($1)";
        let handles = one_argument(storable(handles));
        self.fetch("users_by_handle", sql, handles).await
    }

    /// Returns the users with these Cognito IDs (the `sub` claim of a token),
    /// each with that ID, in no particular order: one statement.
    pub async fn users_by_cognito_id(&self, subs: &[String]) -> StoreResult<Vec<(String, User)>> {
        let sql = "SELECT cognito_user_id, uuid, handle, display_name FROM public.users WHERE cognito_user_id = ANY($1)";
        let subs = one_argument(storable(subs));
        let rows = self.fetch("users_by_cognito_id", sql, subs).await?;
        let users = rows.into_iter().map(|(sub, id, handle, display_name)| {
            let id = UserId(id);
            (
                sub,
                User {
                    id,
                    handle,
                    display_name,
                },
            )
        });
        Ok(users.collect())
    }

    /// Inserts the users whose handles are not in the table. Existing users do
    /// not change.
    ///
    /// One statement for each user, in one transaction.
    pub async fn create_missing(&self, users: &[NewUser]) -> StoreResult<()> {
        let keep = self.database.keeps_statements();
        let mut connection = self.database.acquire().await?;
        let mut transaction = connection.begin().await?;
        for user in users {
            sqlx::query(
                "INSERT INTO public.users (handle, display_name, email, cognito_user_id) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (handle) DO NOTHING",
            )
            .bind(&user.handle)
            .bind(&user.display_name)
            .bind(&user.email)
            .bind(&user.cognito_user_id)
            .persistent(keep)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Sets Cognito IDs by handle, in one transaction.
    ///
    /// If `dry_run` is true, the transaction is rolled back. If another user has
    /// one of the IDs, the ID is removed from that user. `pool` contains the
    /// handles and IDs of all users of the pool, including those whose ID cannot
    /// be set.
    pub async fn update_cognito_ids(
        &self,
        ids: &[(String, String)],
        pool: &PoolNames,
        dry_run: bool,
    ) -> StoreResult<CognitoIds> {
        let storable = |(handle, sub): &&(String, String)| !format!("{handle}{sub}").contains('\0');
        let (handles, subs): (Vec<String>, Vec<String>) =
            ids.iter().filter(storable).cloned().unzip();
        let keep = self.database.keeps_statements();
        let mut connection = self.database.acquire().await?;
        let mut transaction = connection.begin().await?;
        let rows: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT handle, cognito_user_id FROM public.users ORDER BY handle")
                .persistent(keep)
                .fetch_all(&mut *transaction)
                .await?;
        // Two users may exchange their IDs.
        sqlx::raw_sql("SET CONSTRAINTS public.users_cognito_user_id_key DEFERRED")
            .execute(&mut *transaction)
            .await?;
        let there: Vec<String> = sqlx::query_scalar(
            "SELECT handle FROM public.users WHERE handle = ANY($1) ORDER BY handle FOR UPDATE",
        )
        .bind(&handles)
        .persistent(keep)
        .fetch_all(&mut *transaction)
        .await?;
        let mut changed: Vec<String> = sqlx::query_scalar(
            "UPDATE public.users SET cognito_user_id = given.sub \
             FROM unnest($1::text[], $2::text[]) AS given (handle, sub) \
             WHERE users.handle = given.handle AND users.cognito_user_id IS DISTINCT FROM given.sub \
             RETURNING users.handle",
        )
        .bind(&handles)
        .bind(&subs)
        .persistent(keep)
        .fetch_all(&mut *transaction)
        .await?;
        let mut taken: Vec<String> = sqlx::query_scalar(
            "UPDATE public.users SET cognito_user_id = NULL \
             FROM unnest($1::text[], $2::text[]) AS given (handle, sub) \
             WHERE users.cognito_user_id = given.sub AND users.handle <> given.handle \
             AND given.handle = ANY($3) RETURNING users.handle",
        )
        .bind(&handles)
        .bind(&subs)
        .bind(&there)
        .persistent(keep)
        .fetch_all(&mut *transaction)
        .await?;
        if dry_run {
            transaction.rollback().await?;
        } else {
            transaction.commit().await?;
        }
        changed.sort();
        taken.sort();
        let known: HashSet<&String> = there.iter().collect();
        let without_row = ids.iter().map(|(handle, _)| handle);
        let without_row = without_row.filter(|handle| !known.contains(handle));
        let is_changed: HashSet<&String> = changed.iter().collect();
        let right = there.iter().filter(|handle| !is_changed.contains(handle));
        let has_no_user =
            |(handle, id): &&(String, Option<String>)| !pool.has(handle, id.as_deref());
        let without_user = rows.iter().filter(has_no_user);
        Ok(CognitoIds {
            without_user: without_user.map(|(handle, _)| handle.clone()).collect(),
            handles: rows.iter().map(|(handle, _)| handle.clone()).collect(),
            without_row: without_row.cloned().collect(),
            right: right.cloned().collect(),
            changed,
            taken,
        })
    }

    /// Returns the Cognito ID of the user with a handle, if there is one.
    pub async fn find_cognito_id(&self, handle: &str) -> StoreResult<Option<String>> {
        if handle.contains('\0') {
            return Ok(None);
        }
        let sql = "SELECT cognito_user_id FROM public.users WHERE handle = $1";
        let handle = one_argument(handle);
        let found: Vec<(Option<String>,)> = self.fetch("find_cognito_id", sql, handle).await?;
        Ok(found.into_iter().next().and_then(|(id,)| id))
    }

    /// Checks that the database responds: one statement.
    pub async fn ping(&self) -> StoreResult<()> {
        let arguments = Ok(PgArguments::default());
        let _: Vec<(i32,)> = self.fetch("ping", "SELECT 1", arguments).await?;
        Ok(())
    }
}
