//! Whose tokens are taken.

use std::fmt;
use std::str::FromStr;

/// The id of a Cognito user pool, such as `eu-central-1_Ab12Cd34E`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPoolId {
    id: String,
    region_length: usize,
}

/// A text that is no pool id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a user pool id like eu-central-1_Ab12Cd34E")]
pub struct InvalidPoolId(String);

impl UserPoolId {
    /// The region that the pool is in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.id[..self.region_length]
    }
}

impl FromStr for UserPoolId {
    type Err = InvalidPoolId;

    fn from_str(id: &str) -> Result<Self, InvalidPoolId> {
        let is_region = |region: &str| {
            let parts: Vec<&str> = region.split('-').collect();
            let (Some((number, names)), true) = (parts.split_last(), parts.len() >= 3) else {
                return false;
            };
            names
                .iter()
                .all(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()))
                && number.len() == 1
                && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        match id.split_once('_') {
            Some((region, name))
                if is_region(region)
                    && (1..=45).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                let region_length = region.len();
                Ok(Self {
                    id: id.to_owned(),
                    region_length,
                })
            }
            _ => Err(InvalidPoolId(id.to_owned())),
        }
    }
}

impl fmt::Display for UserPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// The issuers that a token may name, and where their keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers {
    /// What `iss` may be. Never empty.
    pub accepted: Vec<String>,
    /// Where the key set is.
    pub jwks_url: String,
}

impl Issuers {
    /// The issuers of a pool: its own, and the one that a pool replicated to
    /// several regions names.
    #[must_use]
    pub fn of_pool(pool: &UserPoolId) -> Self {
        let region = pool.region();
        let own = format!("https://cognito-idp.{region}.amazonaws.com/{pool}");
        Self {
            jwks_url: jwks_url(&own),
            accepted: vec![
                own,
                format!("https://issuer-cognito-idp.{region}.amazonaws.com/{pool}"),
            ],
        }
    }

    /// Issuers by name; the first one's keys. `None` when there is no name.
    #[must_use]
    pub fn named(accepted: Vec<String>) -> Option<Self> {
        let first = accepted.first()?.clone();
        Some(Self {
            accepted,
            ..Self::of_issuer(first)
        })
    }

    /// One issuer by name, and its keys.
    #[must_use]
    pub fn of_issuer(issuer: String) -> Self {
        Self {
            jwks_url: jwks_url(&issuer),
            accepted: vec![issuer],
        }
    }
}

fn jwks_url(issuer: &str) -> String {
    format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_two_issuers_and_one_key_set() {
        let pool = "us-gov-west-1_Ab12Cd34E".parse().expect("a pool id");
        let issuers = Issuers::of_pool(&pool);
        insta::assert_debug_snapshot!(issuers, @r#"
        Issuers {
            accepted: [
                "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Ab12Cd34E",
                "https://issuer-cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Ab12Cd34E",
            ],
            jwks_url: "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Ab12Cd34E/.well-known/jwks.json",
        }
        "#);
    }

    #[test]
    fn what_is_no_pool_id_is_refused_by_name() {
        for wrong in [
            "",
            "eu-central-1",
            "eu-central-1_",
            "_Ab12",
            "eu_Ab12",
            "eu-central-1_Ab/12",
            "evil.com/eu-west-1_A",
        ] {
            let refusal = wrong.parse::<UserPoolId>().expect_err("not a pool id");
            assert!(
                refusal
                    .to_string()
                    .starts_with(&format!("{wrong:?} is not")),
                "{refusal}"
            );
        }
    }
}
