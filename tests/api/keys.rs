//! The keys of an issuer: fetched over HTTP, rotated, unavailable.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cruddur::auth::{CognitoVerifier, Issuers, TokenError, TokenUse};
use cruddur::dev::{CLIENT_ID, SigningKey};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::wait_until;

/// A key set over HTTP that can change and fail.
struct KeySet {
    url: String,
    keys: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicUsize>,
}

impl KeySet {
    async fn start(keys: Option<Value>) -> Self {
        let keys = Arc::new(Mutex::new(keys));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (Arc::clone(&keys), Arc::clone(&fetches));
        let response = async move || -> Response {
            counted.fetch_add(1, Ordering::SeqCst);
            match served.lock().expect("the keys").clone() {
                Some(keys) => axum::Json(keys).into_response(),
                None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        };
        let router = Router::new().route("/jwks.json", get(response));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url: format!("http://{address}/jwks.json"),
            keys,
            fetches,
        }
    }

    fn set(&self, keys: Option<Value>) {
        *self.keys.lock().expect("the keys") = keys;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn verifier(&self) -> CognitoVerifier {
        verifier(&[(ISSUER, self)])
    }
}

/// Creates a verifier of issuers, each with its own key set.
fn verifier(issuers: &[(&str, &KeySet)]) -> CognitoVerifier {
    let (names, urls): (Vec<_>, Vec<_>) = issuers
        .iter()
        .map(|(name, keys)| ((*name).to_owned(), keys.url.clone()))
        .unzip();
    let issuers = Issuers::named(names).expect("issuers");
    let issuers = issuers.with_jwks_urls(&urls).expect("one for each");
    let clients = HashSet::from([CLIENT_ID.to_owned()]);
    CognitoVerifier::start(&issuers, clients, TokenUse::Access)
}

const ISSUER: &str = "https://issuer.example";

fn key() -> SigningKey {
    SigningKey::generate().expect("a key")
}

fn set_of(keys: &[&SigningKey]) -> Value {
    let keys: Vec<&Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys })
}

fn claims() -> Value {
    let now = now();
    json!({
        "sub": "sub-luu", "iss": ISSUER, "client_id": CLIENT_ID, "token_use": "access",
        "iat": now, "exp": now + 600,
    })
}

fn now() -> i64 {
    cruddur::clock::Clock::system().now().timestamp()
}

fn token(key: &SigningKey) -> String {
    token_of(ISSUER, key)
}

fn token_of(issuer: &str, key: &SigningKey) -> String {
    let mut claims = claims();
    claims["iss"] = json!(issuer);
    key.sign(&claims).expect("a token")
}

/// Advances the paused clock to the end of the ten seconds after a fetch in which an unknown key
/// causes no other fetch, and resumes the clock.
async fn end_cool_down() {
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn rotated_key_is_accepted_without_a_restart() {
    let (old, new) = (key(), key());
    let served = KeySet::start(Some(set_of(&[&old]))).await;
    let verifier = served.verifier();
    verifier.verify(&token(&old)).await.expect("the old key");

    tokio::time::pause();
    served.set(Some(set_of(&[&old, &new])));
    let early = verifier.verify(&token(&new)).await;
    assert_eq!(early, Err(TokenError::Invalid));
    end_cool_down().await;
    verifier.verify(&token(&new)).await.expect("the new key");
    verifier.verify(&token(&old)).await.expect("the old key");
    assert_eq!(served.fetches(), 2);
}

#[tokio::test]
async fn verified_token_is_rejected_once_its_key_is_removed() {
    let (old, new) = (key(), key());
    let served = KeySet::start(Some(set_of(&[&old]))).await;
    let verifier = served.verifier();
    let token_of_old = token(&old);
    for _ in 0..2 {
        let caller = verifier.verify(&token_of_old).await;
        caller.expect("the old key");
    }

    served.set(Some(set_of(&[&new])));
    tokio::time::pause();
    end_cool_down().await;
    verifier.verify(&token(&new)).await.expect("the new key");
    let rejected = verifier.verify(&token_of_old).await;
    assert_eq!(rejected, Err(TokenError::Invalid));
}

#[tokio::test]
async fn verified_token_is_rejected_once_it_expires() {
    let key = key();
    let served = KeySet::start(Some(set_of(&[&key]))).await;
    let verifier = served.verifier();
    verifier.verify(&token(&key)).await.expect("a known key");
    let mut claims = claims();
    let expires_at = now() + 5;
    claims["exp"] = json!(expires_at);
    let token = key.sign(&claims).expect("a token");
    verifier.verify(&token).await.expect("it has not expired");

    wait_until("the token is rejected", async || {
        let before = now();
        let is_rejected = verifier.verify(&token).await.is_err();
        assert!(is_rejected || before < expires_at, "it has expired");
        is_rejected
    })
    .await;
    assert!(now() >= expires_at, "it was rejected before it expired");
}

#[tokio::test]
async fn changed_token_is_rejected_after_the_original_was_verified() {
    let (key, other) = (key(), key());
    let served = KeySet::start(Some(set_of(&[&key, &other]))).await;
    let verifier = served.verifier();
    let original = token(&key);
    verifier.verify(&original).await.expect("a known key");

    let part = |token: &str, index| token.split('.').nth(index).unwrap_or_default().to_owned();
    let mut claims = claims();
    claims["sub"] = json!("sub-unamused");
    let of_other_user = key.sign(&claims).expect("a token");
    let of_other_key = token(&other);
    let [header, body, signature] = [0, 1, 2].map(|index| part(&original, index));
    for changed in [
        format!("{header}.{}.{signature}", part(&of_other_user, 1)),
        format!("{header}.{body}.{}", part(&of_other_key, 2)),
        format!("{}.{body}.{signature}", part(&of_other_key, 0)),
        format!("{header}.{body}."),
    ] {
        let rejected = verifier.verify(&changed).await;
        assert_eq!(rejected, Err(TokenError::Invalid), "{changed}");
    }
    verifier.verify(&original).await.expect("a known key");
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_and_a_failed_fetch_keeps_the_keys() {
    let known = key();
    let served = KeySet::start(Some(set_of(&[&known]))).await;
    let verifier = served.verifier();
    verifier.verify(&token(&known)).await.expect("a known key");
    assert_eq!(served.fetches(), 1);
    served.set(None);

    // The signatures are not checked.
    let good = token(&known);
    let (_, rest) = good.split_once('.').expect("a token");
    let strange = (0..1000).map(|number| {
        let header = json!({ "alg": "RS256", "kid": format!("unknown-{number}") });
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
    });
    let strange: Vec<String> = strange.collect();
    let flood = async || {
        let rejected = join_all(strange.iter().map(|token| verifier.verify(token))).await;
        let rejected: HashSet<String> = rejected
            .into_iter()
            .map(|rejected| format!("{:?}", rejected.map(drop)))
            .collect();
        Vec::from_iter(rejected)
    };
    tokio::time::pause();
    assert_eq!(flood().await, ["Err(Invalid)"]);
    assert_eq!(served.fetches(), 1);
    end_cool_down().await;
    // The fetch fails, so it is unknown whether the key exists.
    let unknown = verifier.verify(&strange[0]).await;
    assert_eq!(unknown, Err(TokenError::KeysUnavailable));
    tokio::time::pause();
    assert_eq!(flood().await, ["Err(KeysUnavailable)"]);
    assert_eq!(served.fetches(), 2);
    verifier.verify(&token(&known)).await.expect("a known key");
}

#[tokio::test]
async fn keys_that_are_unavailable_at_startup_are_fetched_later() {
    let key = key();
    let served = KeySet::start(None).await;
    let verifier = served.verifier();
    let token = token(&key);
    let rejected = verifier.verify(&token).await;
    assert!(matches!(rejected, Err(TokenError::KeysUnavailable)));

    served.set(Some(set_of(&[&key])));
    wait_until("the keys are fetched again", async || {
        verifier.verify(&token).await.is_ok()
    })
    .await;

    // When the keys are cached, the issuer is not needed.
    served.set(None);
    verifier.verify(&token).await.expect("a known key");
}

#[tokio::test]
async fn key_that_is_not_for_rs256_signatures_is_ignored() {
    let (key, good) = (key(), key());
    for (member, value) in [
        ("use", json!("enc")),
        ("alg", json!("RS512")),
        ("kty", json!("EC")),
        ("kty", json!("oct")),
        ("n", json!("AQAB")),
        ("e", json!("")),
        ("kid", json!("another")),
    ] {
        let mut jwk = key.jwk().clone();
        jwk[member] = value.clone();
        let keys = json!({ "keys": [jwk, "nonsense", {}, good.jwk()] });
        let verifier = KeySet::start(Some(keys)).await.verifier();
        let rejected = verifier.verify(&token(&key)).await;
        assert!(
            matches!(rejected, Err(TokenError::Invalid)),
            "{member}: {value}"
        );
        let taken = verifier.verify(&token(&good)).await;
        taken.expect("the good key of the same set");
    }
}

#[tokio::test]
async fn issuer_with_unreachable_keys_does_not_affect_other_issuers() {
    const REPLICA: &str = "https://replica.example";
    let (own, replica) = (key(), key());
    for is_replica_down in [false, true] {
        let own_set = KeySet::start((is_replica_down).then(|| set_of(&[&own]))).await;
        let replica_set = KeySet::start((!is_replica_down).then(|| set_of(&[&replica]))).await;
        let verifier = verifier(&[(ISSUER, &own_set), (REPLICA, &replica_set)]);
        let own = verifier.verify(&token(&own)).await;
        let replica = verifier.verify(&token_of(REPLICA, &replica)).await;
        let (up, down) = if is_replica_down {
            (own, replica)
        } else {
            (replica, own)
        };
        up.expect("its keys are known");
        assert_eq!(down, Err(TokenError::KeysUnavailable));
    }
}

#[tokio::test]
async fn keys_of_one_issuer_do_not_sign_tokens_of_another() {
    const REPLICA: &str = "https://replica.example";
    let (own, replica) = (key(), key());
    let own_set = KeySet::start(Some(set_of(&[&own]))).await;
    let replica_set = KeySet::start(Some(set_of(&[&replica]))).await;
    let verifier = verifier(&[(ISSUER, &own_set), (REPLICA, &replica_set)]);
    for (issuer, key, is_valid) in [
        (ISSUER, &own, true),
        (REPLICA, &replica, true),
        (ISSUER, &replica, false),
        (REPLICA, &own, false),
        ("https://third.example", &own, false),
    ] {
        let caller = verifier.verify(&token_of(issuer, key)).await;
        assert_eq!(caller.is_ok(), is_valid, "{issuer}");
        if !is_valid {
            assert_eq!(caller, Err(TokenError::Invalid), "{issuer}");
        }
    }
}
