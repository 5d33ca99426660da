//! AWS credentials, and the reasons for which they are missing or unusable.

use std::borrow::Cow;

use aws_config::SdkConfig;
use aws_config::profile::{self, ProfileSet};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_types::os_shim_internal::{Env, Fs};

use super::cause::Cause;
use super::sdk_error::credentials_cause;

/// AWS cannot be called because credentials or the region are missing.
#[derive(Debug, thiserror::Error)]
pub enum NoCredentials {
    /// No credentials are configured.
    #[error(
        "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run \
         `aws sso login`"
    )]
    Missing,
    /// Only one of the two environment variables is set.
    #[error("no AWS credentials were found: {set} is set, but {unset} is not")]
    Incomplete {
        /// The variable that is set.
        set: &'static str,
        /// The variable that is not set.
        unset: &'static str,
    },
    /// The configured profile does not exist.
    #[error("there is no AWS profile {profile:?}: {found}")]
    NoProfile {
        /// Name of the profile.
        profile: String,
        /// A sentence that lists the existing profiles.
        found: String,
    },
    /// The profile files cannot be read.
    #[error("the AWS profiles cannot be read: {0}")]
    ProfileFiles(#[source] Cause),
    /// Profiles refer to each other in a cycle.
    #[error("the AWS profiles {} refer to each other in a cycle", .0.join(", "))]
    Cycle(Vec<String>),
    /// The profile signs in with `aws login`.
    #[error(
        "the AWS profile {profile:?} signs in with `aws login`, which is not supported directly: add a profile with \
         `credential_process = aws configure export-credentials --profile {profile} --format process`, and set \
         AWS_PROFILE to its name"
    )]
    Login {
        /// Name of the profile.
        profile: String,
    },
    /// The profile signs in with `aws sso login`, and the sign-in failed or has
    /// expired.
    #[error("{cause}. Sign in with `aws sso login --profile {profile}`.")]
    SignIn {
        /// Name of the profile.
        profile: String,
        /// The error of the sign-in.
        cause: String,
    },
    /// Credentials are configured, but cannot be loaded.
    #[error("{0}")]
    Failed(#[source] Cause),
    /// No region is configured.
    #[error("no AWS region was found: set AWS_REGION, or a region in the profile")]
    Region,
    /// The region is not valid as a part of a host name.
    #[error("the AWS region {0:?} is not the name of a region, such as eu-central-1")]
    InvalidRegion(String),
}

/// Loads the credentials in the same way as the first call does.
pub(super) async fn find_credentials(config: &SdkConfig) -> Result<(), NoCredentials> {
    let provider = config.credentials_provider();
    let provider = provider.ok_or(NoCredentials::Missing)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(error).await),
    }
}

/// Determines why credentials could not be loaded.
///
/// The SDK's errors for profiles are only text, so this function reads the
/// profiles again to find the cause.
#[expect(
    clippy::default_trait_access,
    reason = "the type is of a crate that is used through aws-config only"
)]
async fn explain(error: CredentialsError) -> NoCredentials {
    let profiles = profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await;
    let found = match profiles {
        Ok(profiles) => profile_problem(&profiles, &error),
        Err(error) => Some(NoCredentials::ProfileFiles(Cause::of(error))),
    };
    match (found, error) {
        (Some(found), _) => found,
        (None, CredentialsError::CredentialsNotLoaded(_)) => {
            incomplete_key().unwrap_or(NoCredentials::Missing)
        }
        (None, error) => NoCredentials::Failed(Cause::new(credentials_cause(&error), error)),
    }
}

fn incomplete_key() -> Option<NoCredentials> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let [key, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let (set, unset) = match [is_set(key), is_set(secret)] {
        [true, false] => (key, secret),
        [false, true] => (secret, key),
        _ => return None,
    };
    Some(NoCredentials::Incomplete { set, unset })
}

/// Returns the problem of the selected profile, or of a profile to which it
/// refers.
fn profile_problem(profiles: &ProfileSet, error: &CredentialsError) -> Option<NoCredentials> {
    let mut name = Cow::Borrowed(profiles.selected_profile());
    let mut seen: Vec<String> = Vec::new();
    loop {
        if seen.iter().any(|earlier| *earlier == name) {
            return Some(NoCredentials::Cycle(seen));
        }
        seen.push(name.clone().into_owned());
        let Some(profile) = profiles.get_profile(&name) else {
            // The profile `default` does not have to exist.
            let is_named = name != "default";
            return is_named.then(|| no_profile(profiles, name.into_owned()));
        };
        let has = |key| profile.get(key).is_some();
        let failed = !matches!(error, CredentialsError::CredentialsNotLoaded(_));
        if has("login_session") && !has("aws_access_key_id") {
            let profile = name.into_owned();
            return Some(NoCredentials::Login { profile });
        }
        if failed && (has("sso_session") || has("sso_start_url")) {
            let profile = name.into_owned();
            let cause = credentials_cause(error);
            return Some(NoCredentials::SignIn { profile, cause });
        }
        match profile.get("source_profile") {
            Some(source) if source != name => name = Cow::Borrowed(source),
            _ => return None,
        }
    }
}

fn no_profile(profiles: &ProfileSet, profile: String) -> NoCredentials {
    let mut names: Vec<&str> = profiles.profiles().collect();
    names.sort_unstable();
    let found = match names.as_slice() {
        [] => "there are no profiles in ~/.aws/config or ~/.aws/credentials".to_owned(),
        names => format!("the profiles are {}", names.join(", ")),
    };
    NoCredentials::NoProfile { profile, found }
}
