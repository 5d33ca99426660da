//! A client for server-sent events.

use serde_json::Value;

use super::Cruddur;

/// The received events: type and data.
pub struct Events {
    pub response: reqwest::Response,
    buffer: String,
}

impl Events {
    /// Sends a request that accepts only events, with a request ID.
    pub async fn open(cruddur: &Cruddur, url: &str, id: &str, handle: &str, body: &Value) -> Self {
        let request = cruddur
            .http
            .post(url)
            .bearer_auth(cruddur.token(handle))
            .header("accept", "text/event-stream")
            .header("x-request-id", id)
            .json(body);
        let response = request.send().await.expect("a response");
        let buffer = String::new();
        Self { response, buffer }
    }

    /// Returns the next event, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let line = |name: &str| {
                    let mut lines = event.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::trim)
                };
                let kind = line("event:").map(str::to_owned);
                let data = line("data:").and_then(|data| serde_json::from_str(data).ok());
                self.buffer = rest.to_string();
                // Comments keep the connection alive.
                if let Some(kind) = kind {
                    return Some((kind, data.unwrap_or_default()));
                }
                continue;
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.buffer += std::str::from_utf8(&chunk).expect("UTF-8");
        }
    }
}
