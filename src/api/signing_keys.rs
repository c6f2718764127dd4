//! The keys that sign CloudFront's links, and links that administrators have signed.

use super::State;
use super::auth::{Json, SignedIn, now_ms};
use super::path::Path;
use super::schema::{AlgorithmWord, Moment};
use crate::catalog::signing_keys::SigningKey;
use crate::domain::Error;
use crate::library::{self, Wanted};
use crate::links::cloudfront::{Algorithm, Network};
use crate::problem::Problem;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The longest life of a link: CloudFront knows no limit, but a link that outlives its key is no use.
const MAX_LIFETIME_S: i64 = 10 * 365 * 86_400;

/// The key pair that is wanted: a new one, or a public key whose private half signs elsewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSigningKey)]
pub(super) struct NewKey {
    /// Of a new key pair; absent: ecdsa.
    #[schema(value_type = Option<AlgorithmWord>)]
    algorithm: Option<String>,
    /// To import: PEM, RSA of at least 2048 bits or ECDSA on P-256.
    public_key: Option<String>,
    /// What an imported key is called in links: the id that CloudFront gave it.
    #[schema(min_length = 1, max_length = 64)]
    key_pair_id: Option<String>,
}

/// The name that CloudFront gave to a key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SigningKeyActivation)]
pub(super) struct Activation {
    /// Links bear it from now on; absent: the name stays.
    #[schema(min_length = 1, max_length = 64)]
    cloudfront_id: Option<String>,
}

/// A key pair that signs links, or whose links are trusted.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKey)]
pub(super) struct View {
    key_pair_id: String,
    /// The name that CloudFront gave to its public half.
    cloudfront_id: Option<String>,
    #[schema(value_type = AlgorithmWord)]
    algorithm: String,
    /// PEM, for a key group of CloudFront.
    public_key: String,
    /// Whether its private half is here.
    has_private_key: bool,
    /// Whether it signs; one does.
    active: bool,
    #[schema(value_type = Moment)]
    created_at: i64,
}

/// The key pairs that are trusted, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKeyList)]
pub(super) struct Keys {
    signing_keys: Vec<View>,
}

/// What is to be signed. Any condition but `expires_at` asks for a custom policy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSignedLink)]
pub(super) struct NewLink {
    /// The whole URL.
    url: String,
    /// When the link ends; with `policy` that says it.
    #[schema(value_type = Option<Moment>)]
    expires_at: Option<i64>,
    /// Before and at this moment the link opens nothing.
    #[schema(value_type = Option<Moment>)]
    not_before: Option<i64>,
    /// One IPv4 address, or a range of them as 192.0.2.0/24.
    ip: Option<String>,
    /// The URLs that it opens: `*` and `?` are wildcards.
    resource: Option<String>,
    /// A custom policy, signed as it is, instead of the members above.
    policy: Option<String>,
    /// Cookies instead of a URL.
    #[serde(default)]
    cookies: bool,
    /// Another key pair than the active one.
    key_pair_id: Option<String>,
}

/// A link that was signed.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedLink)]
pub(super) struct SignedLink {
    /// A secret while it lasts; null when cookies were asked for.
    url: Option<String>,
    /// Names and values; null when a URL was asked for.
    cookies: Option<BTreeMap<String, String>>,
    key_pair_id: String,
}

fn view(key: SigningKey) -> View {
    View {
        has_private_key: key.wrapped.is_some(),
        key_pair_id: key.id,
        cloudfront_id: key.cloudfront_id,
        algorithm: key.algorithm,
        public_key: key.public_key,
        active: key.active,
        created_at: key.created_at,
    }
}

/// Make or import a signing key.
///
/// For administrators. A new key pair is trusted from now on, and signs if no other does; its private half never leaves the server.
#[utoipa::path(post, path = "/signing-keys", operation_id = "create_signing_key", tag = "operation", request_body = NewKey,
    responses((status = CREATED, description = "The key pair.", body = View)),
    extensions(("x-problems" = json!(["not-allowed", "bad-algorithm", "bad-public-key", "bad-key-pair-id", "key-pair-id-taken"]))))]
pub(super) async fn create(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<NewKey>,
) -> Result<Response, Problem> {
    let signing = &api.library.signing;
    let key = match (&wanted.public_key, &wanted.algorithm, &wanted.key_pair_id) {
        (Some(pem), None, id) => signing.import(&caller, pem, id.as_deref()).await?,
        (None, word, None) => signing.create(&caller, word.as_deref().map_or(Ok(Algorithm::Ecdsa), Algorithm::parse)?).await?,
        (Some(_), Some(_), _) => {
            return Err(Error::invalid("bad-algorithm", "a public key has its algorithm already: leave algorithm out").into());
        }
        (None, _, Some(_)) => {
            return Err(
                Error::invalid("bad-key-pair-id", "a new key gets its name here: leave key_pair_id out, or send a public_key").into()
            );
        }
    };
    Ok((StatusCode::CREATED, axum::Json(view(key))).into_response())
}

/// List the signing keys.
///
/// For administrators; oldest first.
#[utoipa::path(get, path = "/signing-keys", operation_id = "list_signing_keys", tag = "operation",
    responses((status = OK, description = "The key pairs that are trusted.", body = Keys)),
    extensions(("x-problems" = json!(["not-allowed"]))))]
pub(super) async fn list(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn) -> Result<Response, Problem> {
    let signing_keys = api.library.signing.list(&caller.actor).await?.into_iter().map(view).collect();
    Ok(axum::Json(Keys { signing_keys }).into_response())
}

/// Let a key sign.
///
/// For administrators. Links are signed with it from now on; the key that did before stays trusted until it is revoked.
#[utoipa::path(post, path = "/signing-keys/{key_pair_id}/activate", operation_id = "activate_signing_key", tag = "operation",
    params(("key_pair_id" = String, Path)), request_body = Option<Activation>,
    responses((status = OK, description = "The key pair.", body = View)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "no-private-key", "bad-key-pair-id", "key-pair-id-taken"]))))]
pub(super) async fn activate(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    wanted: Option<Json<Activation>>,
) -> Result<Response, Problem> {
    let Json(wanted) = wanted.unwrap_or_default();
    let key = api.library.signing.activate(&caller, &id, wanted.cloudfront_id.as_deref()).await?;
    Ok(axum::Json(view(key)).into_response())
}

/// Revoke a signing key.
///
/// For administrators. Whatever it signed opens nothing from now on; its private half is deleted.
#[utoipa::path(delete, path = "/signing-keys/{key_pair_id}", operation_id = "revoke_signing_key", tag = "operation",
    params(("key_pair_id" = String, Path)), responses((status = NO_CONTENT, description = "It is trusted no more.")),
    extensions(("x-problems" = json!(["not-allowed", "not-found"]))))]
pub(super) async fn revoke(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.library.signing.revoke(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign a URL or cookies.
///
/// For administrators: CloudFront's scheme, with the active key or another of the server's. It is written down before it leaves.
#[utoipa::path(post, path = "/signed-links", operation_id = "sign_link", tag = "operation", request_body = NewLink,
    responses((status = CREATED, description = "The link.", body = SignedLink)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "no-private-key", "no-signing-key", "bad-link-url", "bad-lifetime",
        "bad-network", "policy-malformed", "conditions-beside-policy"]))))]
pub(super) async fn sign(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<NewLink>,
) -> Result<Response, Problem> {
    let (link, key_pair_id) = api.library.signing.sign(&caller, &wanted.check()?).await?;
    let (url, cookies) = match link {
        library::Link::Url(url) => (Some(url), None),
        library::Link::Cookies(cookies) => (None, Some(cookies.into_iter().collect())),
    };
    let signed = SignedLink { url, cookies, key_pair_id };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], axum::Json(signed)).into_response())
}

impl NewLink {
    fn check(self) -> Result<Wanted, Error> {
        if self.policy.is_some() && (self.ip.is_some() || self.not_before.is_some() || self.resource.is_some()) {
            let message = "a policy says all conditions itself: leave ip, not_before and resource out, or the policy";
            return Err(Error::invalid("conditions-beside-policy", message));
        }
        let now_s = now_ms() / 1000;
        let out_of_range =
            || Error::invalid("bad-lifetime", "expires_at must lie in the future, ten years ahead at most; leave it out with a policy");
        let expires_at_s = match (&self.policy, self.expires_at.map(|at| at.div_euclid(1000))) {
            (Some(_), None) => now_s,
            (None, Some(at)) if (now_s + 1..=now_s + MAX_LIFETIME_S).contains(&at) => at,
            _ => return Err(out_of_range()),
        };
        Ok(Wanted {
            url: self.url,
            expires_at_s,
            not_before_s: self.not_before.map(|at| at.div_euclid(1000)),
            network: self.ip.as_deref().map(Network::parse).transpose()?,
            resource: self.resource,
            policy: self.policy,
            cookies: self.cookies,
            key_pair_id: self.key_pair_id,
        })
    }
}
