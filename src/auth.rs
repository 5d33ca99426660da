//! Authentication of callers: verification of Amazon Cognito's JSON Web Tokens
//! against the keys of their issuer.

mod issuer;
mod key_cache;
mod rejection;
mod verified_tokens;
mod verifier;

use chrono::{DateTime, Utc};

pub use issuer::{InvalidPoolId, IssuerUrl, Issuers, TrustedIssuer, UserPoolId, WrongJwksUrls};
use key_cache::KeyCache;
pub use verifier::{CognitoVerifier, MAX_TOKEN_BYTES, TokenError, TokenUse};

/// The identity that a request's token states.
///
/// An invalid token is an error, never a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The request had no token.
    Anonymous,
    /// The request had a valid token.
    SignedIn {
        /// The token's `sub`: the Cognito ID of the user.
        sub: String,
        /// The token's `exp`.
        expires_at: DateTime<Utc>,
    },
}
