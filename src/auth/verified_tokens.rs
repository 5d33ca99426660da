//! The cache of verified tokens.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{self, SHA256};
use chrono::{DateTime, Utc};
use jsonwebtoken::DecodingKey;
use moka::Expiry;
use moka::sync::Cache;

use super::Caller;
use crate::clock::Clock;

/// Maximum size of the cache in bytes. This is enough for more than 25,000
/// tokens.
const CAPACITY: u64 = 8 * 1024 * 1024;
/// Approximate size of an entry in bytes, without the `sub`.
const BYTES_OF_ENTRY: usize = 256;

/// The keys of a key set by their IDs.
pub(super) type Keys = HashMap<String, DecodingKey>;

/// Tokens that passed all checks, by their SHA-256.
///
/// An entry ends when the token expires, and when its issuer's key set is
/// fetched again, because the new set may no longer contain the token's key.
/// All other checks depend only on the token and on the verifier's
/// configuration, so their result does not change.
///
/// Cloning is cheap: all clones share the entries.
#[derive(Clone)]
pub(super) struct VerifiedTokens {
    tokens: Cache<TokenDigest, VerifiedToken>,
}

type TokenDigest = [u8; 32];

#[derive(Clone)]
struct VerifiedToken {
    sub: String,
    expires_at: DateTime<Utc>,
    /// The key set that contained the token's key. The `KeyCache` has the only
    /// lasting reference to it, until it fetches the next set.
    keys: Weak<Keys>,
}

/// Removes a token from the cache when it expires.
struct ExpireWithToken(Clock);

impl Expiry<TokenDigest, VerifiedToken> for ExpireWithToken {
    fn expire_after_create(
        &self,
        _digest: &TokenDigest,
        token: &VerifiedToken,
        _created_at: Instant,
    ) -> Option<Duration> {
        let left = token.expires_at - self.0.now();
        Some(left.to_std().unwrap_or_default())
    }
}

impl VerifiedTokens {
    pub fn new(clock: Clock) -> Self {
        let tokens = Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, token: &VerifiedToken| {
                u32::try_from(BYTES_OF_ENTRY + token.sub.len()).unwrap_or(u32::MAX)
            })
            .expire_after(ExpireWithToken(clock));
        Self {
            tokens: tokens.build(),
        }
    }

    /// Returns the caller of a token that was verified before and has not
    /// expired.
    pub fn find(&self, token: &str, now: DateTime<Utc>) -> Option<Caller> {
        let VerifiedToken {
            sub,
            expires_at,
            keys,
        } = self.tokens.get(&digest(token))?;
        let is_valid = now < expires_at && keys.strong_count() > 0;
        is_valid.then_some(Caller::SignedIn { sub, expires_at })
    }

    /// Adds a token that was verified with a key of `keys`.
    pub fn insert(&self, token: &str, caller: &Caller, keys: Weak<Keys>) {
        if let Caller::SignedIn { sub, expires_at } = caller {
            let verified = VerifiedToken {
                sub: sub.clone(),
                expires_at: *expires_at,
                keys,
            };
            self.tokens.insert(digest(token), verified);
        }
    }
}

fn digest(token: &str) -> TokenDigest {
    let mut bytes = TokenDigest::default();
    bytes.copy_from_slice(digest::digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::*;

    const TOKEN: &str = "header.claims.signature";

    fn now() -> DateTime<Utc> {
        "2026-11-22T06:29:00Z".parse().expect("a time")
    }

    fn caller() -> Caller {
        Caller::SignedIn {
            sub: "sub-luu".to_owned(),
            expires_at: now() + TimeDelta::minutes(5),
        }
    }

    /// Returns a cache that contains the token, and the key set.
    fn cache() -> (VerifiedTokens, Arc<Keys>) {
        let (cache, keys) = (VerifiedTokens::new(Clock::new(now)), Arc::default());
        cache.insert(TOKEN, &caller(), Arc::downgrade(&keys));
        (cache, keys)
    }

    #[test]
    fn verified_token_is_found_until_it_expires() {
        let (cache, _keys) = cache();
        for (seconds, is_found) in [(0, true), (299, true), (300, false), (301, false)] {
            let found = cache.find(TOKEN, now() + TimeDelta::seconds(seconds));
            assert_eq!(found, is_found.then(caller), "after {seconds} s");
        }
    }

    #[test]
    fn verified_token_is_not_found_after_its_key_set_is_replaced() {
        let (cache, keys) = cache();
        assert_eq!(cache.find(TOKEN, now()), Some(caller()));
        drop(keys);
        assert_eq!(cache.find(TOKEN, now()), None);
    }

    #[test]
    fn changed_token_is_not_found() {
        let (cache, _keys) = cache();
        for position in 0..TOKEN.len() {
            let mut changed = TOKEN.to_owned();
            changed.replace_range(position..=position, "X");
            assert_eq!(cache.find(&changed, now()), None, "{changed}");
        }
        assert_eq!(cache.find("", now()), None);
    }

    #[test]
    fn verified_tokens_are_bounded_in_bytes() {
        let (cache, keys) = (VerifiedTokens::new(Clock::new(now)), Arc::default());
        let long = Caller::SignedIn {
            sub: "s".repeat(16 * 1024),
            expires_at: now() + TimeDelta::minutes(5),
        };
        for number in 0..2000 {
            cache.insert(&format!("token {number}"), &long, Arc::downgrade(&keys));
        }
        cache.tokens.run_pending_tasks();
        let (entries, bytes) = (cache.tokens.entry_count(), cache.tokens.weighted_size());
        assert!(bytes <= CAPACITY, "{bytes}");
        assert!((400..=504).contains(&entries), "{entries}");
    }
}
