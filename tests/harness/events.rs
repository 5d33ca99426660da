//! What comes by server-sent events.

use serde_json::Value;

use super::Cruddur;

/// What comes by server-sent events: kinds and data, as far as they have come.
pub struct Events {
    pub answer: reqwest::Response,
    buffer: String,
}

impl Events {
    /// Asks for events alone, with an id for the log.
    pub async fn open(cruddur: &Cruddur, url: &str, id: &str, handle: &str, body: &Value) -> Self {
        let request = cruddur
            .http
            .post(url)
            .bearer_auth(cruddur.token(handle))
            .header("accept", "text/event-stream")
            .header("x-request-id", id)
            .json(body);
        let answer = request.send().await.expect("an answer");
        let buffer = String::new();
        Self { answer, buffer }
    }

    /// The next event, unless there are no more.
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
                // What is none keeps the connection alive.
                if let Some(kind) = kind {
                    return Some((kind, data.unwrap_or_default()));
                }
                continue;
            }
            let chunk = self.answer.chunk().await.ok().flatten()?;
            self.buffer += std::str::from_utf8(&chunk).expect("UTF-8");
        }
    }
}
