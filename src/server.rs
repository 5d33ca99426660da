//! The HTTP server: routes, listener, transports and authentication. It passes GraphQL operations
//! on to `schema`.
//!
//! `listener` accepts connections, `routes` routes their requests, and the transports `http`, `sse`
//! and `websocket` send each operation through `execute`.

mod access_log;
mod admission;
mod assets;
mod authenticate;
mod client_address;
mod connection_quota;
mod cors;
mod documents;
mod execute;
mod graphiql;
mod health;
mod http;
mod json;
mod listener;
mod metrics;
mod negotiate;
mod origin;
mod rejection;
mod request;
mod request_id;
mod routes;
mod sse;
mod state;
mod web_app;
mod websocket;

pub use axum::http::HeaderName;
pub use client_address::{ProxyNetwork, TrustedProxies};
pub use cors::Origins;
pub use documents::{Documents, InvalidManifest};
pub use graphiql::Graphiql;
pub use health::Health;
pub use json::InvalidJson;
pub use listener::{Stopped, serve};
pub use metrics::serve_metrics;
pub use origin::{InvalidOrigin, Origin};
pub use routes::router;
pub use state::{App, Bounds};
pub use web_app::{WebApp, WebAppConfig, WebAppSettings, web_app_documents};
