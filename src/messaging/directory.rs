//! Users by uuid, handle and Cognito id: batched within a request, cached
//! between requests.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataloader::BatchFn;
use dataloader::cached::Loader;
use moka::sync::Cache;

use super::MessagingError;
use crate::model::{User, UserId};
use crate::store::{StoreError, UserStore};

/// How many users are cached.
const CAPACITY: u64 = 50_000;
/// For how long a caller who was seen is served while Postgres is down.
const CALLER_STAYS_KNOWN: Duration = Duration::from_mins(10);
/// How often a look-up begins anew whose batch was dropped with another field.
const BATCHES: usize = 4;

/// By what a user is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum UserKey {
    Id(UserId),
    Handle(String),
    CognitoId(String),
}

#[derive(Clone, Debug)]
struct Known {
    user: User,
    read_at: Instant,
}

type Found = Result<Option<User>, Arc<StoreError>>;

/// All users, with a cache that requests share. Absence is never cached.
#[derive(Clone, Debug)]
pub struct Directory {
    users: UserStore,
    cache: Cache<UserKey, Known>,
    fresh_for: Duration,
}

impl Directory {
    /// Puts a cache over the store: a user is read again after `fresh_for`.
    #[must_use]
    pub fn new(users: UserStore, fresh_for: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(CALLER_STAYS_KNOWN.max(fresh_for))
            .build();
        Self {
            users,
            cache,
            fresh_for,
        }
    }

    pub(super) fn loader(&self) -> UserLoader {
        let expected = Arc::<Mutex<HashSet<UserId>>>::default();
        let batch = UserBatch {
            directory: self.clone(),
            expected: Arc::clone(&expected),
        };
        UserLoader {
            loader: Loader::new(batch),
            expected,
        }
    }

    fn fresh(&self, key: &UserKey) -> Option<User> {
        let known = self.cache.get(key)?;
        (known.read_at.elapsed() < self.fresh_for).then_some(known.user)
    }

    fn remember(&self, key: UserKey, user: &User) {
        let known = Known {
            user: user.clone(),
            read_at: Instant::now(),
        };
        self.cache.insert(key, known);
    }

    async fn load(&self, keys: HashSet<UserKey>) -> HashMap<UserKey, Found> {
        let mut found = HashMap::new();
        let (mut ids, mut handles, mut subs) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            if let Some(user) = self.fresh(&key) {
                found.insert(key, Ok(Some(user)));
                continue;
            }
            match key {
                UserKey::Id(id) => ids.push(id),
                UserKey::Handle(handle) => handles.push(handle),
                UserKey::CognitoId(sub) => subs.push(sub),
            }
        }
        if !ids.is_empty() {
            let read = self.users.users_by_id(&ids).await;
            let read = read.map(|users| {
                users
                    .into_iter()
                    .map(|user| (UserKey::Id(user.id), user))
                    .collect()
            });
            self.add(&mut found, ids.into_iter().map(UserKey::Id), read);
        }
        if !handles.is_empty() {
            let read = self.users.users_by_handle(&handles).await;
            let by_handle = |user: User| (UserKey::Handle(user.handle.clone()), user);
            let read = read.map(|users| users.into_iter().map(by_handle).collect());
            self.add(&mut found, handles.into_iter().map(UserKey::Handle), read);
        }
        if !subs.is_empty() {
            let read = self.users.users_by_cognito_id(&subs).await;
            let read = read.map(|users| {
                users
                    .into_iter()
                    .map(|(sub, user)| (UserKey::CognitoId(sub), user))
                    .collect()
            });
            self.add(&mut found, subs.into_iter().map(UserKey::CognitoId), read);
        }
        found
    }

    fn add(
        &self,
        found: &mut HashMap<UserKey, Found>,
        asked: impl Iterator<Item = UserKey>,
        read: Result<HashMap<UserKey, User>, StoreError>,
    ) {
        match read {
            Ok(mut users) => {
                for key in asked {
                    let user = users.remove(&key);
                    if let Some(user) = &user {
                        let id = UserKey::Id(user.id);
                        self.remember(key.clone(), user);
                        self.remember(id.clone(), user);
                        found.insert(id, Ok(Some(user.clone())));
                    } else {
                        // Whoever is gone is not served while Postgres is away.
                        self.cache.invalidate(&key);
                    }
                    found.insert(key, Ok(user));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                found.extend(asked.map(|key| {
                    let answer = self.while_away(&key).ok_or_else(|| Arc::clone(&error));
                    (key, answer.map(Some))
                }));
            }
        }
    }

    /// While Postgres is down, callers who were seen lately are still served.
    fn while_away(&self, key: &UserKey) -> Option<User> {
        match key {
            UserKey::CognitoId(_) => self.cache.get(key).map(|known| known.user),
            UserKey::Id(_) | UserKey::Handle(_) => None,
        }
    }
}

struct UserBatch {
    directory: Directory,
    expected: Arc<Mutex<HashSet<UserId>>>,
}

impl BatchFn<UserKey, Found> for UserBatch {
    async fn load(&mut self, keys: &[UserKey]) -> HashMap<UserKey, Found> {
        let expected =
            std::mem::take(&mut *self.expected.lock().unwrap_or_else(PoisonError::into_inner));
        let keys = keys
            .iter()
            .cloned()
            .chain(expected.into_iter().map(UserKey::Id));
        self.directory.load(keys.collect()).await
    }
}

/// Users for one request: what is asked for at the same time is read together,
/// and nothing is read twice.
pub struct UserLoader {
    loader: Loader<UserKey, Found, UserBatch>,
    expected: Arc<Mutex<HashSet<UserId>>>,
}

impl UserLoader {
    /// The user with a uuid.
    pub async fn find_by_id(&self, id: UserId) -> Result<Option<User>, MessagingError> {
        self.find(UserKey::Id(id)).await
    }

    /// The user with a handle, compared exactly.
    pub async fn find_by_handle(&self, handle: &str) -> Result<Option<User>, MessagingError> {
        self.find(UserKey::Handle(handle.to_owned())).await
    }

    pub(super) async fn find_by_cognito_id(
        &self,
        sub: &str,
    ) -> Result<Option<User>, MessagingError> {
        self.find(UserKey::CognitoId(sub.to_owned())).await
    }

    /// Says who is likely to be asked for: they are read along with the next
    /// batch, should there be one.
    pub fn expect(&self, ids: impl IntoIterator<Item = UserId>) {
        self.expected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(ids);
    }

    /// Spares the request a look-up of somebody who is known already.
    pub(super) async fn prime(&self, user: User) {
        self.loader
            .prime(UserKey::Id(user.id), Ok(Some(user)))
            .await;
    }

    async fn find(&self, key: UserKey) -> Result<Option<User>, MessagingError> {
        // A batch is dropped with the field that leads it, for instance when a
        // sibling of that field fails; those who waited for it lead the next.
        for _ in 1..BATCHES {
            if let Ok(found) = self.loader.try_load(key.clone()).await {
                return found.map_err(shared);
            }
        }
        match self.loader.try_load(key).await {
            Ok(found) => found.map_err(shared),
            Err(error) => Err(MessagingError::unavailable(None, &error.to_string())),
        }
    }
}

fn shared(error: Arc<StoreError>) -> MessagingError {
    match &*error {
        StoreError::Unavailable { .. } => MessagingError::unavailable(None, &error.to_string()),
        StoreError::Refused { .. } | StoreError::Unreadable { .. } => MessagingError::Fault(error),
    }
}
