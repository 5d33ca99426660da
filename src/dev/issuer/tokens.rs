//! The tokens of the local issuer.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache;
use serde_json::{Value, json};
use uuid::Uuid;

use super::signing_key::SigningKey;
use crate::clock::Clock;
use crate::dev::DevResult;
use crate::store::UserStore;

/// The ID of the app client for which tokens are issued.
pub const CLIENT_ID: &str = "cruddur-dev";
/// The ID of the simulated user pool.
pub(super) const POOL: &str = "local-dev-1_Cruddur";
/// The default lifetime of a token: long enough for a day of development.
pub const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// How long an authorization code is valid, as with Cognito. A page redeems it at once.
const CODE_FOR: Duration = Duration::from_mins(5);
/// Maximum number of unused authorization codes, which bounds the memory.
const MAX_CODES: u64 = 1000;

/// A token issuer. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    pub(super) shared: Arc<IssuerState>,
}

pub(super) struct IssuerState {
    pub key: SigningKey,
    pub root: String,
    pub url: String,
    pub users: UserStore,
    pub clock: Clock,
    pub lifetime: TimeDelta,
    /// The unused authorization codes.
    pub codes: Cache<String, Arc<AuthorizedUser>>,
}

/// The user who signed in for an authorization code, and what the code is bound to.
pub(super) struct AuthorizedUser {
    pub sub: String,
    pub redirect_uri: String,
    pub code_challenge: String,
    pub nonce: Option<String>,
}

impl Issuer {
    /// Creates an issuer whose base URL is `root`, such as `http://localhost:4001`, and whose
    /// tokens have this lifetime.
    pub fn new(
        key: SigningKey,
        root: &str,
        users: UserStore,
        clock: Clock,
        lifetime: TimeDelta,
    ) -> Self {
        let root = root.trim_end_matches('/').to_owned();
        let codes = Cache::builder().max_capacity(MAX_CODES);
        let shared = IssuerState {
            key,
            url: format!("{root}/{POOL}"),
            root,
            users,
            clock,
            lifetime,
            codes: codes.time_to_live(CODE_FOR).build(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the `iss` claim of the tokens.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Returns the base URL of the endpoints.
    pub fn root(&self) -> &str {
        &self.shared.root
    }

    /// Returns the claims of an access token for a Cognito ID, with the same claims as Cognito's.
    pub fn claims(&self, sub: &str) -> Value {
        let now: DateTime<Utc> = self.shared.clock.now();
        json!({
            "sub": sub,
            "iss": self.shared.url,
            "client_id": CLIENT_ID,
            "origin_jti": Uuid::new_v4(),
            "event_id": Uuid::new_v4(),
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "auth_time": now.timestamp(),
            "exp": (now + self.shared.lifetime).timestamp(),
            "iat": now.timestamp(),
            "jti": Uuid::new_v4(),
            "username": sub,
        })
    }

    /// Returns an access token for a Cognito ID.
    pub fn token(&self, sub: &str) -> DevResult<String> {
        self.sign(&self.claims(sub))
    }

    /// Returns a token with any claims.
    pub fn sign(&self, claims: &Value) -> DevResult<String> {
        self.shared.key.sign(claims)
    }

    /// Returns the signing key.
    pub fn key(&self) -> &SigningKey {
        &self.shared.key
    }

    /// Returns the tokens of a user who has just signed in: the same members as Cognito's response.
    pub(super) fn tokens(&self, sub: &str, nonce: Option<&str>) -> DevResult<Value> {
        self.tokens_of(&self.claims(sub), nonce)
    }

    /// Returns new tokens for a refresh token, or `None` if it is not one of this issuer.
    pub(super) fn renewed(&self, token: &str) -> Option<DevResult<Value>> {
        let refresh = self.key().verify(token)?;
        if refresh["token_use"] != "refresh" || refresh["iss"] != self.url() {
            return None;
        }
        let mut access = self.claims(refresh["sub"].as_str()?);
        // The time of the sign-in does not change: clients check it.
        access["auth_time"] = refresh["auth_time"].clone();
        Some(self.tokens_of(&access, None))
    }

    fn tokens_of(&self, access: &Value, nonce: Option<&str>) -> DevResult<Value> {
        let (sub, auth_time) = (&access["sub"], &access["auth_time"]);
        let id = json!({
            "sub": sub,
            "iss": self.url(),
            "aud": CLIENT_ID,
            "token_use": "id",
            "auth_time": auth_time,
            "iat": access["iat"],
            "exp": access["exp"],
            "nonce": nonce,
            "cognito:username": sub,
        });
        let refresh = json!({
            "sub": sub,
            "iss": self.url(),
            "token_use": "refresh",
            "auth_time": auth_time,
        });
        Ok(json!({
            "access_token": self.sign(access)?,
            "id_token": self.sign(&id)?,
            "refresh_token": self.sign(&refresh)?,
            "token_type": "Bearer",
            "expires_in": self.shared.lifetime.num_seconds(),
        }))
    }
}
