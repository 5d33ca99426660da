//! Authentication: accepted and rejected tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cruddur::auth::TokenUse;
use cruddur::dev::SigningKey;
use cruddur::schema::Introspection;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::harness::{Cruddur, Setup, Socket, TIMEOUT, start, start_with};

/// Returns status and body of a request with these `Authorization` headers.
async fn send(cruddur: &Cruddur, headers: &[String], document: &str) -> (u16, Value) {
    let mut request = cruddur.http.post(format!("{}/graphql", cruddur.url));
    for header in headers {
        request = request.header(AUTHORIZATION, header);
    }
    let response = request
        .json(&json!({ "query": document }))
        .send()
        .await
        .expect("a response");
    let status = response.status().as_u16();
    assert_eq!(
        response
            .headers()
            .get("www-authenticate")
            .is_some_and(|value| value == "Bearer"),
        status == 401
    );
    (status, response.json().await.expect("JSON"))
}

const VIEWER: &str = "{ viewer { handle } }";

fn code(response: &Value) -> &str {
    assert_eq!(response.get("data"), None);
    response["errors"][0]["extensions"]["code"]
        .as_str()
        .expect("a code")
}

#[tokio::test]
async fn valid_token_identifies_its_user() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let token = cruddur.token("luu");

    for scheme in ["Bearer", "bearer", "BEARER"] {
        let found = send(&cruddur, &[format!("{scheme} {token}")], VIEWER).await;
        assert_eq!(
            found,
            (200, json!({ "data": { "viewer": { "handle": "luu" } } }))
        );
    }
}

#[tokio::test]
async fn invalid_token_is_rejected_with_401_and_the_same_message() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let good = cruddur.issuer.claims("sub-luu");
    let token = cruddur.token("luu");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        cruddur.issuer.sign(&claims).expect("a token")
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(name);
        cruddur.issuer.sign(&claims).expect("a token")
    };
    let now = cruddur::clock::Clock::system().now().timestamp();
    let stranger = SigningKey::generate().expect("a key");
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };

    let mut bad = vec![
        with("exp", json!(now - 1)),
        with("exp", json!(now)),
        with("exp", json!("never")),
        with("exp", Value::Null),
        with("nbf", json!(now + 60)),
        with("nbf", json!("soon")),
        with("iss", json!("https://evil.example")),
        with("iss", json!([cruddur.issuer.url()])),
        with("iss", json!(7)),
        with("token_use", json!("id")),
        with("token_use", json!("refresh")),
        with("client_id", json!("another")),
        with("client_id", json!(["cruddur-dev"])),
        with("sub", json!("")),
        with("sub", json!(7)),
        with("sub", Value::Null),
        stranger.sign(&good).expect("a token"),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{}", &signature[1..]),
        format!(
            "{header}.{}.{signature}",
            with("sub", json!("sub-unamused"))
                .split('.')
                .nth(1)
                .expect("claims")
        ),
        format!("{token}.x"),
        "x".repeat(7000),
        "…".to_owned(),
    ];
    bad.extend(["exp", "iss", "sub", "token_use", "client_id"].map(without));
    bad.extend(bad_claims(&cruddur, &good));
    bad.extend(bad_headers(&cruddur, &good));
    bad.extend(
        [json!([]), json!("claims"), json!(7), Value::Null].map(|claims| {
            let header = json!({ "alg": "RS256", "kid": cruddur.issuer.key().jwk()["kid"] });
            let key = cruddur.issuer.key();
            key.sign_under(&header, &claims).expect("a token")
        }),
    );
    // One bit of the signature is changed, at many positions.
    bad.extend((0..20).map(|place| {
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        let at = place * bytes.len() / 20;
        bytes[at] ^= 1;
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }));
    bad.extend([
        format!("{token}="),
        format!("{token}=="),
        format!(".{token}"),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        "..".to_owned(),
        format!("{token} {token}"),
    ]);
    assert!(bad.len() >= 80, "{}", bad.len());
    let mut headers: Vec<Vec<String>> = bad
        .into_iter()
        .map(|token| vec![format!("Bearer {token}")])
        .collect();
    headers.push(vec![format!("bearer x{token}")]);

    let same = json!({
        "errors": [{
            "message": "The access token is not valid. Sign in again.",
            "extensions": { "code": "UNAUTHENTICATED" },
        }],
    });
    for header in headers {
        let rejected = send(&cruddur, &header, VIEWER).await;
        assert_eq!(rejected, (401, same.clone()), "{header:?}");
    }
    let (status, rejected) = send(&cruddur, &[], VIEWER).await;
    assert_eq!((status, code(&rejected)), (401, "UNAUTHENTICATED"));
}

/// Tokens with a valid signature and invalid claims.
fn bad_claims(cruddur: &Cruddur, good: &Value) -> Vec<String> {
    let now = cruddur::clock::Clock::system().now().timestamp();
    let far = u64::MAX;
    let wrong = [
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(format!("{}", now + 60))),
        ("exp", json!([now + 60])),
        ("exp", json!(true)),
        ("nbf", json!(far)),
        ("nbf", json!({})),
        ("nbf", json!([])),
        ("iss", json!("")),
        ("iss", Value::Null),
        ("iss", json!(format!("{}/", cruddur.issuer.url()))),
        ("iss", json!(cruddur.issuer.url().to_uppercase())),
        ("iss", json!({ "0": cruddur.issuer.url() })),
        ("token_use", json!("")),
        ("token_use", Value::Null),
        ("token_use", json!("ACCESS")),
        ("token_use", json!(["access"])),
        ("client_id", json!("")),
        ("client_id", Value::Null),
        ("client_id", json!("CRUDDUR-DEV")),
        ("client_id", json!("cruddur-dev,another")),
        ("sub", json!(["sub-luu"])),
        ("sub", json!({})),
        ("sub", json!(true)),
    ];
    let signed = wrong.into_iter().map(|(name, value)| {
        let mut claims = good.clone();
        claims[name] = value;
        cruddur.issuer.sign(&claims).expect("a token")
    });
    signed.collect()
}

/// Tokens with valid claims and a valid signature, and invalid headers.
fn bad_headers(cruddur: &Cruddur, claims: &Value) -> Vec<String> {
    let key = cruddur.issuer.key();
    let kid = &key.jwk()["kid"];
    let mut headers: Vec<Value> = [
        "none", "None", "", "HS256", "HS512", "RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256",
    ]
    .map(|algorithm| json!({ "alg": algorithm, "kid": kid }))
    .into();
    headers.extend([
        json!({ "kid": kid }),
        json!({ "alg": 256, "kid": kid }),
        json!({ "alg": ["RS256"], "kid": kid }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "RS256", "kid": "" }),
        json!({ "alg": "RS256", "kid": "unknown" }),
        json!({ "alg": "RS256", "kid": 7 }),
        json!({ "alg": "RS256", "kid": null }),
        json!({ "alg": "RS256", "kid": [kid] }),
        json!({ "alg": "RS256", "kid": kid, "crit": ["exp"] }),
        json!({ "alg": "RS256", "kid": kid, "crit": [] }),
        json!([]),
        json!("header"),
    ]);
    let signed = headers.iter().map(|header| key.sign_under(header, claims));
    let signed = signed.map(|token| token.expect("a token"));
    signed.chain(by_the_public_key(key.jwk(), claims)).collect()
}

/// Tokens that are signed with public information as a shared secret.
fn by_the_public_key(jwk: &Value, claims: &Value) -> Vec<String> {
    let modulus = jwk["n"].as_str().expect("a modulus");
    let secrets = [
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).expect("base64"),
        jwk.to_string().into_bytes(),
    ];
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = jwk["kid"].as_str().map(str::to_owned);
    let signed = secrets.iter().map(|secret| {
        let secret = jsonwebtoken::EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&header, claims, &secret).expect("a token")
    });
    signed.collect()
}

#[tokio::test]
async fn token_without_a_user_is_forbidden_until_the_user_exists() {
    let cruddur = start().await;
    let token = [format!("Bearer {}", cruddur.token("luu"))];

    let (status, rejected) = send(&cruddur, &token, VIEWER).await;
    assert_eq!((status, code(&rejected)), (403, "FORBIDDEN"));

    cruddur.users(["luu"]).await;
    assert_eq!(send(&cruddur, &token, VIEWER).await.0, 200);
}

#[tokio::test]
async fn id_token_is_accepted_only_if_configured() {
    for (token_use, access, id) in [
        (TokenUse::Access, 200, 401),
        (TokenUse::Id, 401, 200),
        (TokenUse::Any, 200, 200),
    ] {
        let cruddur = start_with(Setup {
            token_use,
            ..Setup::default()
        })
        .await;
        cruddur.users(["luu"]).await;
        let mut claims = cruddur.issuer.claims("sub-luu");
        claims["token_use"] = json!("id");
        claims["aud"] = claims["client_id"].take();
        let id_token = cruddur.issuer.sign(&claims).expect("a token");

        assert_eq!(
            send(
                &cruddur,
                &[format!("Bearer {}", cruddur.token("luu"))],
                VIEWER
            )
            .await
            .0,
            access
        );
        assert_eq!(
            send(&cruddur, &[format!("Bearer {id_token}")], VIEWER)
                .await
                .0,
            id
        );
    }
}

#[tokio::test]
async fn introspection_setting_decides_who_can_query_the_schema() {
    const SCHEMA: &str = "{ __schema { queryType { name } } }";
    for (introspection, anonymous, signed_in) in [
        (Introspection::Public, 200, true),
        (Introspection::Authenticated, 401, true),
        (Introspection::Off, 401, false),
    ] {
        let cruddur = start_with(Setup {
            introspection,
            ..Setup::default()
        })
        .await;
        cruddur.users(["luu"]).await;
        let token = [format!("Bearer {}", cruddur.token("luu"))];

        assert_eq!(
            send(&cruddur, &[], SCHEMA).await.0,
            anonymous,
            "{introspection:?}"
        );
        assert_eq!(
            send(&cruddur, &[], "{ __typename viewer { handle } }")
                .await
                .0,
            401
        );
        assert_eq!(
            send(&cruddur, &["Bearer x".to_owned()], SCHEMA).await.0,
            401
        );
        let (_, shown) = send(&cruddur, &token, SCHEMA).await;
        assert_eq!(
            shown["data"]["__schema"]["queryType"]["name"] == "Query",
            signed_in,
            "{introspection:?} {shown}"
        );
        let (_, wrong) = send(&cruddur, &token, "{ viewr { handle } }").await;
        let message = wrong["errors"][0]["message"].as_str().expect("a text");
        assert_eq!(message.contains("Did you mean"), signed_in, "{message}");
    }
}

#[tokio::test]
async fn issuer_gives_tokens_to_this_machine_only() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let url = cruddur
        .issuer
        .url()
        .rsplit_once('/')
        .expect("a path")
        .0
        .to_owned()
        + "/token";
    let execute = |handle: &str, host: Option<&str>| {
        let request = cruddur.http.post(&url).json(&json!({ "handle": handle }));
        let request = match host {
            Some(host) => request.header("host", host),
            None => request,
        };
        request.timeout(TIMEOUT).send()
    };

    let given: Value = execute("luu", None)
        .await
        .expect("a response")
        .json()
        .await
        .expect("JSON");
    let token = given["access_token"].as_str().expect("a token");
    assert_eq!(
        send(&cruddur, &[format!("Bearer {token}")], VIEWER).await.0,
        200
    );
    assert_eq!(
        execute("nobody", None).await.expect("a response").status(),
        404
    );
    assert_eq!(
        execute("luu", Some("evil.example"))
            .await
            .expect("a response")
            .status(),
        403
    );
}

#[tokio::test]
async fn authorization_without_bearer_is_rejected_with_a_description() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let token = cruddur.token("luu");
    let bearer = format!("Bearer {token}");
    let no_bearer =
        "The `Authorization` header has no `Bearer` token: send `Bearer <access token>`.";
    let several = "Send one `Authorization` header, as `Bearer <access token>`.";
    for (headers, message) in [
        (vec![token.clone()], no_bearer),
        (vec![format!("Basic {token}")], no_bearer),
        (vec![format!("Bearer: {token}")], no_bearer),
        (vec![format!("Token {token}")], no_bearer),
        (vec!["Bearer".to_owned()], no_bearer),
        (vec!["Bearer ".to_owned()], no_bearer),
        (vec![String::new()], no_bearer),
        (vec![bearer.clone(), bearer], several),
    ] {
        let (status, rejected) = send(&cruddur, &headers, VIEWER).await;
        assert_eq!(
            (status, code(&rejected)),
            (401, "UNAUTHENTICATED"),
            "{headers:?}"
        );
        assert_eq!(rejected["errors"][0]["message"], message, "{headers:?}");
    }
}

/// Creates a valid token of about this length, of a user in many groups.
fn token_of_length(cruddur: &Cruddur, length: usize) -> String {
    let mut claims = cruddur.issuer.claims("sub-luu");
    let groups = (0..length * 3 / 4 / 40).map(|number| format!("group-{number:030}"));
    claims["cognito:groups"] = groups.collect::<Vec<_>>().into();
    cruddur.issuer.sign(&claims).expect("a token")
}

#[tokio::test]
async fn token_size_is_accepted_up_to_the_limit_of_a_request_head() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    for length in [8_000, 12_000, 20_000, 30_000] {
        let token = token_of_length(&cruddur, length);
        assert!(token.len() > length * 9 / 10, "{}", token.len());
        let found = send(&cruddur, &[format!("Bearer {token}")], VIEWER).await;
        assert_eq!(found.0, 200, "{} bytes: {found:?}", token.len());
        let mut socket = Socket::connect(&cruddur.url, &token).await;
        let response = socket.execute("1", VIEWER, json!({})).await;
        assert_eq!(response["payload"]["data"]["viewer"]["handle"], "luu");
    }
}

#[tokio::test]
async fn token_above_the_size_limit_is_rejected_with_431_or_4403() {
    let cruddur = start().await;
    cruddur.users(["luu"]).await;
    let token = token_of_length(&cruddur, 40_000);
    let request = cruddur.http.post(format!("{}/graphql", cruddur.url));
    let request = request
        .bearer_auth(&token)
        .json(&json!({ "query": VIEWER }));
    let rejected = request.send().await.expect("a response");
    assert_eq!(rejected.status(), 431);

    let mut socket = Socket::open(&cruddur.url).await;
    socket.init(&token).await;
    let reason = "The token exceeds the limit of 32768 bytes".to_owned();
    assert_eq!(socket.closed().await, (4403, reason));
}
