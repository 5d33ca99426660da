//! The connection of a process to the simulated DynamoDB, in place of HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::{Simulated, SimulatedResponse};

/// The connection of a process, which ends when the process dies.
#[derive(Clone, Debug)]
pub struct Wire {
    pub(super) dynamo: Arc<Simulated>,
    pub(super) up: Arc<AtomicBool>,
}

impl Wire {
    /// Creates a client for the process.
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url("http://dynamodb.simulated")
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(Duration::from_secs(3))
                    .operation_timeout(Duration::from_secs(7))
                    .build(),
            )
            .http_client(self.clone());
        Client::from_conf(config.build())
    }

    /// Simulates the death of the process: from now on, nothing is sent or
    /// received.
    pub fn cut(&self) {
        self.up.store(false, Ordering::Relaxed);
    }

    async fn while_up(&self) {
        if !self.up.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        let body = serde_json::from_slice(body).expect("JSON");
        self.while_up().await;
        self.dynamo.pass(10).await;
        let response = self.dynamo.respond(&operation, body).await;
        self.dynamo.pass(10).await;
        self.while_up().await;
        let (status, text) = match response {
            SimulatedResponse::Json(status, body) => (status, body.to_string()),
            SimulatedResponse::Cut => (200, "{\"Cons".to_owned()),
            SimulatedResponse::Broken => {
                return Err(ConnectorError::io("the connection broke".into()));
            }
            SimulatedResponse::Never => std::future::pending().await,
        };
        let status = status.try_into().expect("a status");
        Ok(HttpResponse::new(status, SdkBody::from(text)))
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
