//! The DynamoDB client.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

use super::credentials::{NoCredentials, find_credentials};
use super::endpoint::{AwsService, EndpointUrl, InvalidAwsSetting, configured_endpoint};
use crate::http_url::shown;
use crate::loopback::is_loopback;

/// Timeout for opening a connection. A reachable endpoint responds within one
/// round trip.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Timeout of one attempt of a call. Calls take some milliseconds, so an attempt
/// that takes this long has probably failed.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of a call with all its attempts. It is shorter than the timeout of a
/// request (10 s), so that the request can report the failure.
const CALL_TIMEOUT: Duration = Duration::from_secs(7);

/// Timeout of an attempt, and maximum number of attempts, for operators'
/// commands.
///
/// A page of a megabyte can take long on a slow connection. The backoff between
/// attempts grows to 20 seconds, so the command survives an outage of a minute or
/// more.
const OPERATOR_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const OPERATOR_ATTEMPTS: u32 = 12;

/// The DynamoDB endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynamoTarget {
    /// The endpoint of the SDK's configuration: profile, environment, instance
    /// role.
    Sdk,
    /// The URL of an explicit endpoint, such as an emulator. If the host is a
    /// loopback address, missing credentials and a missing region are replaced
    /// with placeholders.
    Endpoint(String),
}

/// DynamoDB Local's default address.
pub const LOCAL_DYNAMODB: &str = "http://localhost:8000";

impl DynamoTarget {
    /// Determines the endpoint: from an option, else from the SDK's
    /// configuration (`AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL`, the
    /// profile), else from a default.
    pub async fn find(option: Option<&str>, default: Self) -> Result<Self, InvalidAwsSetting> {
        let configured = configured_endpoint(AwsService::DynamoDb).await;
        let given = match option {
            Some(url) => Some(EndpointUrl::parse("--endpoint-url", url)?),
            None => configured?,
        };
        Ok(given.map_or(default, |endpoint| Self::Endpoint(endpoint.url)))
    }

    /// Returns whether the endpoint belongs to AWS, which includes VPC
    /// endpoints.
    pub fn is_aws(&self) -> bool {
        let Self::Endpoint(url) = self else {
            return true;
        };
        let host = reqwest::Url::parse(url).ok();
        let host = host.as_ref().and_then(reqwest::Url::host_str);
        let domains = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
        host.is_some_and(|host| domains.iter().any(|domain| host.ends_with(domain)))
    }
}

/// The URL and region to which calls are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoAddress {
    /// The URL without secrets.
    pub url: String,
    /// The region.
    pub region: String,
}

/// Returns the URL and region to which a client with this target sends its
/// calls.
pub async fn dynamo_address(target: &DynamoTarget) -> Result<DynamoAddress, NoCredentials> {
    let config = sdk_config(target).await;
    let region = config.region().ok_or(NoCredentials::Region)?.to_string();
    let url = match target {
        DynamoTarget::Endpoint(url) => shown(url),
        DynamoTarget::Sdk => aws_address(&config, &region)
            .await
            .unwrap_or_else(|| format!("https://dynamodb.{region}.amazonaws.com")),
    };
    Ok(DynamoAddress { url, region })
}

/// Returns AWS' endpoint in a region, according to the SDK's rules.
async fn aws_address(config: &SdkConfig, region: &str) -> Option<String> {
    let params = Params::builder()
        .region(region)
        .use_fips(config.use_fips().unwrap_or_default())
        .use_dual_stack(config.use_dual_stack().unwrap_or_default())
        .build()
        .ok()?;
    let resolver = DefaultResolver::new();
    let endpoint = resolver.resolve_endpoint(&params);
    Some(endpoint.await.ok()?.url().to_owned())
}

/// Checks that credentials and a region are available, so that their absence
/// has its own error.
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

/// Creates a client with short timeouts, for interactive requests. No call is
/// made.
pub async fn connect_dynamo(target: &DynamoTarget) -> Client {
    Client::new(&with_short_timeouts(sdk_config(target).await))
}

/// Applies the timeouts and retries of interactive requests.
pub(super) fn with_short_timeouts(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT);
    // The SDK's default. If attempts time out, a fourth one would not fit into the
    // timeout of the call.
    let retries = RetryConfig::standard().with_max_attempts(3);
    config
        .into_builder()
        .timeout_config(timeouts.build())
        .retry_config(retries)
        // This protection ends a stream that stalls for five seconds. The timeout
        // of an attempt is shorter.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

/// Returns a client that sends each call once and waits for one attempt, for
/// callers that decide whether an attempt may be repeated.
pub(super) fn without_retries(client: &Client) -> Client {
    let config = client.config();
    let timeouts = config.timeout_config().map(TimeoutConfig::to_builder);
    let timeouts = timeouts.unwrap_or_default();
    let timeouts = timeouts.operation_timeout(ATTEMPT_TIMEOUT);
    let config = config
        .to_builder()
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build());
    Client::from_conf(config.build())
}

/// Creates a client with long timeouts and many retries, for operators'
/// commands.
///
/// A page of a megabyte can take long on a slow connection, and a throttled
/// command waits for capacity instead of failing.
pub async fn connect_dynamo_for_operators(target: &DynamoTarget) -> Client {
    Client::new(&with_long_timeouts(sdk_config(target).await))
}

/// Applies the timeouts and retries of operators' commands.
pub(super) fn with_long_timeouts(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(OPERATOR_ATTEMPT_TIMEOUT);
    let retries = RetryConfig::standard().with_max_attempts(OPERATOR_ATTEMPTS);
    config
        .into_builder()
        .timeout_config(timeouts.build())
        .retry_config(retries)
        .build()
}

/// Loads the SDK's configuration for a target.
async fn sdk_config(target: &DynamoTarget) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let DynamoTarget::Endpoint(url) = target {
        loader = loader.endpoint_url(url);
        if is_loopback(url) {
            loader = on_loopback(loader, url);
        }
    }
    loader.load().await
}

/// Configures the SDK for an emulator on a loopback address.
///
/// An emulator checks neither credentials nor the region, but the SDK requires
/// both, and without them would look them up over the network. No proxy is
/// used.
pub(super) fn on_loopback(mut loader: ConfigLoader, url: &str) -> ConfigLoader {
    let given = |name| std::env::var_os(name).is_some();
    if !given("AWS_ACCESS_KEY_ID") {
        let dummy = Credentials::new("local", "local", None, None, "loopback");
        loader = loader.credentials_provider(dummy);
    }
    if !given("AWS_REGION") && !given("AWS_DEFAULT_REGION") {
        loader = loader.region(Region::from_static("us-east-1"));
    }
    if url.starts_with("http://") {
        loader = loader.http_client(aws_smithy_http_client::Builder::new().build_http());
    }
    loader
}
