//! The endpoints of AWS services.
//!
//! This module applies the SDK's own rules before the SDK does, so that a
//! command can show the address that it uses.

use std::env::{var, var_os};
use std::path::Path;

use aws_config::{BehaviorVersion, Region};
use aws_types::service_config::ServiceConfigKey;

use super::cause::Cause;
use crate::http_url::{InvalidHttpUrl, parse_http_url};
use crate::loopback::is_loopback;

/// The SDK's variable for the endpoint of all services.
const ANY_SERVICE: &str = "AWS_ENDPOINT_URL";
/// The SDK's variable that disables all configured endpoints.
const IGNORE: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
/// Variables with files that the SDK ignores silently if they do not exist.
const FILES: [&str; 4] = [
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    CERTIFICATES,
];
/// The variable with the certificates that HTTP clients trust.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// An AWS service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsService {
    /// DynamoDB, which stores message groups and messages.
    DynamoDb,
    /// Cognito, where the users sign in.
    Cognito,
}

impl AwsService {
    /// Returns the SDK's variable for the endpoint of this service.
    pub fn variable(self) -> &'static str {
        match self {
            Self::DynamoDb => "AWS_ENDPOINT_URL_DYNAMODB",
            Self::Cognito => "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::DynamoDb => "DynamoDB",
            Self::Cognito => "Cognito Identity Provider",
        }
    }
}

/// The endpoint of a service and the setting that defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    /// URL of the endpoint.
    pub url: String,
    /// Name of the setting.
    pub setting: &'static str,
}

/// The reason for which a setting of the SDK cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAwsSetting {
    /// The value is not a valid URL.
    #[error("{setting} is not an address like http://localhost:8000: {why}")]
    Address {
        /// Name of the setting.
        setting: &'static str,
        /// The problem with the URL.
        why: InvalidHttpUrl,
    },
    /// The file cannot be read.
    #[error("{variable}: the file {file} cannot be used: {cause}")]
    File {
        /// The variable with the path of the file.
        variable: &'static str,
        /// Path of the file.
        file: String,
        /// The problem with the file.
        #[source]
        cause: Cause,
    },
}

impl EndpointUrl {
    /// Parses the URL in a setting.
    pub fn parse(setting: &'static str, text: &str) -> Result<Self, InvalidAwsSetting> {
        parse_http_url(text).map_err(|why| InvalidAwsSetting::Address { setting, why })?;
        let url = text.trim().to_owned();
        Ok(Self { url, setting })
    }

    /// Returns whether the host is a loopback address.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

/// Returns the endpoint of a service according to the environment only: the
/// service's own variable, else the variable for all services.
pub fn endpoint_of_environment(
    service: AwsService,
) -> Result<Option<EndpointUrl>, InvalidAwsSetting> {
    check_files()?;
    if var(IGNORE).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let of = |setting: &'static str| {
        let text = var(setting).ok().filter(|text| !text.trim().is_empty());
        text.map(|text| EndpointUrl::parse(setting, &text))
            .transpose()
    };
    // Both variables are validated, because the SDK would quote an invalid
    // second one in the log.
    let (own, any) = (of(service.variable())?, of(ANY_SERVICE)?);
    Ok(own.or(any))
}

/// Returns the endpoint of a service according to the SDK's rules: from the
/// environment, else from the profile.
///
/// `None` means AWS.
pub async fn configured_endpoint(
    service: AwsService,
) -> Result<Option<EndpointUrl>, InvalidAwsSetting> {
    let by_environment = endpoint_of_environment(service)?;
    if by_environment.is_some() {
        return Ok(by_environment);
    }
    // With a region and without credentials, the SDK sends no request to look
    // them up.
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .no_credentials();
    let config = loader.load().await;
    let key = ServiceConfigKey::builder()
        .service_id(service.id())
        .env(ANY_SERVICE)
        .profile("endpoint_url")
        .build();
    let found = config.service_config().zip(key.ok());
    let found = found.and_then(|(config, key)| config.load_config(key));
    let parse = |url: String| EndpointUrl::parse("endpoint_url of the AWS profile", &url);
    found.map(parse).transpose()
}

/// Checks that the files in these variables are usable.
fn check_files() -> Result<(), InvalidAwsSetting> {
    for variable in FILES {
        let Some(file) = var_os(variable).filter(|file| !file.is_empty()) else {
            continue;
        };
        let read = std::fs::read(Path::new(&file)).map_err(Cause::of);
        let checked = read.and_then(|_| match variable {
            CERTIFICATES => check_certificates(),
            _ => Ok(()),
        });
        checked.map_err(|cause| InvalidAwsSetting::File {
            variable,
            file: file.to_string_lossy().into_owned(),
            cause,
        })?;
    }
    Ok(())
}

/// Checks that the certificates are usable.
///
/// HTTP clients trust these certificates and cannot be created without any.
fn check_certificates() -> Result<(), Cause> {
    let client = reqwest::Client::builder().build();
    client.map(drop).map_err(Cause::of)
}
