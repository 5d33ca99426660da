//! The check of a token, after `awslabs/aws-jwt-verify`: what is accepted has
//! to be said when a verifier is made.

use std::collections::HashSet;

use chrono::DateTime;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use super::key_cache::Lookup;
use super::{Caller, Issuers, KeyCache};

/// The longest token that is looked at, in bytes.
const LONGEST_TOKEN: usize = 8 * 1024;

/// Which of Cognito's tokens are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenUse {
    /// Access tokens: `client_id` says for whom.
    Access,
    /// Id tokens: `aud` says for whom.
    Id,
    /// Both.
    Any,
}

/// Why there is no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is not one of ours, or not any more.
    #[error("the token is not valid")]
    Invalid,
    /// The keys cannot be had, so that nobody can tell.
    #[error("the token cannot be checked: its issuer's keys are out of reach")]
    KeysUnavailable,
}

/// Checks Cognito's tokens.
#[derive(Clone)]
pub struct CognitoVerifier {
    keys: KeyCache,
    validation: Validation,
    clients: HashSet<String>,
    token_use: TokenUse,
}

/// What we read of a token. `iss` is a `String` here because the library takes
/// a list of issuers, or a number, as good as none.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[expect(dead_code, reason = "its type is the check")]
    iss: String,
    exp: f64,
    token_use: String,
    client_id: Option<String>,
    aud: Option<serde_json::Value>,
}

impl CognitoVerifier {
    /// A verifier of the tokens that these issuers made for these clients.
    #[must_use]
    pub fn new(
        issuers: &Issuers,
        keys: KeyCache,
        clients: HashSet<String>,
        token_use: TokenUse,
    ) -> Self {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&issuers.accepted);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.validate_nbf = true;
        // An access token has no `aud`; an id token's is checked below, where
        // it is known which of the two it is.
        validation.validate_aud = false;
        validation.leeway = 0;
        // RFC 7519, 4.1.4: not accepted on or after `exp`.
        validation.reject_tokens_expiring_in_less_than = 1;
        Self {
            keys,
            validation,
            clients,
            token_use,
        }
    }

    /// The caller that a token is good for.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::Invalid);
        }
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        let kid = header
            .kid
            .filter(|_| header.alg == Algorithm::RS256 && header.crit.is_none());
        let key = match self.keys.find(&kid.ok_or(TokenError::Invalid)?).await {
            Lookup::Found(key) => key,
            Lookup::Unknown => return Err(TokenError::Invalid),
            Lookup::Unavailable => return Err(TokenError::KeysUnavailable),
        };
        let claims = decode::<Claims>(token, &key, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.sub.is_empty() || !self.is_for_us(&claims) {
            return Err(TokenError::Invalid);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a number too large is the largest"
        )]
        let expires_at = DateTime::from_timestamp(claims.exp as i64, 0)
            .unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
        Ok(Caller::SignedIn {
            sub: claims.sub,
            expires_at,
        })
    }

    fn is_for_us(&self, claims: &Claims) -> bool {
        let client = match (claims.token_use.as_str(), self.token_use) {
            ("access", TokenUse::Access | TokenUse::Any) => claims.client_id.as_deref(),
            ("id", TokenUse::Id | TokenUse::Any) => {
                claims.aud.as_ref().and_then(|aud| aud.as_str())
            }
            _ => None,
        };
        client.is_some_and(|client| self.clients.contains(client))
    }
}
