//! What follows the question mark: an extractor that says no as every other part of the API does.

use crate::problem::Problem;
use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// Extractor: the members of a query. One that the route does not know, or cannot read, becomes a problem document that names it; so `T`
/// is to be `deny_unknown_fields`.
#[derive(Debug)]
pub(super) struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(members)) => Ok(Self(members)),
            Err(rejection) => Err(Problem::new(StatusCode::BAD_REQUEST, "malformed-query", rejection.body_text())),
        }
    }
}
