//! `Accept` headers as clients send them, including ones that violate the
//! grammar.

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::json;

use crate::harness::start;

const JSON: Option<&str> = Some("application/json; charset=utf-8");
const GRAPHQL: Option<&str> = Some("application/graphql-response+json; charset=utf-8");

#[tokio::test]
async fn accept_header_is_parsed_leniently() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    for (lines, expected) in [
        // Java before 19.
        (
            &["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"][..],
            JSON,
        ),
        (&["*"], JSON),
        (&["*/*;q=1."], JSON),
        (&[""], JSON),
        (&[","], JSON),
        (&[";q=0.5"], JSON),
        (&["json"], JSON),
        (&["text/html", "application/json"], JSON),
        (&["text/html;q=1", "*;q=.1"], JSON),
        (&["application/json, application/*+json"], JSON),
        (&["application/json; title=\"a, b\"; q=0.5"], JSON),
        (&["text/x; title=\"application/json\", */*;q=0.1"], JSON),
        (
            &["application/graphql-response+json;q=.9, */*;q=.8"],
            GRAPHQL,
        ),
        (
            &[
                "application/json;q=0.5",
                "application/graphql-response+json;q=1.0000",
            ],
            GRAPHQL,
        ),
        (&["text/html"], None),
        (&["*;q=0"], None),
    ] {
        let mut request = cruddur.http.post(format!("{}/graphql", cruddur.url));
        for line in lines {
            request = request.header(ACCEPT, *line);
        }
        let request = request.bearer_auth(cruddur.token("luu"));
        let body = json!({ "query": "{ viewer { handle } }" });
        let response = request.json(&body).send().await.expect("a response");
        let status = if expected.is_some() { 200 } else { 406 };
        assert_eq!(response.status(), status, "{lines:?}");
        if expected.is_some() {
            let media = response.headers()[CONTENT_TYPE].to_str().ok();
            assert_eq!(media, expected, "{lines:?}");
        }
    }
}
