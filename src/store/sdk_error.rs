//! Conversion of the SDK's errors to text for users.
//!
//! The SDK's own texts name interceptors and connectors and repeat themselves
//! at each level. The text here is the service's response if there is one, else
//! the root cause.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::interceptors::error::InterceptorError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::ErrorMetadata;
use rustls::CertificateError;

use super::fault::{Reason, Service, is_throttled};

/// Texts that only name the layer of the SDK that passed on a cause.
///
/// Their types are not public, or have a type parameter that is unknown here.
const LEVELS: [&str; 18] = [
    "TLS handshake failed",
    "an error occurred while loading an access token",
    "an error occurred while loading credentials",
    "an unknown error occurred",
    "client error (Connect)",
    "client error (SendRequest)",
    "connector error",
    "could not parse profile file",
    "dispatch failure",
    "endpoint params could not be built",
    "failed to construct request",
    "interceptor error",
    "operation error",
    "request has timed out",
    "response error",
    "service error",
    "tcp connect error",
    "unhandled error",
];
/// Prefix of the text of an error without its own type.
///
/// Its source has the code and the message.
const UNHANDLED: &str = "unhandled error (";
/// Prefix of the text of an unusable profile, for every cause.
const PROFILE: &str = "ProfileFile provider could not be built: ";

/// Returns the kind of a failed call, and its text.
pub(super) fn explain<E>(service: Service, error: &SdkError<E, HttpResponse>) -> (Reason, String)
where
    E: Error + 'static,
    SdkError<E, HttpResponse>: ProvideErrorMetadata,
{
    match error {
        SdkError::ServiceError(response) => {
            let status = response.raw().status().as_u16();
            match (error.code(), error.message()) {
                (None, _) => (Reason::Other, not_the_service(service, response.raw())),
                (Some(code), text) => {
                    (reason(code, status), service_error_text(code, text, status))
                }
            }
        }
        SdkError::ResponseError(response) => {
            (Reason::Other, not_the_service(service, response.raw()))
        }
        SdkError::TimeoutError(_) => (
            Reason::Unreachable,
            "no response within the time limit".to_owned(),
        ),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) => not_sent(connector),
            None => (Reason::Unreachable, "the request was not sent".to_owned()),
        },
        error => match error.source().and_then(find::<CredentialsError>) {
            Some(credentials) => (Reason::Credentials, credentials_cause(credentials)),
            None => (Reason::Other, causes(error)),
        },
    }
}

/// Returns the text of an error of loading credentials.
pub(super) fn credentials_cause(error: &CredentialsError) -> String {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "no AWS credentials found".to_owned(),
        CredentialsError::ProviderTimedOut(timeout) => format!(
            "the AWS credentials could not be loaded: no response within {} s",
            timeout.timeout_duration().as_secs()
        ),
        error => {
            let cause = error.source().map_or_else(|| error.to_string(), causes);
            format!("the AWS credentials could not be loaded: {cause}")
        }
    }
}

/// Returns an error and its sources on one line, without names of the SDK's
/// levels and without repetitions.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = one_line(&cause_text(cause));
        if !text.is_empty() && !is_level(cause, &text) && !texts.iter().any(|t| t.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    if texts.is_empty() {
        return one_line(&error.to_string());
    }
    texts.join(": ")
}

fn cause_text(cause: &(dyn Error + 'static)) -> String {
    let text = cause.to_string();
    let io = cause.downcast_ref::<std::io::Error>();
    if let Some(error) = cause.downcast_ref().or_else(|| io.and_then(tls_error)) {
        return tls_cause(error);
    }
    if let Some(number) = io.and_then(std::io::Error::raw_os_error) {
        let number = format!(" (os error {number})");
        return text.replace(&number, "");
    }
    if let Some(response) = cause.downcast_ref::<ErrorMetadata>() {
        let parts = [response.code(), response.message()];
        return parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    }
    text.strip_prefix(PROFILE).unwrap_or(&text).to_owned()
}

/// Returns the TLS error in an `io::Error`, which may be nested in another one.
fn tls_error(io: &std::io::Error) -> Option<&rustls::Error> {
    let inner = io.get_ref()?;
    let further = || inner.downcast_ref::<std::io::Error>().and_then(tls_error);
    inner.downcast_ref().or_else(further)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_level(cause: &(dyn Error + 'static), text: &str) -> bool {
    let is_of_type = cause.is::<ConnectorError>() || cause.is::<InterceptorError>();
    is_of_type || LEVELS.contains(&text) || text.starts_with(UNHANDLED)
}

/// Returns the first error of a type in the chain of an error and its sources.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    std::iter::successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref())
}

/// Returns the reason for which a request was not sent or received no response.
fn not_sent(connector: &ConnectorError) -> (Reason, String) {
    if let Some(error) = find::<CredentialsError>(connector) {
        return (Reason::Credentials, credentials_cause(error));
    }
    let cause = causes(connector);
    let text = if find::<ResolveDnsError>(connector).is_some() {
        format!("the host name could not be resolved: {cause}")
    } else if connector.is_timeout() {
        format!("the connection timed out: {cause}")
    } else {
        cause
    };
    let reason = if connector.is_io() || connector.is_timeout() {
        Reason::Unreachable
    } else {
        Reason::Other
    };
    (reason, text)
}

/// Returns the code and the text of a service's error response.
fn service_error_text(code: &str, text: Option<&str>, status: u16) -> String {
    let text = one_line(text.unwrap_or_default());
    let hint = match code {
        "ExpiredToken" | "ExpiredTokenException" => {
            ". Sign in again, for example with `aws sso login`."
        }
        "InvalidClientTokenId" | "UnrecognizedClientException" => {
            " Check the access key, and that the region is one of its account."
        }
        _ => "",
    };
    match text.as_str() {
        "" => format!("{code} (HTTP status {status}){hint}"),
        text => format!(
            "{code}: {}{hint}",
            text.trim_end_matches(if hint.starts_with('.') { '.' } else { '\0' })
        ),
    }
}

fn reason(code: &str, status: u16) -> Reason {
    match code {
        "ResourceNotFoundException" => Reason::NotFound,
        "AccessDenied" | "AccessDeniedException" => Reason::AccessDenied,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "UnrecognizedClientException" => Reason::Credentials,
        code if is_throttled(code) => Reason::Throttled,
        _ if status >= 500 => Reason::Unavailable,
        _ => Reason::Other,
    }
}

/// Describes a response that the service itself cannot have sent.
fn not_the_service(service: Service, response: &HttpResponse) -> String {
    let content_type = response.headers().get("content-type");
    let content_type = content_type.unwrap_or("no content type");
    format!(
        "the response (HTTP status {}, {content_type}) is not one of {service}'s: a proxy or another server sent it",
        response.status().as_u16()
    )
}

/// Describes why there is no TLS connection.
///
/// rustls prints only the names of its variants.
fn tls_cause(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => format!(
            "the server's TLS certificate is not accepted: {}",
            match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } =>
                    "it has expired".to_owned(),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } =>
                    "it is not valid yet".to_owned(),
                CertificateError::UnknownIssuer => "its issuer is not trusted".to_owned(),
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } =>
                    "it is for another host".to_owned(),
                CertificateError::Revoked => "it was revoked".to_owned(),
                CertificateError::BadEncoding => "it cannot be read".to_owned(),
                // The text of this error may be the name of a variant; there is
                // no other text.
                why => why.to_string(),
            }
        ),
        rustls::Error::InvalidMessage(_) => "the server does not respond with TLS".to_owned(),
        rustls::Error::AlertReceived(_) => "the server ended the TLS handshake".to_owned(),
        error => format!("no TLS connection: {error}"),
    }
}
