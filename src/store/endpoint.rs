//! Where the services of AWS are reached: the SDK's own rule, applied before
//! the SDK, so that a command can name the address that it uses.

use std::env::{var, var_os};
use std::path::Path;

use aws_config::{BehaviorVersion, Region};
use aws_types::service_config::ServiceConfigKey;

use super::sdk_error::causes;
use crate::http_url::{InvalidHttpUrl, parse_http_url};
use crate::loopback::is_loopback;

/// The SDK's variable for the address of every service.
const ANY_SERVICE: &str = "AWS_ENDPOINT_URL";
/// The SDK's variable that takes all of them out of use.
const IGNORE: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
/// Files that the SDK passes over in silence if they are not there.
const FILES: [&str; 4] = [
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    CERTIFICATES,
];
/// The certificates that HTTP clients trust.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsService {
    /// Message groups and messages.
    DynamoDb,
    /// Where the users sign in.
    Cognito,
}

impl AwsService {
    /// The SDK's variable for the address of this service.
    #[must_use]
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

/// The address of a service, from a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    /// The address.
    pub url: String,
    /// The setting.
    pub setting: &'static str,
}

/// A setting of the SDK that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAwsSetting {
    /// An address that is none.
    #[error("{setting} is not an address like http://localhost:8000: {why}")]
    Address {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        why: InvalidHttpUrl,
    },
    /// A file that cannot be read.
    #[error("{variable}: the file {file} cannot be used: {cause}")]
    File {
        /// The variable that names it.
        variable: &'static str,
        /// The file.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl EndpointUrl {
    /// The address in a setting, checked.
    pub fn parse(setting: &'static str, text: &str) -> Result<Self, InvalidAwsSetting> {
        parse_http_url(text).map_err(|why| InvalidAwsSetting::Address { setting, why })?;
        let url = text.trim().to_owned();
        Ok(Self { url, setting })
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

/// The address of a service by the environment alone: its own variable, then
/// the one for every service.
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
    // Both are checked: the SDK would quote the second in the log.
    let (own, any) = (of(service.variable())?, of(ANY_SERVICE)?);
    Ok(own.or(any))
}

/// The address of a service as the SDK finds it: by the environment, then by
/// the profile. `None` is AWS itself.
pub async fn configured_endpoint(
    service: AwsService,
) -> Result<Option<EndpointUrl>, InvalidAwsSetting> {
    let by_environment = endpoint_of_environment(service)?;
    if by_environment.is_some() {
        return Ok(by_environment);
    }
    // With a region, and without credentials: nothing asks the network.
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
    found
        .map(|url| EndpointUrl::parse("endpoint_url of the AWS profile", &url))
        .transpose()
}

/// Files that a variable names can be used.
fn check_files() -> Result<(), InvalidAwsSetting> {
    for variable in FILES {
        let Some(file) = var_os(variable).filter(|file| !file.is_empty()) else {
            continue;
        };
        let checked = std::fs::read(Path::new(&file)).map_err(|error| error.to_string());
        let checked = checked.and_then(|_| match variable {
            CERTIFICATES => check_certificates(),
            _ => Ok(()),
        });
        if let Err(cause) = checked {
            let file = file.to_string_lossy().into_owned();
            return Err(InvalidAwsSetting::File {
                variable,
                file,
                cause,
            });
        }
    }
    Ok(())
}

/// HTTP clients trust these certificates, and cannot be made without any.
fn check_certificates() -> Result<(), String> {
    let client = reqwest::Client::builder().build();
    client.map(drop).map_err(|error| causes(&error))
}
