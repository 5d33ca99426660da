//! The client of DynamoDB.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

use super::credentials::{NoCredentials, find_credentials};
use super::endpoint::{AwsService, EndpointUrl, InvalidAwsSetting, configured_endpoint};
use crate::http_url::shown;

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

/// Where DynamoDB is where neither an option nor the SDK's settings say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamoDefault {
    /// DynamoDB Local's usual address.
    Local,
    /// AWS itself.
    Aws,
}

/// DynamoDB Local's usual address.
pub const LOCAL_DYNAMODB: &str = "http://localhost:8000";

impl DynamoTarget {
    /// Where DynamoDB is: an option, then the SDK's own settings
    /// (`AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL`, the profile), then a
    /// default.
    pub async fn find(
        option: Option<&str>,
        default: DynamoDefault,
    ) -> Result<Self, InvalidAwsSetting> {
        let configured = configured_endpoint(AwsService::DynamoDb).await;
        let given = match option {
            Some(url) => Some(EndpointUrl::parse("--endpoint-url", url)?),
            None => configured?,
        };
        Ok(match (given, default) {
            (Some(endpoint), _) => Self::endpoint(&endpoint),
            (None, DynamoDefault::Local) => Self::Endpoint {
                url: LOCAL_DYNAMODB.to_owned(),
                loopback: true,
            },
            (None, DynamoDefault::Aws) => Self::Sdk,
        })
    }

    /// Whether it is AWS, also by an address of its own such as a VPC endpoint's.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        let Self::Endpoint { url, .. } = self else {
            return true;
        };
        let host = reqwest::Url::parse(url).ok();
        let host = host.as_ref().and_then(reqwest::Url::host_str);
        let domains = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
        host.is_some_and(|host| domains.iter().any(|domain| host.ends_with(domain)))
    }

    /// An endpoint that a setting names.
    #[must_use]
    pub fn endpoint(endpoint: &EndpointUrl) -> Self {
        Self::Endpoint {
            url: endpoint.url.clone(),
            loopback: endpoint.is_loopback(),
        }
    }
}

/// The address and region that calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoAddress {
    /// The address, as it may be shown.
    pub url: String,
    /// The region.
    pub region: String,
}

/// The address and region that the calls of a client with this target go to.
pub async fn dynamo_address(target: &DynamoTarget) -> Result<DynamoAddress, NoCredentials> {
    let config = sdk_config(target).await;
    let region = config.region().ok_or(NoCredentials::Region)?.to_string();
    let url = match target {
        DynamoTarget::Endpoint { url, .. } => shown(url),
        DynamoTarget::Sdk => aws_address(&config, &region)
            .await
            .unwrap_or_else(|| format!("https://dynamodb.{region}.amazonaws.com")),
    };
    Ok(DynamoAddress { url, region })
}

/// AWS' own address in a region, by the SDK's rules.
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
