//! The users of a Cognito user pool.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::operation::list_users::ListUsersOutput;

use super::credentials::{NoCredentials, find_credentials};
use super::dynamo::{on_loopback, with_long_timeouts, with_short_timeouts};
use super::endpoint::{AwsService, InvalidAwsSetting, configured_endpoint};
use super::error::{StoreError, StoreResult};
use super::fault::{Reason, Service};
use crate::http_url::shown;

/// Number of users on a page: Cognito's maximum.
const PAGE: i32 = 60;

/// A user of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUser {
    /// The username in the pool.
    pub username: String,
    /// The `sub` claim of the user's tokens.
    pub sub: String,
    /// The handle, if the user has one.
    pub preferred_username: Option<String>,
}

/// A Cognito user pool.
#[derive(Clone, Debug)]
pub struct UserPool {
    config: SdkConfig,
    id: String,
    /// The endpoint from the configuration, without secrets.
    endpoint: Option<String>,
    /// The address to which calls are sent, without secrets.
    pub address: String,
}

impl UserPool {
    /// Creates a client for the pool with an ID, in its region, with the
    /// endpoint of the SDK's configuration. No call is made.
    pub async fn connect(id: String, region: String) -> Result<Self, InvalidAwsSetting> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        let mut address = format!("https://cognito-idp.{region}.amazonaws.com");
        let endpoint = configured_endpoint(AwsService::Cognito).await?;
        if let Some(endpoint) = &endpoint {
            address = shown(&endpoint.url);
            if endpoint.is_loopback() {
                loader = on_loopback(loader, &endpoint.url);
            }
        }
        let config = loader.region(Region::new(region)).load().await;
        Ok(Self {
            config,
            id,
            endpoint: endpoint.map(|_| address.clone()),
            address,
        })
    }

    /// Checks that credentials are available, so that their absence has its own
    /// error.
    pub async fn check_credentials(&self) -> Result<(), NoCredentials> {
        find_credentials(&self.config).await
    }

    /// Returns the location of the pool as text: the configured endpoint, or
    /// AWS.
    pub fn location(&self) -> &str {
        self.endpoint.as_deref().unwrap_or("AWS")
    }

    /// Returns all users: one `ListUsers` for each page of 60.
    ///
    /// Throttled calls are retried; a wrong address is reported immediately.
    pub async fn users(&self) -> StoreResult<Vec<PoolUser>> {
        let quick_client = Client::new(&with_short_timeouts(self.config.clone()));
        let client = Client::new(&with_long_timeouts(self.config.clone()));
        let mut page = match self.page(&quick_client, None).await {
            Err(StoreError::Unavailable {
                reason: Reason::Throttled | Reason::Unavailable,
                ..
            }) => self.page(&client, None).await,
            page => page,
        }?;
        let mut users = Vec::new();
        loop {
            users.extend(
                page.users
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(pool_user),
            );
            let next = page.pagination_token.filter(|token| !token.is_empty());
            let Some(next) = next else {
                return Ok(users);
            };
            page = self.page(&client, Some(next)).await?;
        }
    }

    async fn page(&self, client: &Client, from: Option<String>) -> StoreResult<ListUsersOutput> {
        let page = client
            .list_users()
            .user_pool_id(&self.id)
            .limit(PAGE)
            .set_pagination_token(from)
            .send()
            .await;
        page.map_err(|error| StoreError::of_sdk(Service::Cognito, error))
    }
}

fn pool_user(user: aws_sdk_cognitoidentityprovider::types::UserType) -> Option<PoolUser> {
    let attributes = user.attributes.unwrap_or_default();
    let attribute = |name: &str| {
        let found = attributes.iter().find(|attribute| attribute.name == name);
        found.and_then(|found| found.value.clone())
    };
    Some(PoolUser {
        username: user.username.unwrap_or_default(),
        sub: attribute("sub")?,
        preferred_username: attribute("preferred_username").filter(|name| !name.is_empty()),
    })
}
