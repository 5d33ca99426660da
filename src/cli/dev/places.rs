//! The output of `dev` when everything is ready.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::json;

use crate::auth::TrustedIssuer;
use crate::config::DYNAMODB_ENDPOINT;
use crate::demo;
use crate::dev::CLIENT_ID;

/// The AWS region that is used for the embedded DynamoDB.
const REGION: &str = "us-east-1";

/// The addresses of all services.
pub(super) struct Places {
    pub api: SocketAddr,
    pub dynamodb: String,
    pub database: String,
    pub issuer: String,
    pub token_url: String,
    pub table: String,
    pub tokens: BTreeMap<&'static str, String>,
}

impl Places {
    /// Returns one line of JSON, for programs.
    pub fn json(&self) -> String {
        let line = json!({
            "app": format!("http://{}/", self.api),
            "graphql": format!("http://{}/graphql", self.api),
            "websocket": format!("ws://{}/graphql", self.api),
            "graphiql": format!("http://{}/graphiql", self.api),
            "dynamodb": self.dynamodb,
            "region": REGION,
            "database_url": self.database,
            "issuer": self.issuer,
            "token_url": self.token_url,
            "jwks_url": TrustedIssuer::named(self.issuer.clone()).jwks_url,
            "client_id": CLIENT_ID,
            "table": self.table,
            "tokens": self.tokens,
        });
        format!("{line}\n")
    }

    /// Returns the same information as text, for people.
    pub fn text(&self) -> String {
        let signed_in = demo::handles()[0];
        let token = self.tokens.get(signed_in).map_or("", String::as_str);
        let others = demo::handles()[1..].join(", ");
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\
cruddur is running. Ctrl-C stops all of it.

  Messages   http://{api}/
  GraphiQL   http://{api}/graphiql
  GraphQL    http://{api}/graphql
  DynamoDB   {dynamodb}  (table {table})
  Postgres   {database}
  Issuer     {issuer}

For the other commands, in another terminal:

  export {DYNAMODB_ENDPOINT}={dynamodb}
  export DATABASE_URL={database}
  export DDB_MESSAGE_TABLE={table}
  export COGNITO_ISSUER={issuer}
  export AWS_COGNITO_USER_POOL_CLIENT_ID={CLIENT_ID}

The demo users are {signed_in}, {others}. To get a token for one of them:

  curl -s {token_url} -H 'content-type: application/json' -d '{{\"handle\":\"unamused\"}}'

To list the message groups of {signed_in}:

  curl -s http://{api}/graphql -H 'content-type: application/json' \\
    -H 'authorization: Bearer {token}' \\
    -d '{{\"query\":\"{{ messageGroups {{ edges {{ node {{ uuid otherUser {{ handle }} lastMessage {{ body createdAt }} }} }} }} }}\"}}'
",
            api = self.api,
            dynamodb = self.dynamodb,
            table = self.table,
            database = self.database,
            issuer = self.issuer,
            token_url = self.token_url,
        );
        text
    }
}
