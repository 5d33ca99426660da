//! The listener for `GET /metrics`, separate from the API's.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::telemetry::metrics::{CONTENT_TYPE as TEXT, render};

/// Serves `GET /metrics` until the process ends.
pub async fn serve_metrics(listener: TcpListener) -> std::io::Result<()> {
    axum::serve(listener, Router::new().route("/metrics", get(metrics))).await
}

async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT)], render())
}
