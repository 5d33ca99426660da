//! Authorization codes.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use uuid::Uuid;

/// How long an authorization code is valid, as with Cognito. A page redeems it at once.
const CODE_FOR: Duration = Duration::from_mins(5);
/// Maximum number of unused authorization codes, which bounds the memory.
const MAX_CODES: u64 = 1000;

/// The user who signed in for an authorization code, and what the code is bound to.
pub(super) struct AuthorizedUser {
    pub sub: String,
    pub redirect_uri: String,
    pub code_challenge: String,
    pub nonce: Option<String>,
}

/// The unused authorization codes.
#[derive(Clone)]
pub(super) struct AuthorizationCodes(Cache<String, Arc<AuthorizedUser>>);

impl Default for AuthorizationCodes {
    fn default() -> Self {
        let codes = Cache::builder().max_capacity(MAX_CODES);
        Self(codes.time_to_live(CODE_FOR).build())
    }
}

impl AuthorizationCodes {
    /// Returns a new code.
    pub fn issue(&self, grant: AuthorizedUser) -> String {
        let code = Uuid::new_v4().to_string();
        self.0.insert(code.clone(), Arc::new(grant));
        code
    }

    /// Takes a code, which is valid once.
    pub fn take(&self, code: &str) -> Option<Arc<AuthorizedUser>> {
        self.0.remove(code)
    }
}
