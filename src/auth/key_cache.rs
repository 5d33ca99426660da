//! The cache of public keys that verify tokens, fetched over HTTP.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use super::verified_tokens::Keys;
use crate::http_url::shown;
use crate::loopback::is_loopback;
use crate::telemetry::metrics::key_fetch;

/// Interval between two scheduled fetches of the keys. A key that the issuer has
/// removed is accepted for about this long.
const REFRESH_EVERY: Duration = Duration::from_hours(1);
/// Delay before a failed scheduled fetch is retried. It is short because tokens
/// cannot be verified without keys.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Minimum time between a fetch and the next fetch that an unknown `kid`
/// causes, because clients could otherwise cause any number of fetches.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// Timeout of a fetch, for which requests with an unknown `kid` wait.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum size of a key set in bytes, which bounds the memory. Cognito's key
/// sets have about a kilobyte.
const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// Minimum size of an RSA modulus in bytes: 2048 bits (RFC 7518, section 3.3).
const MIN_MODULUS_BYTES: usize = 256;

/// A cached key set (RFC 7517).
pub(super) struct KeyCache {
    url: String,
    http: reqwest::Client,
    keys: RwLock<Arc<Keys>>,
    /// When the last fetch began, and whether it succeeded.
    last_fetch: Mutex<Option<(Instant, bool)>>,
    /// Whether the task that fetches the keys every hour was started.
    is_refreshed: AtomicBool,
}

/// The key set cannot be fetched, so it is unknown whether a key exists.
pub(super) struct KeysUnavailable;

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl KeyCache {
    /// Creates a cache of the keys at `url` and starts to fetch them.
    ///
    /// The keys are fetched every hour until the last reference is dropped.
    pub fn start(url: String) -> Arc<Self> {
        let cache = Self::on_demand(url);
        cache.refresh(Duration::ZERO);
        cache
    }

    /// Creates a cache that fetches nothing until the first lookup.
    pub fn on_demand(url: String) -> Arc<Self> {
        let mut http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&url) {
            http = http.no_proxy();
        }
        let http = http.build().unwrap_or_default();
        Arc::new(Self {
            url,
            http,
            keys: RwLock::default(),
            last_fetch: Mutex::default(),
            is_refreshed: AtomicBool::new(false),
        })
    }

    /// Returns the key with this ID, and the key set that contains it, which is
    /// dropped when the next one is fetched.
    ///
    /// An unknown ID causes one fetch, which all concurrent lookups share.
    /// There is no such fetch within ten seconds of another fetch.
    pub(super) async fn find(
        self: &Arc<Self>,
        kid: &str,
    ) -> Result<Option<(DecodingKey, Weak<Keys>)>, KeysUnavailable> {
        if let Some(found) = self.known(kid) {
            return Ok(Some(found));
        }
        let shared = Arc::clone(self);
        // The fetch runs in its own task, so that a cancelled request does not
        // cancel it.
        let fetch = async move { shared.fetch_unless_fetched_since(Some(COOL_DOWN)).await };
        let fetch = tokio::spawn(fetch.in_current_span());
        let worked = fetch.await.unwrap_or(false);
        if worked {
            self.refresh(REFRESH_EVERY);
        }
        match self.known(kid) {
            None if !worked => Err(KeysUnavailable),
            found => Ok(found),
        }
    }

    /// Starts a task that fetches the keys after `after` and then every hour.
    ///
    /// Does nothing if the task was started before.
    fn refresh(self: &Arc<Self>, after: Duration) {
        if self.is_refreshed.swap(true, Ordering::Relaxed) {
            return;
        }
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // A lookup may have fetched the keys before the task's first fetch.
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

    fn known(&self, kid: &str) -> Option<(DecodingKey, Weak<Keys>)> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(kid)?.clone();
        Some((key, Arc::downgrade(&keys)))
    }

    /// Fetches the keys, unless the last fetch began less than `cool_down` ago.
    ///
    /// Returns whether the last fetch succeeded. A failed fetch keeps the old
    /// keys.
    async fn fetch_unless_fetched_since(&self, cool_down: Option<Duration>) -> bool {
        let mut last = self.last_fetch.lock().await;
        if let (Some((began, worked)), Some(cool_down)) = (*last, cool_down)
            && began.elapsed() < cool_down
        {
            return worked;
        }
        let began = Instant::now();
        let worked = match self.fetch().await {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                true
            }
            Err(cause) => {
                tracing::warn!(url = shown(&self.url), cause, "cannot fetch the key set");
                false
            }
        };
        key_fetch(worked);
        *last = Some((began, worked));
        worked
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let response = self.http.get(&self.url).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(|error| error.without_url().to_string())?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_KEY_SET_BYTES {
                return Err(format!("it is larger than {MAX_KEY_SET_BYTES} bytes"));
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

/// Returns the key and its ID if it can verify an RS256 signature.
///
/// An unusable key does not invalidate the other keys of the set.
fn usable(key: serde_json::Value) -> Option<(String, DecodingKey)> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let AlgorithmParameters::RSA(rsa) = &key.algorithm else {
        return None;
    };
    let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
    let large_enough = modulus.len() >= MIN_MODULUS_BYTES && !rsa.e.is_empty();
    let for_rs256 = matches!(key.common.key_algorithm, None | Some(KeyAlgorithm::RS256));
    let for_signing = matches!(
        key.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    );
    let decoding_key = DecodingKey::from_jwk(&key).ok()?;
    let id = key.common.key_id?;
    (for_signing && for_rs256 && large_enough).then_some((id, decoding_key))
}
