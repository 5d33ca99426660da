//! Persisted documents: documents that a request refers to by an ID instead of sending them.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde::Deserialize;

use super::json::{InvalidJson, parse_json};
use super::request::{RequestParameters, plain_id};
use crate::schema::{Api, Code, GraphqlRequest, rejected_response};

/// Maximum number of automatic persisted queries that are cached. With the default of
/// `--max-document-bytes`, they take at most 32 MB.
const MAX_CACHED: u64 = 1000;

/// The error message that clients of automatic persisted queries expect for an unknown hash.
const NOT_FOUND: &str = "PersistedQueryNotFound";

/// The documents that requests can refer to by an ID.
#[derive(Clone, Debug)]
pub enum Documents {
    /// Apollo's automatic persisted queries: documents that a client has sent once with their hash.
    /// Each instance has its own cache; a client sends the text again if an instance does not have
    /// it.
    Automatic(Cache<String, Arc<str>>),
    /// Trusted documents: those of a manifest, and no others.
    Trusted(Arc<HashMap<String, Arc<str>>>),
}

impl Default for Documents {
    fn default() -> Self {
        // A client requests a document again soon after it has sent it, so the cache always admits
        // the newest document.
        let cache = Cache::builder()
            .max_capacity(MAX_CACHED)
            .eviction_policy(EvictionPolicy::lru());
        Self::Automatic(cache.build())
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// It is not valid JSON.
    #[error("it is not valid JSON: {0}")]
    NotJson(InvalidJson),
    /// It does not have the format of a manifest.
    #[error(
        "it is not a manifest: expected a JSON object of IDs and documents, as graphql-codegen and relay-compiler \
         write it, or Apollo's with `operations` of an `id` and a `body` each"
    )]
    NotAManifest,
    /// Two documents have the same ID.
    #[error("two of its documents have the ID {0}")]
    DuplicateId(String),
    /// It has no documents.
    #[error("it has no documents")]
    Empty,
    /// A document can never be executed.
    #[error("its document {id} cannot be executed: {why}")]
    Document {
        /// The document's ID.
        id: String,
        /// The error message that a client would get.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Manifest {
    /// Apollo's `apollo-persisted-query-manifest`.
    Operations { operations: Vec<ManifestOperation> },
    /// The manifest format of graphql-codegen and relay-compiler.
    Ids(HashMap<String, String>),
}

#[derive(Deserialize)]
struct ManifestOperation {
    id: String,
    body: String,
}

/// A document to cache, with the ID that identifies it from now on.
pub(super) type DocumentToCache = (String, Arc<str>);

impl Documents {
    /// Reads the documents of manifests. Each must be valid, and within the limits for all values
    /// of its variables.
    pub fn trusted<'a>(
        manifests: impl IntoIterator<Item = &'a str>,
        api: &Api,
    ) -> Result<Self, InvalidManifest> {
        let mut trusted = HashMap::new();
        for manifest in manifests {
            trusted.extend(Self::of_manifest(manifest, api)?);
        }
        Ok(Self::Trusted(Arc::new(trusted)))
    }

    fn of_manifest(
        manifest: &str,
        api: &Api,
    ) -> Result<HashMap<String, Arc<str>>, InvalidManifest> {
        let manifest: serde_json::Value =
            parse_json(manifest.as_bytes()).map_err(InvalidManifest::NotJson)?;
        let manifest =
            Manifest::deserialize(manifest).map_err(|_| InvalidManifest::NotAManifest)?;
        let documents: Vec<(String, String)> = match manifest {
            Manifest::Operations { operations } => operations
                .into_iter()
                .map(|operation| (operation.id, operation.body))
                .collect(),
            Manifest::Ids(documents) => documents.into_iter().collect(),
        };
        if documents.is_empty() {
            return Err(InvalidManifest::Empty);
        }
        let mut trusted = HashMap::with_capacity(documents.len());
        for (id, document) in documents {
            api.check_document(&document)
                .map_err(|why| InvalidManifest::Document {
                    id: id.clone(),
                    why,
                })?;
            let plain_id = plain_id(&id).to_owned();
            if trusted.insert(plain_id, document.into()).is_some() {
                return Err(InvalidManifest::DuplicateId(id));
            }
        }
        Ok(trusted)
    }

    /// Returns the request with the text of its document, and the document to cache after it is
    /// parsed.
    pub(super) fn find(
        &self,
        parameters: RequestParameters,
    ) -> Result<(GraphqlRequest, Option<DocumentToCache>), Box<async_graphql::Response>> {
        let RequestParameters {
            query,
            id,
            operation_name,
            variables,
        } = parameters;
        let not_found =
            |message: &str| Box::new(rejected_response(Code::PersistedQueryNotFound, message));
        let text = |document: Option<Arc<str>>| {
            let document = document.ok_or_else(|| not_found(NOT_FOUND))?;
            Ok::<_, Box<_>>(document.to_string())
        };
        let mut to_cache = None;
        let query = match (self, id, query) {
            (Self::Trusted(trusted), Some(id), _) => text(trusted.get(&id).cloned())?,
            (Self::Trusted(_), None, _) => {
                let message = "This server executes only trusted documents: send the ID of one as \
                    `documentId` or `extensions.persistedQuery.sha256Hash`.";
                return Err(not_found(message));
            }
            (Self::Automatic(cache), Some(id), None) => text(cache.get(&id))?,
            (Self::Automatic(_), Some(id), Some(query)) => {
                if sha256(&query) != id {
                    let message = "The ID of the document is not the SHA-256 of `query`, in \
                        lower-case hexadecimal digits.";
                    return Err(Box::new(rejected_response(Code::BadRequest, message)));
                }
                to_cache = Some((id, Arc::from(query.as_str())));
                query
            }
            (Self::Automatic(_), None, query) => query.unwrap_or_default(),
        };
        let request = GraphqlRequest {
            query,
            operation_name,
            variables,
        };
        Ok((request, to_cache))
    }

    pub(super) fn cache(&self, (id, document): DocumentToCache) {
        if let Self::Automatic(cache) = self {
            cache.insert(id, document);
        }
    }
}

fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persisted_query_cache_keeps_the_newest_thousand_documents() {
        let documents = Documents::default();
        let id = |number: u32| format!("{number}");
        for number in 0..1300 {
            documents.cache((id(number), Arc::from("{ viewer { handle } }")));
        }

        let Documents::Automatic(cache) = documents else {
            panic!("the default is automatic persisted queries");
        };
        cache.run_pending_tasks();
        assert_eq!(cache.entry_count(), MAX_CACHED);
        assert!((300..1300).all(|number| cache.contains_key(&id(number))));
    }
}
