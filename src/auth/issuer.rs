//! The issuers whose tokens are accepted.

use std::fmt;
use std::str::FromStr;

use crate::http_url::{InvalidHttpUrl, parse_http_url};

/// The ID of a Cognito user pool, such as `eu-central-1_Ab12Cd34E`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPoolId {
    id: String,
    region_length: usize,
}

/// The text is not a user pool ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a user pool ID like eu-central-1_Ab12Cd34E")]
pub struct InvalidPoolId(String);

impl UserPoolId {
    /// Returns the AWS region of the pool.
    pub fn region(&self) -> &str {
        &self.id[..self.region_length]
    }
}

impl FromStr for UserPoolId {
    type Err = InvalidPoolId;

    fn from_str(id: &str) -> Result<Self, InvalidPoolId> {
        let id = id.trim();
        let is = |text: &str, is_allowed: fn(&u8) -> bool| {
            !text.is_empty() && text.bytes().all(|byte| is_allowed(&byte))
        };
        let is_region = |region: &str| {
            let parts: Vec<&str> = region.split('-').collect();
            let [names @ .., number] = &*parts else {
                return false;
            };
            names.len() >= 2
                && names.iter().all(|name| is(name, u8::is_ascii_lowercase))
                && number.len() == 1
                && is(number, u8::is_ascii_digit)
        };
        let is_name = |name: &str| name.len() <= 45 && is(name, u8::is_ascii_alphanumeric);
        match id.split_once('_') {
            Some((region, name)) if is_region(region) && is_name(name) => Ok(Self {
                id: id.to_owned(),
                region_length: region.len(),
            }),
            _ => Err(InvalidPoolId(id.to_owned())),
        }
    }
}

impl fmt::Display for UserPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// The URL of an issuer.
///
/// The `iss` claim of a token may have a trailing slash or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerUrl {
    /// The URL as configured, without a trailing slash.
    written: String,
    /// The URL without a trailing slash, with scheme and host in lower case and
    /// without the scheme's default port.
    pub normal: String,
}

impl FromStr for IssuerUrl {
    type Err = InvalidHttpUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHttpUrl> {
        let url = parse_http_url(text)?;
        let bare = |text: &str| text.trim().trim_end_matches('/').to_owned();
        Ok(Self {
            written: bare(text),
            normal: bare(url.as_str()),
        })
    }
}

impl IssuerUrl {
    /// Returns the other spellings of this issuer that an `iss` claim may
    /// contain.
    fn spellings(&self) -> Vec<String> {
        let mut names = vec![format!("{}/", self.normal)];
        if self.written != self.normal {
            names.extend([self.written.clone(), format!("{}/", self.written)]);
        }
        names
    }
}

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Value of the `iss` claim.
    pub name: String,
    /// URL of the JSON Web Key Set (RFC 7517).
    pub jwks_url: String,
    /// Whether the keys are fetched only after a token names this issuer.
    ///
    /// Most pools never use their second issuer, and its key set need not
    /// exist.
    pub on_demand: bool,
}

impl TrustedIssuer {
    /// Creates an issuer whose key set is at `/.well-known/jwks.json` below its
    /// URL.
    pub fn named(name: String) -> Self {
        Self {
            jwks_url: format!("{}/.well-known/jwks.json", name.trim_end_matches('/')),
            name,
            on_demand: false,
        }
    }
}

/// The issuers whose tokens are accepted.
///
/// Each issuer has its own keys, so tokens of one issuer are verified even
/// while the keys of another are unreachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers {
    /// Never empty.
    accepted: Vec<TrustedIssuer>,
}

/// The number of key set URLs does not match the number of issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {given} URLs of key sets for {issuers} issuers: give one URL for all issuers, or \
     one for each in the same order"
)]
pub struct WrongJwksUrls {
    given: usize,
    issuers: usize,
}

impl Issuers {
    /// Returns the issuers of a user pool: the pool's regional issuer, and the
    /// issuer that a pool replicated to several regions uses.
    pub fn of_pool(pool: &UserPoolId) -> Self {
        let region = pool.region();
        let issuer = |host: &str| {
            TrustedIssuer::named(format!("https://{host}.{region}.amazonaws.com/{pool}"))
        };
        Self {
            accepted: vec![
                issuer("cognito-idp"),
                TrustedIssuer {
                    on_demand: true,
                    ..issuer("issuer-cognito-idp")
                },
            ],
        }
    }

    /// Creates issuers from their names. Returns `None` if `names` is empty.
    pub fn named(names: Vec<String>) -> Option<Self> {
        let accepted: Vec<_> = names.into_iter().map(TrustedIssuer::named).collect();
        (!accepted.is_empty()).then_some(Self { accepted })
    }

    /// Creates one issuer from its name.
    pub fn of_issuer(name: String) -> Self {
        Self {
            accepted: vec![TrustedIssuer::named(name)],
        }
    }

    /// Replaces the URLs of the issuers' key sets.
    ///
    /// `urls` has one URL for all issuers, or one URL for each issuer in the
    /// same order. If `urls` is empty, the URLs do not change.
    pub fn with_jwks_urls(mut self, urls: &[String]) -> Result<Self, WrongJwksUrls> {
        let (given, issuers) = (urls.len(), self.accepted.len());
        if given > 1 && given != issuers {
            return Err(WrongJwksUrls { given, issuers });
        }
        for (issuer, url) in self.accepted.iter_mut().zip(urls.iter().cycle()) {
            issuer.jwks_url.clone_from(url);
            issuer.on_demand = false;
        }
        Ok(self)
    }

    /// Adds every spelling of these URLs that an `iss` claim may contain.
    ///
    /// All spellings of an issuer share its keys.
    #[must_use]
    pub fn with_spellings(mut self, urls: &[IssuerUrl]) -> Self {
        for url in urls {
            let mut accepted = self.accepted.iter();
            let Some(normal) = accepted.find(|issuer| issuer.name == url.normal).cloned() else {
                continue;
            };
            let spellings = url.spellings().into_iter();
            let spellings = spellings.map(|name| TrustedIssuer {
                name,
                ..normal.clone()
            });
            self.accepted.extend(spellings);
        }
        self
    }

    /// Returns an iterator over the issuers.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedIssuer> {
        self.accepted.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_of_a_pool_have_a_key_set_each() {
        let pool = "us-gov-west-1_Ab12Cd34E";
        let issuers = Issuers::of_pool(&pool.parse().expect("a pool ID"));
        let hosts = [("cognito-idp", false), ("issuer-cognito-idp", true)];
        let expected = hosts.map(|(host, on_demand)| {
            let name = format!("https://{host}.us-gov-west-1.amazonaws.com/{pool}");
            TrustedIssuer {
                jwks_url: format!("{name}/.well-known/jwks.json"),
                name,
                on_demand,
            }
        });
        assert_eq!(issuers.accepted, expected);
    }

    #[test]
    fn jwks_urls_are_one_for_all_issuers_or_one_for_each() {
        let names = ["https://a.example", "https://b.example/"].map(str::to_owned);
        let urls_after = |urls: &[&str]| {
            let issuers = Issuers::named(names.to_vec()).expect("two");
            let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
            let issuers = issuers.with_jwks_urls(&urls)?;
            let urls = issuers.iter().map(|issuer| issuer.jwks_url.clone());
            Ok::<_, WrongJwksUrls>(urls.collect::<Vec<_>>())
        };
        let own = [
            "https://a.example/.well-known/jwks.json",
            "https://b.example/.well-known/jwks.json",
        ];
        assert_eq!(urls_after(&[]), Ok(own.map(str::to_owned).to_vec()));
        assert_eq!(urls_after(&["x"]), Ok(vec!["x".to_owned(), "x".to_owned()]));
        assert_eq!(
            urls_after(&["x", "y"]),
            Ok(vec!["x".to_owned(), "y".to_owned()])
        );
        assert!(urls_after(&["x", "y", "z"]).is_err());
    }

    #[test]
    fn issuer_is_named_with_or_without_a_slash_and_as_it_was_written() {
        let written = [
            " https://Issuer.Example:443/pool/ ",
            "http://localhost:4001/b",
        ];
        let urls = written.map(|text| text.parse::<IssuerUrl>().expect(text));
        let names = urls.iter().map(|url| url.normal.clone()).collect();
        let issuers = Issuers::named(names)
            .expect("issuers")
            .with_spellings(&urls);
        let names: Vec<&str> = issuers.iter().map(|issuer| &*issuer.name).collect();
        insta::assert_debug_snapshot!(names, @r#"
        [
            "https://issuer.example/pool",
            "http://localhost:4001/b",
            "https://issuer.example/pool/",
            "https://Issuer.Example:443/pool",
            "https://Issuer.Example:443/pool/",
            "http://localhost:4001/b/",
        ]
        "#);
        for issuer in issuers.iter().filter(|issuer| issuer.name.contains("pool")) {
            let keys = "https://issuer.example/pool/.well-known/jwks.json";
            assert_eq!(issuer.jwks_url, keys);
        }
        for wrong in [
            "eu-central-1_Ab12Cd34E",
            "issuer.example",
            "https://*.example",
            "ftp://a",
        ] {
            wrong.parse::<IssuerUrl>().expect_err(wrong);
        }
    }

    #[test]
    fn user_pool_id_that_is_invalid_is_quoted_in_the_error() {
        for wrong in [
            "",
            "eu-central-1",
            "eu-central-1_",
            "_Ab12",
            "eu_Ab12",
            "eu-central-1_Ab/12",
            "evil.com/eu-west-1_A",
        ] {
            let error = wrong.parse::<UserPoolId>().expect_err("not a pool ID");
            assert!(
                error.to_string().starts_with(&format!("{wrong:?} is not")),
                "{error}"
            );
        }
    }
}
