//! The keys that tokens are checked against, fetched over HTTP and kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use crate::http_url::shown;
use crate::loopback::is_loopback;
use crate::telemetry::metrics::key_fetch;

/// How often keys are fetched although nothing asks for it.
const REFRESH_EVERY: Duration = Duration::from_hours(1);
/// When a fetch that nothing asked for is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long a fetch keeps an unknown `kid` from causing another.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The most bytes of a key set.
const LARGEST_KEY_SET: usize = 256 * 1024;
/// The fewest bytes of an RSA modulus: 2048 bits.
const SMALLEST_MODULUS: usize = 256;

type Keys = HashMap<String, DecodingKey>;

/// A key set (RFC 7517), cached. Cheap to clone: clones share the keys.
#[derive(Clone)]
pub(super) struct KeyCache {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    http: reqwest::Client,
    keys: RwLock<Arc<Keys>>,
    last_fetch: Mutex<Option<LastFetch>>,
    /// Whether the keys are fetched hourly.
    is_refreshed: AtomicBool,
}

#[derive(Clone, Copy)]
struct LastFetch {
    began: Instant,
    worked: bool,
}

/// What a look-up of a key finds.
pub(super) enum Lookup {
    /// The key.
    Found(DecodingKey),
    /// The key set has no such key.
    Unknown,
    /// The key set cannot be had, so that nobody can tell.
    Unavailable,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RsaKey {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    public_key_use: Option<String>,
    alg: Option<String>,
    n: String,
    e: String,
}

impl KeyCache {
    /// A cache of the keys at `url`. Begins to fetch them, and fetches them
    /// hourly until the last clone is gone.
    pub fn start(url: String) -> Self {
        let cache = Self::on_demand(url);
        cache.shared.refresh(Duration::ZERO);
        cache
    }

    /// The same, which fetches nothing until a key is looked up.
    pub fn on_demand(url: String) -> Self {
        let mut http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&url) {
            http = http.no_proxy();
        }
        let http = http.build().unwrap_or_default();
        let shared = Arc::new(Shared {
            url,
            http,
            keys: RwLock::default(),
            last_fetch: Mutex::default(),
            is_refreshed: AtomicBool::new(false),
        });
        Self { shared }
    }

    /// The key with an id. An unknown id causes one fetch, which all who ask
    /// meanwhile share, and none within ten seconds of another.
    pub(super) async fn find(&self, kid: &str) -> Lookup {
        if let Some(key) = self.shared.known(kid) {
            return Lookup::Found(key);
        }
        let shared = Arc::clone(&self.shared);
        // A task of its own: a request that goes away does not end the fetch.
        let fetch = async move { shared.fetch_unless_fetched_since(Some(COOL_DOWN)).await };
        let fetch = tokio::spawn(fetch.in_current_span());
        let worked = fetch.await.unwrap_or(false);
        if worked {
            self.shared.refresh(REFRESH_EVERY);
        }
        match self.shared.known(kid) {
            Some(key) => Lookup::Found(key),
            None if worked => Lookup::Unknown,
            None => Lookup::Unavailable,
        }
    }
}

impl Shared {
    /// Fetches the keys after a time and from then on hourly, unless that is
    /// done already.
    fn refresh(self: &Arc<Self>, after: Duration) {
        if self.is_refreshed.swap(true, Ordering::Relaxed) {
            return;
        }
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // A token may have been faster.
            let mut cool_down = Some(COOL_DOWN);
            while let Some(shared) = weak.upgrade() {
                let worked = shared.fetch_unless_fetched_since(cool_down.take()).await;
                drop(shared);
                let pause = if worked {
                    REFRESH_EVERY
                } else {
                    TRY_AGAIN_AFTER
                };
                tokio::time::sleep(pause).await;
            }
        });
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(kid).cloned()
    }

    /// Fetches, unless the last fetch began less than `cool_down` ago. Says
    /// whether the last fetch worked. A fetch that does not keeps the old keys.
    async fn fetch_unless_fetched_since(&self, cool_down: Option<Duration>) -> bool {
        let mut last = self.last_fetch.lock().await;
        if let (Some(last), Some(cool_down)) = (*last, cool_down)
            && last.began.elapsed() < cool_down
        {
            return last.worked;
        }
        let began = Instant::now();
        let worked = match self.fetch().await {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                true
            }
            Err(cause) => {
                tracing::warn!(
                    url = shown(&self.url),
                    cause,
                    "the key set could not be fetched"
                );
                false
            }
        };
        key_fetch(worked);
        *last = Some(LastFetch { began, worked });
        worked
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let mut response = self
            .http
            .get(&self.url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| error.without_url().to_string())?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_KEY_SET {
                return Err(format!("it is larger than {LARGEST_KEY_SET} bytes"));
            }
        }
        let set: KeySet = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let keys: Keys = set.keys.into_iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err("it has no usable key".to_owned());
        }
        Ok(keys)
    }
}

/// A key that can check an RS256 signature. One that cannot does not spoil the
/// others.
fn usable(key: serde_json::Value) -> Option<(String, DecodingKey)> {
    let key: RsaKey = serde_json::from_value(key).ok()?;
    let for_signing = key
        .public_key_use
        .as_deref()
        .is_none_or(|name| name == "sig");
    let for_rs256 = key.alg.as_deref().is_none_or(|name| name == "RS256");
    let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
    let exponent = URL_SAFE_NO_PAD.decode(&key.e).ok()?;
    let large_enough = modulus.len() >= SMALLEST_MODULUS && !exponent.is_empty();
    (key.kty == "RSA" && for_signing && for_rs256 && large_enough).then(|| {
        (
            key.kid,
            DecodingKey::from_rsa_raw_components(&modulus, &exponent),
        )
    })
}
