//! Documents selected by an ID: Apollo's automatic persisted queries, and
//! trusted documents.

use aws_lc_rs::digest::{SHA256, digest};
use cruddur::schema::{Api, Introspection, Limits};
use cruddur::server::Documents;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Cruddur, Setup, start_with};

const VIEWER: &str = "query Viewer { viewer { handle } }";
const USER: &str = "query User($handle: String!) { user(handle: $handle) { displayName } }";

fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn persisted(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

fn trusted(manifest: &Value) -> Result<Documents, String> {
    let api = Api::new(Introspection::Authenticated, Limits::default()).expect("a valid schema");
    Documents::trusted([manifest.to_string().as_str()], &api).map_err(|error| error.to_string())
}

async fn with_documents(documents: Documents, introspection: Introspection) -> Cruddur {
    let cruddur = start_with(Setup {
        introspection,
        documents,
        ..Setup::default()
    })
    .await;
    cruddur.users(["luu"]).await;
    cruddur
}

/// Returns status and response.
async fn execute(cruddur: &Cruddur, body: &Value) -> (u16, Value) {
    let url = format!("{}/graphql", cruddur.url);
    let request = cruddur.http.request(Method::POST, url);
    let response = request
        .bearer_auth(cruddur.token("luu"))
        .header("accept", "application/graphql-response+json")
        .json(body)
        .send()
        .await
        .expect("a response");
    (
        response.status().into(),
        response.json().await.expect("JSON"),
    )
}

fn rejection((status, response): &(u16, Value)) -> (u16, &str, &str) {
    assert_eq!(response.get("data"), None, "{response}");
    let error = &response["errors"][0];
    let code = error["extensions"]["code"].as_str().expect("a code");
    (*status, code, error["message"].as_str().expect("a text"))
}

#[tokio::test]
async fn persisted_query_is_found_by_its_hash() {
    let cruddur = with_documents(Documents::default(), Introspection::Authenticated).await;
    let hash = sha256(VIEWER);
    let by_hash = json!({ "extensions": persisted(&hash) });
    let unknown = execute(&cruddur, &by_hash).await;
    assert_eq!(
        rejection(&unknown),
        (400, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    );

    let both = json!({ "query": VIEWER, "extensions": persisted(&hash) });
    let luu = json!({ "data": { "viewer": { "handle": "luu" } } });
    assert_eq!(execute(&cruddur, &both).await, (200, luu.clone()));
    assert_eq!(execute(&cruddur, &by_hash).await, (200, luu.clone()));
    let by_id = json!({ "documentId": format!("sha256:{hash}") });
    assert_eq!(execute(&cruddur, &by_id).await, (200, luu.clone()));
    let extensions = persisted(&hash).to_string();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("extensions", &extensions)
        .finish();
    let by_get = cruddur
        .http
        .get(format!("{}/graphql?{query}", cruddur.url))
        .bearer_auth(cruddur.token("luu"));
    let by_get = by_get.send().await.expect("a response");
    assert_eq!(by_get.json::<Value>().await.expect("JSON"), luu);
}

#[tokio::test]
async fn persisted_query_is_stored_only_under_its_own_hash() {
    let cruddur = with_documents(Documents::default(), Introspection::Public).await;
    let other = json!({ "query": VIEWER, "extensions": persisted(&sha256(USER)) });
    let rejected = execute(&cruddur, &other).await;
    let (status, code, _) = rejection(&rejected);
    assert_eq!((status, code), (400, "BAD_REQUEST"));
    let broken = "query {";
    let sent = json!({ "query": broken, "extensions": persisted(&sha256(broken)) });
    execute(&cruddur, &sent).await;
    // Documents of callers who are not users are not stored either.
    let schema = "{ __schema { queryType { name } } }";
    let sent = json!({ "query": schema, "extensions": persisted(&sha256(schema)) });
    let anonymous = cruddur.http.post(format!("{}/graphql", cruddur.url));
    let anonymous = anonymous.json(&sent).send().await.expect("a response");
    let anonymous: Value = anonymous.json().await.expect("JSON");
    assert_eq!(anonymous["data"]["__schema"]["queryType"]["name"], "Query");
    for text in [USER, broken, schema] {
        let by_hash = json!({ "extensions": persisted(&sha256(text)) });
        let unknown = execute(&cruddur, &by_hash).await;
        assert_eq!(rejection(&unknown).1, "PERSISTED_QUERY_NOT_FOUND", "{text}");
    }
    for wrong in [
        json!({ "persistedQuery": { "version": 2, "sha256Hash": sha256(VIEWER) } }),
        json!({ "persistedQuery": { "version": 1, "sha256Hash": 5 } }),
        json!({ "persistedQuery": "5" }),
    ] {
        let rejected = execute(&cruddur, &json!({ "query": VIEWER, "extensions": wrong })).await;
        assert_eq!(rejection(&rejected).1, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn trusted_documents_exclude_all_others_before_parsing() {
    let manifest = json!({ "sha256:viewer-1": VIEWER, "user-1": USER });
    let documents = trusted(&manifest).expect("a manifest");
    let cruddur = with_documents(documents, Introspection::Public).await;
    let luu = json!({ "data": { "viewer": { "handle": "luu" } } });
    let user = json!({ "data": { "user": { "displayName": "luu the user" } } });
    let by_id = json!({ "documentId": "user-1", "variables": { "handle": "luu" } });
    assert_eq!(execute(&cruddur, &by_id).await, (200, user));
    let by_hash = json!({ "extensions": persisted("viewer-1") });
    assert_eq!(execute(&cruddur, &by_hash).await, (200, luu.clone()));
    // A document next to the ID of a trusted document is ignored.
    let both = json!({ "documentId": "viewer-1", "query": "{" });
    assert_eq!(execute(&cruddur, &both).await, (200, luu));

    for (body, expected) in [
        (
            json!({ "query": VIEWER }),
            "This server executes only trusted documents",
        ),
        (
            json!({ "query": "{ not a document" }),
            "This server executes only trusted documents",
        ),
        (
            json!({ "query": "{ __schema { queryType { name } } }" }),
            "This server executes only trusted documents",
        ),
        (json!({ "documentId": "another" }), "PersistedQueryNotFound"),
        (
            json!({ "query": VIEWER, "extensions": persisted(&sha256(VIEWER)) }),
            "PersistedQueryNotFound",
        ),
    ] {
        let rejected = execute(&cruddur, &body).await;
        let (status, code, message) = rejection(&rejected);
        assert_eq!((status, code), (400, "PERSISTED_QUERY_NOT_FOUND"), "{body}");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn trusted_documents_manifest_has_a_known_format_and_executable_documents() {
    let apollo = json!({
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{ "id": "1", "name": "Viewer", "type": "query", "body": VIEWER }],
    });
    assert!(trusted(&apollo).is_ok());
    for (manifest, expected) in [
        (json!(["{ viewer { handle } }"]), "it is not a manifest"),
        (json!({ "1": { "text": VIEWER } }), "it is not a manifest"),
        (json!({}), "it has no documents"),
        (
            json!({ "1": VIEWER, "sha256:1": USER }),
            "two of its documents have the ID",
        ),
        (
            json!({ "1": "{ messageGroup(uuid: \"x\") { uuid } }" }),
            "its document 1 cannot be executed: \"x\" is not a UUID",
        ),
        (
            json!({ "1": "{ messageGroups(first: 100) { edges { node { messages(first: 100) { edges { cursor } } } } } }" }),
            "its document 1 cannot be executed: The operation has",
        ),
        (
            json!({ "1": "{ viewer { nothing } }" }),
            "its document 1 cannot be executed: Cannot query field \"nothing\" on type \"User\".",
        ),
        (
            json!({ "1": "query {" }),
            "its document 1 cannot be executed: Syntax error",
        ),
        (
            json!({ "1": "query A { viewer { id } } query B { viewer { id } }" }),
            "its document 1 cannot be executed: The document has 2 operations",
        ),
    ] {
        let rejected = trusted(&manifest).expect_err("no manifest");
        assert!(rejected.starts_with(expected), "{rejected}");
    }
}

#[tokio::test]
async fn trusted_documents_of_the_web_app_are_executed_by_their_ids() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/web/app/src/gql/persisted-documents.json"
    );
    let manifest = std::fs::read_to_string(file).expect("the manifest that the app's build writes");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let documents = trusted(&manifest).expect("documents that fit the schema");
    let cruddur = with_documents(documents, Introspection::Off).await;

    let mut executed = 0;
    for (id, document) in manifest.as_object().expect("ids and documents") {
        let variables = json!({ "handle": "luu", "first": 20, "last": 20 });
        let document = document.as_str().expect("a document");
        let (hash, is_query) = (
            id.trim_start_matches("sha256:"),
            document.contains("query "),
        );
        if is_query && !document.contains("$uuid") && !document.contains("UUID!") {
            let body = json!({ "extensions": persisted(hash), "variables": variables });
            let (status, response) = execute(&cruddur, &body).await;
            assert_eq!((status, response.get("errors")), (200, None), "{document}");
            executed += 1;
        }
    }
    assert!(executed >= 2, "{executed} of {manifest}");
    let untrusted = execute(&cruddur, &json!({ "query": VIEWER })).await;
    assert_eq!(rejection(&untrusted).1, "PERSISTED_QUERY_NOT_FOUND");
}
