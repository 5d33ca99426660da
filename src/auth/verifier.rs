//! The verification of tokens, with an interface modelled on
//! `awslabs/aws-jwt-verify`: a verifier cannot be created without stating which
//! tokens it accepts.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Validation, decode};
use serde::Deserialize;
use serde_json::Value;

use super::key_cache::KeysUnavailable;
use super::rejection::{TokenRejection, kind, shown_issuer, shown_name};
use super::verified_tokens::{Keys, VerifiedTokens};
use super::{Caller, Issuers, KeyCache};
use crate::clock::Clock;

/// The longest token that is accepted, in bytes.
///
/// It equals the limit for the head of a request. The token of a user in a
/// hundred groups has 12 kB.
pub const MAX_TOKEN_BYTES: usize = 32 * 1024;

/// The kinds of Cognito token that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenUse {
    /// Access tokens: the client is the `client_id` claim.
    Access,
    /// ID tokens: the client is the `aud` claim.
    Id,
    /// Access tokens and ID tokens.
    Any,
}

/// The reason for which a token does not yield a caller. The text is for clients: all rejected
/// tokens have the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token was not issued by a trusted issuer, is not valid for this
    /// server, or has expired. The log has the reason at level debug.
    #[error("The access token is not valid. Sign in again.")]
    Invalid,
    /// The token is longer than [`MAX_TOKEN_BYTES`].
    #[error("The access token exceeds the limit of {MAX_TOKEN_BYTES} bytes.")]
    TooLong,
    /// The issuer's keys cannot be fetched, so the token cannot be verified.
    #[error("The access token cannot be verified right now. Try again.")]
    KeysUnavailable,
}

impl From<TokenRejection> for TokenError {
    /// Logs the reason for which a token is not accepted. The response does not contain it.
    fn from(
        TokenRejection {
            check,
            expected,
            found,
        }: TokenRejection,
    ) -> Self {
        tracing::debug!(check, expected, found, "a token was rejected");
        Self::Invalid
    }
}

/// Verifies Cognito's tokens.
#[derive(Clone)]
pub struct CognitoVerifier {
    issuers: Arc<[VerifiedIssuer]>,
    clients: HashSet<String>,
    token_use: TokenUse,
    verified: VerifiedTokens,
    clock: Clock,
}

/// A trusted issuer with its own keys.
struct VerifiedIssuer {
    name: String,
    keys: Arc<KeyCache>,
    validation: Validation,
}

/// The claims that are read.
///
/// `iss` is a `String` here because `jsonwebtoken` accepts a token without an
/// issuer check if `iss` is a list or a number.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[expect(
        dead_code,
        reason = "the field is only deserialized, to reject an `iss` that is not a string"
    )]
    iss: String,
    exp: f64,
    token_use: String,
    client_id: Option<String>,
    aud: Option<Value>,
}

impl CognitoVerifier {
    /// Creates a verifier for tokens of these issuers and clients, and starts
    /// to fetch the issuers' keys.
    pub fn start(issuers: &Issuers, clients: HashSet<String>, token_use: TokenUse) -> Self {
        // Issuers with the same key set share one cache.
        let mut caches: HashMap<&str, Arc<KeyCache>> = HashMap::new();
        let issuers = issuers.iter().map(|issuer| {
            let keys = caches.entry(&issuer.jwks_url).or_insert_with(|| {
                let url = issuer.jwks_url.clone();
                if issuer.on_demand {
                    KeyCache::on_demand(url)
                } else {
                    KeyCache::start(url)
                }
            });
            VerifiedIssuer {
                name: issuer.name.clone(),
                keys: Arc::clone(keys),
                validation: validation(&issuer.name),
            }
        });
        let clock = Clock::system();
        Self {
            issuers: issuers.collect(),
            clients,
            token_use,
            verified: VerifiedTokens::new(clock.clone()),
            clock,
        }
    }

    /// Verifies a token and returns its caller.
    ///
    /// The result is cached until the token expires or its issuer's keys are
    /// fetched again.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        if let Some(caller) = self.verified.find(token, self.clock.now()) {
            return Ok(caller);
        }
        let (caller, keys) = self.checked(token).await?;
        self.verified.insert(token, &caller, keys);
        Ok(caller)
    }

    /// Returns the caller, and the key set that contains the token's key.
    async fn checked(&self, token: &str) -> Result<(Caller, Weak<Keys>), TokenError> {
        let (kid, claims) = unverified(token)?;
        let issuer = self.issuer(&claims["iss"])?;
        let found = issuer.keys.find(&kid).await;
        let found = found.map_err(|KeysUnavailable| TokenError::KeysUnavailable)?;
        let (key, keys) = found.ok_or_else(|| {
            let expected = format!("a key of {}", issuer.name);
            TokenRejection::new("kid", expected, shown_name(&kid.into()))
        })?;
        let verified = decode::<Claims>(token, &key, &issuer.validation).map_err(|error| {
            TokenRejection::of(error.kind(), &claims, self.clock.now().timestamp())
        })?;
        let verified = verified.claims;
        if verified.sub.is_empty() {
            return Err(TokenRejection::new("sub", "a string", "an empty string").into());
        }
        self.check_client(&verified)?;
        let caller = Caller::SignedIn {
            sub: verified.sub,
            expires_at: end(verified.exp),
        };
        Ok((caller, keys))
    }

    fn issuer(&self, name: &Value) -> Result<&VerifiedIssuer, TokenRejection> {
        let mut issuers = self.issuers.iter();
        let issuer = issuers.find(|issuer| name == issuer.name.as_str());
        issuer.ok_or_else(|| {
            let names: Vec<&str> = self.issuers.iter().map(|issuer| &*issuer.name).collect();
            TokenRejection::new("iss", names.join(" or "), shown_issuer(name))
        })
    }

    /// Checks that the token is of an accepted kind and was issued for one of
    /// the clients.
    fn check_client(&self, claims: &Claims) -> Result<(), TokenRejection> {
        let (name, client) = match (claims.token_use.as_str(), self.token_use) {
            ("access", TokenUse::Access | TokenUse::Any) => {
                ("client_id", claims.client_id.clone().map(Value::from))
            }
            ("id", TokenUse::Id | TokenUse::Any) => ("aud", claims.aud.clone()),
            (found, expected) => {
                let expected = match expected {
                    TokenUse::Access => "access",
                    TokenUse::Id => "id",
                    TokenUse::Any => "access or id",
                };
                let found = shown_name(&found.into());
                return Err(TokenRejection::new("token_use", expected, found));
            }
        };
        let client = client.unwrap_or_default();
        let is_accepted = |client: &str| self.clients.contains(client);
        if client.as_str().is_some_and(is_accepted) {
            return Ok(());
        }
        let mut clients: Vec<&str> = self.clients.iter().map(String::as_str).collect();
        clients.sort_unstable();
        Err(TokenRejection::new(
            name,
            clients.join(" or "),
            shown_name(&client),
        ))
    }
}

fn validation(issuer: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
    validation.validate_nbf = true;
    // An access token has no `aud` claim. The `aud` claim of an ID token is
    // checked in `check_client`, which distinguishes the two kinds.
    validation.validate_aud = false;
    validation.leeway = 0;
    // RFC 7519, section 4.1.4: a token must not be accepted on or after `exp`.
    validation.reject_tokens_expiring_in_less_than = 1;
    validation
}

/// Decodes the key ID and the claims of a token without verifying it.
///
/// Only the key ID and the issuer, which select the key, may be used before the
/// signature is verified.
fn unverified(token: &str) -> Result<(String, Value), TokenRejection> {
    let parts: Vec<&str> = token.split('.').take(4).collect();
    let [header, claims, _signature] = parts[..] else {
        let found = format!("{} parts", token.split('.').count());
        return Err(TokenRejection::new("format", "three parts", found));
    };
    let header = object("header", header)?;
    let claims = object("claims", claims)?;
    if header["alg"] != "RS256" {
        return Err(TokenRejection::new(
            "alg",
            "RS256",
            shown_name(&header["alg"]),
        ));
    }
    if let Some(crit) = header.get("crit") {
        return Err(TokenRejection::new("crit", "no value", kind(crit)));
    }
    match &header["kid"] {
        Value::String(kid) => Ok((kid.clone(), claims)),
        other => Err(TokenRejection::new("kid", "a string", kind(other))),
    }
}

/// Decodes one part of a token, which must be a JSON object.
fn object(name: &'static str, part: &str) -> Result<Value, TokenRejection> {
    let rejected = |found| TokenRejection::new(name, "a JSON object in base64url", found);
    let text = URL_SAFE_NO_PAD.decode(part);
    let text = text.map_err(|_| rejected("another encoding"))?;
    match serde_json::from_slice(&text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(other) => Err(rejected(kind(&other))),
        Err(_) => Err(rejected("no JSON")),
    }
}

/// Converts the `exp` claim to a time.
fn end(exp: f64) -> DateTime<Utc> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number that is too large becomes the largest i64"
    )]
    let end = DateTime::from_timestamp(exp as i64, 0);
    end.unwrap_or(DateTime::<Utc>::MAX_UTC)
}
