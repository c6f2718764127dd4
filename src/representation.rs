//! What a request gets of a representation whose size and state are known (RFC 9110 §§13–15): all of it, a part, or word that the client has it.

mod conditional;
mod range;

use crate::problem::Problem;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
pub use conditional::Validators;
use conditional::Verdict;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use range::{Selection, select};
use std::ops::Range;

/// What a request shall get of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200, and all of it; for HEAD only its headers.
    Whole,
    /// 206, and these bytes.
    Part(Range<u64>),
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client takes it for.
    PreconditionFailed,
    /// 416: the range lies beyond the end.
    Unsatisfiable,
}

/// The headers of a representation.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Those that go with 200, 206 and 304 alike (RFC 9110 §15.4.5).
    pub always: HeaderMap,
    /// Those that go with its bytes.
    pub content: HeaderMap,
}

impl Answer {
    /// Decides the answer, in the order of RFC 9110 §13.2.2: preconditions, then the range, which only GET has.
    pub fn of(validators: &Validators, size_bytes: u64, method: &Method, headers: &HeaderMap) -> Self {
        match validators.judge(headers) {
            Verdict::NotModified => return Self::NotModified,
            Verdict::Failed => return Self::PreconditionFailed,
            Verdict::Proceed => {}
        }
        let mut ranges = headers.get_all(RANGE).iter();
        let (Some(range), None) = (ranges.next(), ranges.next()) else { return Self::Whole };
        if method != Method::GET || !validators.allow_range(headers) {
            return Self::Whole;
        }
        match select(range.to_str().unwrap_or(""), size_bytes) {
            Selection::Whole => Self::Whole,
            Selection::Part(range) => Self::Part(range),
            Selection::Unsatisfiable => Self::Unsatisfiable,
        }
    }

    /// The bytes of a representation of `size_bytes` that a GET gets with it.
    pub fn bytes(&self, size_bytes: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..size_bytes,
            Self::Part(range) => range.clone(),
            Self::NotModified | Self::PreconditionFailed | Self::Unsatisfiable => 0..0,
        }
    }

    /// The response: `body` holds the bytes that [`bytes`](Self::bytes) named, or none for HEAD.
    pub fn respond(self, size_bytes: u64, description: Description, body: Body) -> Response {
        let (status, length, content_range) = match self {
            Self::Whole => (StatusCode::OK, size_bytes, None),
            Self::Part(range) => {
                let content_range = format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1);
                (StatusCode::PARTIAL_CONTENT, range.end - range.start, Some(content_range))
            }
            Self::NotModified => return (StatusCode::NOT_MODIFIED, description.always).into_response(),
            Self::PreconditionFailed => return precondition_failed().into_response(),
            Self::Unsatisfiable => return unsatisfiable(size_bytes).into_response(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.extend(description.always);
        headers.extend(description.content);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(content_range) = content_range {
            headers.insert(CONTENT_RANGE, ascii(&content_range));
        }
        response
    }
}

fn precondition_failed() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "this is not the state you know; ask without the condition")
}

fn unsatisfiable(size_bytes: u64) -> Problem {
    let detail = format!("the range begins beyond the end of {size_bytes} bytes");
    Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", detail)
        .with_header(CONTENT_RANGE, ascii(&format!("bytes */{size_bytes}")))
}

fn ascii(content_range: &str) -> HeaderValue {
    HeaderValue::from_str(content_range).expect("a content range has digits and a few signs")
}
