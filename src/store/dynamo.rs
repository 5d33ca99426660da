//! The client of DynamoDB.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;

use super::credentials::{NoCredentials, find_credentials};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one attempt at a call may take.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(7);

/// How long an attempt may take, and how often one is made, for an operator.
/// The pauses between them grow to 20 seconds.
const PATIENT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const PATIENT_ATTEMPTS: u32 = 12;

/// Where DynamoDB is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynamoTarget {
    /// Where the SDK's own settings say: profile, environment, instance role.
    Sdk,
    /// An endpoint, such as an emulator's.
    Endpoint {
        /// Its address.
        url: String,
        /// Whether it is on this machine's loopback, where credentials and a
        /// region are made up when there are none.
        loopback: bool,
    },
}

/// Looks for credentials and a region, so that their lack is told as such.
pub async fn check_credentials(target: &DynamoTarget) -> Result<(), NoCredentials> {
    let config = sdk_config(target).await;
    // A variable that is set but empty counts as unset.
    let region = config.region().map(AsRef::as_ref).unwrap_or_default();
    if region.is_empty() {
        return Err(NoCredentials::Region);
    }
    let is_in_names = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !region.chars().all(is_in_names) {
        return Err(NoCredentials::InvalidRegion(region.to_owned()));
    }
    find_credentials(&config).await
}

/// Makes a client for requests that somebody waits for. No call is made yet.
pub async fn connect_dynamo(target: &DynamoTarget) -> Client {
    Client::new(&impatient(sdk_config(target).await))
}

/// Settings for requests that somebody waits for.
pub(super) fn impatient(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT);
    let retries = RetryConfig::standard().with_max_attempts(3);
    config
        .into_builder()
        .timeout_config(timeouts.build())
        .retry_config(retries)
        .build()
}

/// Makes a client for an operator, who would rather wait than begin again: for
/// a page of a megabyte over a slow line, and for capacity.
pub async fn connect_dynamo_patiently(target: &DynamoTarget) -> Client {
    Client::new(&patient(sdk_config(target).await))
}

/// Settings for an operator's command.
pub(super) fn patient(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(PATIENT_ATTEMPT_TIMEOUT);
    let retries = RetryConfig::standard().with_max_attempts(PATIENT_ATTEMPTS);
    config
        .into_builder()
        .timeout_config(timeouts.build())
        .retry_config(retries)
        .build()
}

/// The SDK's settings for a target.
async fn sdk_config(target: &DynamoTarget) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let DynamoTarget::Endpoint { url, loopback } = target {
        loader = loader.endpoint_url(url);
        if *loopback {
            loader = on_loopback(loader, url);
        }
    }
    loader.load().await
}

/// An emulator checks neither credentials nor region, but the SDK wants both,
/// and without any would ask the network for them. No proxy is asked either.
pub(super) fn on_loopback(mut loader: ConfigLoader, url: &str) -> ConfigLoader {
    let given = |name| std::env::var_os(name).is_some();
    if !given("AWS_ACCESS_KEY_ID") {
        let made_up = Credentials::new("local", "local", None, None, "loopback");
        loader = loader.credentials_provider(made_up);
    }
    if !given("AWS_REGION") && !given("AWS_DEFAULT_REGION") {
        loader = loader.region(Region::from_static("us-east-1"));
    }
    if url.starts_with("http://") {
        loader = loader.http_client(aws_smithy_http_client::Builder::new().build_http());
    }
    loader
}
