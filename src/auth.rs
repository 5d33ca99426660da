//! Who a request says it is: Cognito's tokens, checked against its keys.

mod issuer;
mod key_cache;
mod rejection;
mod verifier;

use chrono::{DateTime, Utc};

pub use issuer::{InvalidPoolId, IssuerUrl, Issuers, TrustedIssuer, UserPoolId, WrongJwksUrls};
use key_cache::KeyCache;
pub use verifier::{CognitoVerifier, LONGEST_TOKEN, TokenError, TokenUse};

/// Who a request says it is. A bad token is an error and never a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// There was no token.
    Anonymous,
    /// There was a good token.
    SignedIn {
        /// The token's `sub`: the Cognito id of the user.
        sub: String,
        /// The token's `exp`.
        expires_at: DateTime<Utc>,
    },
}
