//! A key, its key set over HTTP, and the viewer's token. The process that
//! starts the runs passes them to the runs in the environment.

use cruddur::clock::Clock;
use std::io::{Read, Write};
use std::net::TcpListener;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::AnyError;

pub const ISSUER: &str = "https://issuer.invalid/pool";
pub const CLIENT: &str = "benchmark";
/// The viewer's `sub`.
pub const VIEWER: &str = "f73f4b05-a59e-468b-8a29-a1c39e7a2222";

const KEY_SET_URL: &str = "BENCH_KEY_SET_URL";
const TOKEN: &str = "BENCH_TOKEN";
const VALID_FOR: TimeDelta = TimeDelta::hours(12);

/// The URL of the key set, and a token that it verifies.
pub struct SignIn {
    url: String,
    token: String,
}

impl SignIn {
    /// Generates a key, and serves its public part until the process ends.
    pub fn start() -> Result<Self, AnyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let public = pair.public_key();
        let key_set = json!({ "keys": [{
            "alg": "RS256",
            "e": URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
            "kid": "key",
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
            "use": "sig",
        }] });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/jwks.json", listener.local_addr()?);
        std::thread::spawn(move || serve(&listener, &key_set));
        let token = sign(&pair)?;
        Ok(Self { url, token })
    }

    /// Returns the environment variables of a run.
    pub fn environment(&self) -> [(&'static str, &str); 2] {
        [(KEY_SET_URL, &self.url), (TOKEN, &self.token)]
    }
}

fn serve(listener: &TcpListener, key_set: &Value) {
    let body = key_set.to_string();
    for connection in listener.incoming().flatten() {
        let mut connection = connection;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        // A disconnected client fails only its own run.
        let _ = connection.read(&mut [0; 4096]);
        let _ = connection.write_all(answer.as_bytes());
    }
}

fn sign(pair: &KeyPair) -> Result<String, AnyError> {
    let now = Clock::system().now();
    let claims = json!({
        "sub": VIEWER,
        "iss": ISSUER,
        "client_id": CLIENT,
        "token_use": "access",
        "iat": now.timestamp(),
        "exp": (now + VALID_FOR).timestamp(),
        "jti": "8d2c2b52-2c0c-4bd5-a3a1-3d0b6a7a1d11",
        "scope": "aws.cognito.signin.user.admin",
        "username": VIEWER,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": "RS256", "kid": "key", "typ": "JWT" });
    let message = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message.as_bytes(),
        &mut signature,
    )?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Returns the URL of the key set of this run.
pub fn key_set_url() -> Result<String, AnyError> {
    Ok(std::env::var(KEY_SET_URL)?)
}

/// Returns the token of this run.
pub fn token() -> Result<String, AnyError> {
    Ok(std::env::var(TOKEN)?)
}
