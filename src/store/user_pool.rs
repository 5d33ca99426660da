//! The users of a Cognito pool.

use aws_config::{BehaviorVersion, Region};
use aws_sdk_cognitoidentityprovider::Client;

use super::dynamo::{NoCredentials, find_credentials, on_loopback};
use super::error::{Service, StoreError, causes};
use crate::loopback::is_loopback;

/// The SDK's own variable for another Cognito than AWS's.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";
/// The most users of a page.
const PAGE: i32 = 60;

/// A user of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUser {
    /// The name in the pool.
    pub username: String,
    /// The `sub` of their tokens.
    pub sub: String,
    /// The handle, where the user has one.
    pub preferred_username: Option<String>,
}

/// A Cognito user pool.
#[derive(Clone, Debug)]
pub struct UserPool {
    client: Client,
    id: String,
}

impl UserPool {
    /// The pool with an id, in its region. Asks for credentials, so that their
    /// lack is told as such.
    pub async fn connect(id: String, region: String) -> Result<Self, NoCredentials> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        match std::env::var(ENDPOINT) {
            Ok(url) if is_loopback(&url) => loader = on_loopback(loader, &url),
            _ => {}
        }
        let config = loader.region(Region::new(region)).load().await;
        find_credentials(&config).await?;
        Ok(Self {
            client: Client::new(&config),
            id,
        })
    }

    /// All users, a page of 60 at a time: one `ListUsers` each.
    pub async fn users(&self) -> Result<Vec<PoolUser>, StoreError> {
        let pages = self.client.list_users().user_pool_id(&self.id);
        let mut pages = pages.into_paginator().page_size(PAGE).send();
        let mut users = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                let cause = causes(&error);
                match error.as_service_error() {
                    Some(_) => StoreError::refused(Service::Cognito, cause),
                    None => StoreError::unavailable(Service::Cognito, cause),
                }
            })?;
            for user in page.users.unwrap_or_default() {
                let attributes = user.attributes.unwrap_or_default();
                let attribute = |name: &str| {
                    let found = attributes.iter().find(|attribute| attribute.name == name);
                    found.and_then(|found| found.value.clone())
                };
                users.extend(attribute("sub").map(|sub| PoolUser {
                    username: user.username.unwrap_or_default(),
                    sub,
                    preferred_username:
                        attribute("preferred_username").filter(|name| !name.is_empty()),
                }));
            }
        }
        Ok(users)
    }
}
