//! The key that signs the local issuer's tokens.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::dev::{DevError, DevResult};

/// A key that signs tokens.
pub struct SigningKey {
    kid: String,
    private: EncodingKey,
    verifying: DecodingKey,
    public: Value,
    pem: String,
}

impl SigningKey {
    /// Generates a key of 2048 bits.
    pub fn generate() -> DevResult<Self> {
        let failed = |_| DevError::Issuer("no key could be made".to_owned());
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
        let text = STANDARD.encode(der.as_ref());
        let lines = text.as_bytes().chunks(64);
        let body: Vec<_> = lines.map(String::from_utf8_lossy).collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            body.join("\n")
        );
        Self::from_pair(&pair, pem)
    }

    /// Reads the key from a file. If the file does not exist, generates a key and writes the file.
    pub fn open(file: &Path) -> DevResult<Self> {
        let shown = file.display();
        if let Ok(pem) = std::fs::read_to_string(file) {
            let broken =
                || DevError::Issuer(format!("{shown} holds no key: remove it to get a new one"));
            let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let der = STANDARD.decode(base64).map_err(|_| broken())?;
            let pair = KeyPair::from_pkcs8(&der).map_err(|_| broken())?;
            return Self::from_pair(&pair, pem);
        }
        let key = Self::generate()?;
        write_private(file, &key.pem)
            .map_err(DevError::io(format!("{shown} cannot be written")))?;
        Ok(key)
    }

    fn from_pair(pair: &KeyPair, pem: String) -> DevResult<Self> {
        let private = EncodingKey::from_rsa_pem(pem.as_bytes());
        let private = private.map_err(|error| DevError::Issuer(error.to_string()))?;
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero();
        let exponent = public.exponent().big_endian_without_leading_zero();
        let kid = Uuid::new_v5(&Uuid::NAMESPACE_OID, modulus).to_string();
        let verifying = DecodingKey::from_rsa_raw_components(modulus, exponent);
        let public = json!({
            "alg": "RS256",
            "e": URL_SAFE_NO_PAD.encode(exponent),
            "kid": kid,
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "use": "sig",
        });
        Ok(Self {
            kid,
            private,
            verifying,
            public,
            pem,
        })
    }

    /// Returns the public key as a JWK.
    pub fn jwk(&self) -> &Value {
        &self.public
    }

    /// Returns a token with any claims, signed with this key and with its `kid` in the header.
    pub fn sign(&self, claims: &Value) -> DevResult<String> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        encode(&header, claims, &self.private).map_err(|error| DevError::Issuer(error.to_string()))
    }

    /// Returns the claims of a token that this key has signed, even if the token has expired.
    pub(super) fn verify(&self, token: &str) -> Option<Value> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let verified = decode(token, &self.verifying, &validation).ok()?;
        Some(verified.claims)
    }

    /// Returns a token with any header and any claims, always signed with RS256 by this key, even
    /// if the header names another algorithm.
    pub fn sign_under(&self, header: &Value, claims: &Value) -> DevResult<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, Algorithm::RS256);
        let signature = signature.map_err(|error| DevError::Issuer(error.to_string()))?;
        Ok(format!("{message}.{signature}"))
    }
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())
}
