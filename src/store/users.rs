//! Users, in Postgres.

use sqlx::PgPool;
use uuid::Uuid;

use super::StoreError;
use crate::model::{User, UserId};

/// The table `public.users`.
#[derive(Clone, Debug)]
pub struct UserStore {
    pool: PgPool,
}

/// A user to be put into the table.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name in the app's URLs, without `@`.
    pub handle: String,
    /// The name shown to people.
    pub display_name: String,
    /// Where mail goes.
    pub email: String,
    /// The `sub` of the user's tokens.
    pub cognito_user_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct UserRow {
    uuid: Uuid,
    handle: String,
    display_name: String,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: UserId(row.uuid),
            handle: row.handle,
            display_name: row.display_name,
        }
    }
}

#[derive(sqlx::FromRow)]
struct SignInRow {
    cognito_user_id: String,
    #[sqlx(flatten)]
    user: UserRow,
}

/// Postgres can hold no NUL, so nothing is found by one.
fn storable(texts: &[String]) -> Vec<&str> {
    let texts = texts.iter().map(String::as_str);
    texts.filter(|text| !text.contains('\0')).collect()
}

impl UserStore {
    /// The store over a pool of connections.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The users who have one of these uuids, in no order: one statement.
    pub async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows: Vec<UserRow> = sqlx::query_as(
            "SELECT uuid, handle, display_name FROM public.users WHERE uuid = ANY($1)",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// The users who have one of these handles, compared exactly, in no order:
    /// one statement.
    pub async fn users_by_handle(&self, handles: &[String]) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = sqlx::query_as(
            "SELECT uuid, handle, display_name FROM public.users WHERE handle = ANY($1)",
        )
        .bind(storable(handles))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// The users who have one of these Cognito ids (a token's `sub`), each with
    /// that id, in no order: one statement.
    pub async fn users_by_cognito_id(
        &self,
        subs: &[String],
    ) -> Result<Vec<(String, User)>, StoreError> {
        let rows: Vec<SignInRow> = sqlx::query_as(
            "SELECT cognito_user_id, uuid, handle, display_name FROM public.users WHERE cognito_user_id = ANY($1)",
        )
        .bind(storable(subs))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.cognito_user_id, row.user.into()))
            .collect())
    }

    /// Puts users in who are not there yet; whoever has one of these handles
    /// already stays as they are. One statement each, all or none.
    pub async fn create_missing(&self, users: &[NewUser]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        for user in users {
            sqlx::query(
                "INSERT INTO public.users (handle, display_name, email, cognito_user_id) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (handle) DO NOTHING",
            )
            .bind(&user.handle)
            .bind(&user.display_name)
            .bind(&user.email)
            .bind(&user.cognito_user_id)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The Cognito id of the user with a handle, where there is one.
    pub async fn find_cognito_id(&self, handle: &str) -> Result<Option<String>, StoreError> {
        if handle.contains('\0') {
            return Ok(None);
        }
        let found: Option<Option<String>> =
            sqlx::query_scalar("SELECT cognito_user_id FROM public.users WHERE handle = $1")
                .bind(handle)
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.flatten())
    }

    /// Whether the store answers: one statement.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}
