//! What a path names: an extractor that says no as every other part of the API does.

use crate::problem::Problem;
use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// Extractor: the names in a path; those that are no text, such as `%ff`, become a problem document.
#[derive(Debug)]
pub(super) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unreadable =
            |_| Problem::new(StatusCode::BAD_REQUEST, "malformed-path", "the address holds what is no text: write names as UTF-8");
        axum::extract::Path::<T>::from_request_parts(parts, state).await.map(|axum::extract::Path(names)| Self(names)).map_err(unreadable)
    }
}
