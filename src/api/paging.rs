//! Lists come in pages: at most `limit` of them, then a cursor that asks for the next, in the body and as `Link: <…>; rel="next"` (RFC 8288).
//!
//! A cursor names the last one of its page, and what follows is what comes after that one in the order of its list, whatever was added or
//! taken away meanwhile: nothing is shown twice, and nothing that stays is passed over.

use crate::domain::{Error, Result};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::LINK;
use http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// The most that one page holds.
pub(super) const MOST: u64 = 100;
/// What a page holds unless told otherwise.
const USUAL: u64 = 30;
/// Before what names the last one, so that a cursor of another form can be told from today's.
const FORM: &str = "1:";

/// Which page is wanted, of a list without filters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// At most so many; absent: 30.
    #[param(required = false, minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: Option<String>,
}

impl Wanted {
    /// The size of the page, and what `parse` reads of the one that it comes after.
    pub(super) fn read<I>(&self, parse: fn(&str) -> Result<I>) -> Result<(u64, Option<I>)> {
        Ok((limit(self.limit)?, after(self.cursor.as_deref(), parse)?))
    }
}

/// A page of a list: what is on it, and the cursor of the next.
pub(super) struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

/// The wanted size of a page.
pub(super) fn limit(wanted: Option<u64>) -> Result<u64> {
    let limit = wanted.unwrap_or(USUAL);
    let wrong = || Error::invalid("bad-limit", format!("limit must be between 1 and {MOST}"));
    if (1..=MOST).contains(&limit) { Ok(limit) } else { Err(wrong()) }
}

/// What a cursor names, read by `parse`.
pub(super) fn after<I>(cursor: Option<&str>, parse: fn(&str) -> Result<I>) -> Result<Option<I>> {
    let wrong = || Error::invalid("bad-cursor", "this is no cursor of ours: take next_cursor from the page before, or begin without one");
    let read = |cursor: &str| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        parse(text.strip_prefix(FORM).ok_or_else(wrong)?).map_err(|_| wrong())
    };
    cursor.map(read).transpose()
}

impl<T> Page<T> {
    /// The page of `limit` out of `found`, which holds at least one more if there is one: so it is known whether another page follows. `name`
    /// gives what a cursor is to say of an item.
    pub(super) fn of(mut found: Vec<T>, limit: u64, name: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found.last().filter(|_| more).map(|last| cursor(&name(last)));
        Self { items: found, next_cursor }
    }
}

/// The cursor that names an item.
pub(super) fn cursor(name: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{FORM}{name}"))
}

/// The answer with `list`, and the link to the page after the one at `uri`.
pub(super) fn answer(uri: &Uri, list: &impl Serialize, next_cursor: Option<&str>) -> Response {
    answer_by(uri, list, "cursor", next_cursor)
}

/// As [`answer`], where the page after is asked for by another member of the query than `cursor`.
pub(super) fn answer_by(uri: &Uri, list: &impl Serialize, member: &str, next_cursor: Option<&str>) -> Response {
    let mut response = axum::Json(list).into_response();
    if let Some(link) = next_cursor.and_then(|cursor| HeaderValue::from_str(&link(uri, member, cursor)).ok()) {
        response.headers_mut().insert(LINK, link);
    }
    response
}

fn link(uri: &Uri, member: &str, cursor: &str) -> String {
    let is_other = |pair: &&str| !pair.is_empty() && pair.split_once('=').is_none_or(|(name, _)| name != member);
    let others = uri.query().unwrap_or_default().split('&').filter(is_other);
    let query: Vec<&str> = others.collect();
    let (path, joint) = (uri.path(), if query.is_empty() { "" } else { "&" });
    format!("<{path}?{}{joint}{member}={cursor}>; rel=\"next\"", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::VideoId;

    #[test]
    fn a_cursor_leads_on_from_the_last_of_its_page() {
        let ids: Vec<String> = (0..5).map(|_| VideoId::new().to_string()).collect();
        let page = Page::of(ids[..4].to_vec(), 3, String::clone);
        assert_eq!(page.items, ids[..3]);
        let next = after(page.next_cursor.as_deref(), VideoId::parse).expect("ours").expect("one");
        assert_eq!(next.as_str(), ids[2]);
        assert!(Page::of(ids[..3].to_vec(), 3, String::clone).next_cursor.is_none(), "nothing follows a last page that is full");
    }

    #[test]
    fn nonsense_is_no_cursor_and_no_limit() {
        for cursor in ["", "x", "MTo", &VideoId::new().to_string(), "%%"] {
            assert_eq!(after(Some(cursor), VideoId::parse).expect_err(cursor).code(), "bad-cursor");
        }
        for wanted in [0, 101, u64::MAX] {
            assert_eq!(limit(Some(wanted)).expect_err("out of range").code(), "bad-limit");
        }
        assert_eq!(limit(None).expect("usual"), USUAL);
    }

    #[test]
    fn the_link_keeps_the_filters() {
        let uri: Uri = "/v1/videos?cursor=old&q=a%26b&limit=5".parse().expect("a uri");
        assert_eq!(link(&uri, "cursor", "new"), "</v1/videos?q=a%26b&limit=5&cursor=new>; rel=\"next\"");
        assert_eq!(link(&"/v1/dead".parse().expect("a uri"), "cursor", "new"), "</v1/dead?cursor=new>; rel=\"next\"");
    }
}
