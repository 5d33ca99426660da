//! Users by UUID, handle and Cognito ID: lookups are batched within a request
//! and cached between requests.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataloader::BatchFn;
use moka::sync::Cache;

use super::loader::BatchLoader;
use super::{MessagingError, MessagingResult};
use crate::lock::lock;
use crate::model::{User, UserId};
use crate::store::{StoreError, StoreResult, UserStore};

/// Maximum number of cache entries, at a few hundred bytes each. A user can have
/// an entry for each kind of key.
const CAPACITY: u64 = 50_000;
/// How long after the last read from Postgres a caller is served from the cache
/// while Postgres is unavailable: long enough for a failover of the database, and
/// short enough that a deleted user soon loses access.
const CALLER_CACHED_FOR: Duration = Duration::from_mins(10);

/// The key of a user lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum UserKey {
    Id(UserId),
    Handle(String),
    CognitoId(String),
}

#[derive(Clone, Debug)]
struct CachedUser {
    user: Arc<User>,
    read_at: Instant,
}

type LookupResult = Result<Option<Arc<User>>, Arc<StoreError>>;

/// The user directory, with a cache that all requests share. Absence is never
/// cached.
#[derive(Clone, Debug)]
pub struct Directory {
    users: UserStore,
    cache: Cache<UserKey, CachedUser>,
    fresh_for: Duration,
}

impl Directory {
    /// Creates the directory with an empty cache. A user is read from Postgres
    /// again after `fresh_for`.
    pub fn new(users: UserStore, fresh_for: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(CALLER_CACHED_FOR.max(fresh_for))
            .build();
        Self {
            users,
            cache,
            fresh_for,
        }
    }

    /// Returns a loader of users for one request.
    pub fn loader(&self) -> UserLoader {
        let users = Arc::<Mutex<RequestUsers>>::default();
        let batch = UserBatch {
            directory: self.clone(),
            users: users.clone(),
        };
        UserLoader {
            directory: self.clone(),
            loader: BatchLoader::new(batch),
            users,
        }
    }

    /// Caches a user that the caller of this function has read, with the `sub`
    /// of the user's tokens.
    pub fn insert(&self, sub: &str, user: User) {
        let user = Arc::new(user);
        self.cache_user(UserKey::Id(user.id), &user);
        self.cache_user(UserKey::CognitoId(sub.to_owned()), &user);
    }

    fn fresh(&self, key: &UserKey) -> Option<Arc<User>> {
        let cached = self.cache.get(key)?;
        (cached.read_at.elapsed() < self.fresh_for).then_some(cached.user)
    }

    fn cache_user(&self, key: UserKey, user: &Arc<User>) {
        let cached = CachedUser {
            user: Arc::clone(user),
            read_at: Instant::now(),
        };
        self.cache.insert(key, cached);
    }

    /// Reads the users of one batch: one statement for each kind of key.
    async fn load(&self, keys: HashSet<UserKey>) -> HashMap<UserKey, LookupResult> {
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
            let users = self.users.users_by_id(&ids).await;
            let keyed = |user: User| (UserKey::Id(user.id), user);
            self.add(&mut found, ids.into_iter().map(UserKey::Id), users, keyed);
        }
        if !handles.is_empty() {
            let users = self.users.users_by_handle(&handles).await;
            let keyed = |user: User| (UserKey::Handle(user.handle.clone()), user);
            let handles = handles.into_iter().map(UserKey::Handle);
            self.add(&mut found, handles, users, keyed);
        }
        if !subs.is_empty() {
            let users = self.users.users_by_cognito_id(&subs).await;
            let keyed = |(sub, user)| (UserKey::CognitoId(sub), user);
            let subs = subs.into_iter().map(UserKey::CognitoId);
            self.add(&mut found, subs, users, keyed);
        }
        found
    }

    /// Adds the result of one statement to the results of a batch, and updates the
    /// cache.
    fn add<R>(
        &self,
        found: &mut HashMap<UserKey, LookupResult>,
        keys: impl Iterator<Item = UserKey>,
        read: StoreResult<Vec<R>>,
        keyed: impl Fn(R) -> (UserKey, User),
    ) {
        match read {
            Ok(users) => {
                let mut users: HashMap<_, _> = users.into_iter().map(keyed).collect();
                for key in keys {
                    let user = users.remove(&key).map(Arc::new);
                    if let Some(user) = &user {
                        let id = UserKey::Id(user.id);
                        self.cache_user(key.clone(), user);
                        self.cache_user(id.clone(), user);
                        found.insert(id, Ok(Some(Arc::clone(user))));
                    } else {
                        // A deleted user must not be served from the cache
                        // while Postgres is unavailable.
                        self.cache.invalidate(&key);
                    }
                    found.insert(key, Ok(user));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                found.extend(keys.map(|key| {
                    let caller = self.cached_caller(&key).ok_or_else(|| Arc::clone(&error));
                    (key, caller.map(Some))
                }));
            }
        }
    }

    /// Returns the cached user if Postgres is unavailable and the lookup is for
    /// a caller. Other lookups fail.
    fn cached_caller(&self, key: &UserKey) -> Option<Arc<User>> {
        match key {
            UserKey::CognitoId(_) => self.cache.get(key).map(|cached| cached.user),
            UserKey::Id(_) | UserKey::Handle(_) => None,
        }
    }
}

/// The users of one request.
#[derive(Default)]
struct RequestUsers {
    /// Users that are found without a lookup in the directory's cache, which
    /// costs more than this map.
    found: HashMap<UserId, Arc<User>>,
    /// Users to read with the next batch.
    expected: HashSet<UserId>,
}

struct UserBatch {
    directory: Directory,
    users: Arc<Mutex<RequestUsers>>,
}

impl BatchFn<UserKey, LookupResult> for UserBatch {
    async fn load(&mut self, keys: &[UserKey]) -> HashMap<UserKey, LookupResult> {
        let expected = std::mem::take(&mut lock(&self.users).expected);
        let expected = expected.into_iter().map(UserKey::Id);
        let keys = keys.iter().cloned().chain(expected);
        self.directory.load(keys.collect()).await
    }
}

/// Loads users for one request: concurrent lookups share one batch, and no user
/// is read twice. Users in the directory's cache are returned without a batch.
pub struct UserLoader {
    directory: Directory,
    loader: BatchLoader<UserKey, LookupResult, UserBatch>,
    users: Arc<Mutex<RequestUsers>>,
}

impl UserLoader {
    /// Returns the user with this UUID.
    pub async fn find_by_id(&self, id: UserId) -> MessagingResult<Option<Arc<User>>> {
        let found = lock(&self.users).found.get(&id).cloned();
        if found.is_some() {
            return Ok(found);
        }
        let found = self.find(UserKey::Id(id)).await?;
        if let Some(user) = &found {
            self.prime(Arc::clone(user));
        }
        Ok(found)
    }

    /// Returns the user with this handle. The comparison is exact.
    pub async fn find_by_handle(&self, handle: &str) -> MessagingResult<Option<Arc<User>>> {
        self.find(UserKey::Handle(handle.to_owned())).await
    }

    pub(super) async fn find_by_cognito_id(&self, sub: &str) -> MessagingResult<Option<Arc<User>>> {
        self.find(UserKey::CognitoId(sub.to_owned())).await
    }

    /// Announces users that are likely to be looked up. Those that are not in
    /// the directory's cache are read as part of the next batch, if there is
    /// one.
    pub fn expect(&self, ids: impl IntoIterator<Item = UserId>) {
        let mut users = lock(&self.users);
        let RequestUsers { found, expected } = &mut *users;
        let ids = ids.into_iter();
        found.reserve(ids.size_hint().0);
        for id in ids {
            if let Entry::Vacant(entry) = found.entry(id) {
                match self.directory.fresh(&UserKey::Id(id)) {
                    Some(user) => {
                        entry.insert(user);
                    }
                    None => {
                        expected.insert(id);
                    }
                }
            }
        }
    }

    /// Adds a user that is already known, so that the request does not look it
    /// up.
    pub(super) fn prime(&self, user: Arc<User>) {
        lock(&self.users).found.insert(user.id, user);
    }

    async fn find(&self, key: UserKey) -> MessagingResult<Option<Arc<User>>> {
        if let Some(user) = self.directory.fresh(&key) {
            return Ok(Some(user));
        }
        // Boxed because it is large and most users are found above.
        match Box::pin(self.loader.load(key)).await {
            Some(found) => found.map_err(Into::into),
            None => Err(MessagingError::unavailable(
                None,
                "each batch of users was dropped with the field that read it",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// The store has no Postgres server, so each lookup that reads from it has
    /// to wait.
    #[tokio::test]
    async fn cached_users_are_found_without_a_batch() {
        let directory = Directory::new(UserStore::failing(), Duration::from_mins(1));
        let [user, other] = [1, 2].map(User::example);
        directory.insert("sub", user.clone());

        let loader = directory.loader();
        let by_id = loader.find_by_id(user.id).now_or_never();
        let found = by_id.expect("at once").expect("a user");
        assert_eq!(found.as_deref(), Some(&user));
        let by_sub = loader.find_by_cognito_id("sub").now_or_never();
        let found = by_sub.expect("at once").expect("a user");
        assert_eq!(found.as_deref(), Some(&user));

        loader.expect([user.id, other.id]);
        let expected = std::mem::take(&mut lock(&loader.users).expected);
        assert_eq!(expected, HashSet::from([other.id]));
    }
}
