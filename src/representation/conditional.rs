//! Conditional requests (RFC 9110 §13): what a client may already have.

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use std::time::{SystemTime, UNIX_EPOCH};

/// What identifies the state of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// When it was written; HTTP sees the second.
    pub modified: SystemTime,
    /// Whether it can never change, so that its date is as good as its tag (RFC 9110 §8.8.2.2).
    pub immutable: bool,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client takes it for.
    Failed,
}

impl Validators {
    /// The value of `Last-Modified`.
    pub fn last_modified(&self) -> String {
        httpdate::fmt_http_date(self.modified)
    }

    fn seconds(&self) -> u64 {
        seconds(self.modified)
    }

    /// The preconditions in the order of RFC 9110 §13.2.2, for GET and HEAD.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if let Some(tags) = joined(headers, &IF_MATCH) {
            if !self.is_among(&tags, Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if let Some(date) = date(headers, &IF_UNMODIFIED_SINCE)
            && self.seconds() > date
        {
            return Verdict::Failed;
        }
        if let Some(tags) = joined(headers, &IF_NONE_MATCH) {
            if self.is_among(&tags, Comparison::Weak) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = date(headers, &IF_MODIFIED_SINCE)
            && self.seconds() <= date
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether a `Range` may be honoured: there is no `If-Range`, or it names this very state (RFC 9110 §13.1.5).
    pub(super) fn allow_range(&self, headers: &HeaderMap) -> bool {
        let Some(value) = joined(headers, &IF_RANGE) else { return true };
        if value.starts_with('"') || value.starts_with("W/") {
            value == self.etag
        } else {
            self.immutable && date(headers, &IF_RANGE) == Some(self.seconds())
        }
    }

    fn is_among(&self, list: &str, comparison: Comparison) -> bool {
        list.trim() == "*" || Tags(list).any(|(weak, tag)| tag == self.etag && (comparison == Comparison::Weak || !weak))
    }
}

/// RFC 9110 §8.8.3.2. Our own tags are strong; a client's may be weak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// The entity tags of a list, each with whether it is weak; ends at the first that is malformed. Splitting at commas
/// would not do: a tag may contain them.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = (bool, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let list = self.0.trim_start_matches([' ', '\t', ',']);
        let (weak, list) = match list.strip_prefix("W/") {
            Some(list) => (true, list),
            None => (false, list),
        };
        let end = list.strip_prefix('"')?.find('"')? + 2;
        let (tag, rest) = list.split_at(end);
        self.0 = rest;
        Some((weak, tag))
    }
}

/// All lines of a list header as one (RFC 9110 §5.3); `None` without any, or if they are no text.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join(","))
}

/// Seconds since the epoch; `None` if there is no valid date, which is to be ignored.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok().map(seconds)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Failed, NotModified, Proceed};
    use super::*;
    use std::time::Duration;

    const BEFORE: &str = "Fri, 15 Jan 2027 07:59:59 GMT";
    const EXACTLY: &str = "Fri, 15 Jan 2027 08:00:00 GMT";
    const AFTER: &str = "Fri, 15 Jan 2027 08:00:01 GMT";

    fn validators(immutable: bool) -> Validators {
        Validators { etag: "\"a,b\"".to_owned(), modified: UNIX_EPOCH + Duration::from_millis(1_800_000_000_999), immutable }
    }

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn dates_have_no_milliseconds() {
        assert_eq!(validators(true).last_modified(), EXACTLY);
    }

    #[test]
    fn preconditions_are_judged_in_the_order_of_rfc_9110() {
        for (lines, expected) in [
            (vec![], Proceed),
            (vec![(IF_NONE_MATCH, "\"a,b\"")], NotModified),
            (vec![(IF_NONE_MATCH, "W/\"a,b\"")], NotModified),
            (vec![(IF_NONE_MATCH, "*")], NotModified),
            (vec![(IF_NONE_MATCH, "\"x\", , W/\"y\" ,\"a,b\"")], NotModified),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")], NotModified),
            (vec![(IF_NONE_MATCH, "\"x\"")], Proceed),
            (vec![(IF_NONE_MATCH, "\"a\", \"b\"")], Proceed),
            (vec![(IF_NONE_MATCH, "a,b")], Proceed),
            (vec![(IF_NONE_MATCH, "\"a,b")], Proceed),
            (vec![(IF_NONE_MATCH, "")], Proceed),
            (vec![(IF_MODIFIED_SINCE, EXACTLY)], NotModified),
            (vec![(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (vec![(IF_MODIFIED_SINCE, BEFORE)], Proceed),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            // The tag outranks the date.
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, EXACTLY)], Proceed),
            (vec![(IF_NONE_MATCH, "\"a,b\""), (IF_MODIFIED_SINCE, BEFORE)], NotModified),
            (vec![(IF_MATCH, "\"a,b\"")], Proceed),
            (vec![(IF_MATCH, "*")], Proceed),
            (vec![(IF_MATCH, "W/\"a,b\"")], Failed),
            (vec![(IF_MATCH, "\"x\"")], Failed),
            (vec![(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")], Failed),
            (vec![(IF_MATCH, "\"a,b\""), (IF_NONE_MATCH, "\"a,b\"")], NotModified),
            (vec![(IF_MATCH, "\"a,b\""), (IF_UNMODIFIED_SINCE, BEFORE)], Proceed),
            (vec![(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            (vec![(IF_UNMODIFIED_SINCE, EXACTLY)], Proceed),
            (vec![(IF_UNMODIFIED_SINCE, "soon")], Proceed),
        ] {
            assert_eq!(validators(true).judge(&headers(&lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_range_is_honoured_only_of_the_state_the_client_knows() {
        for (if_range, of_immutable, of_changing) in [
            (None, true, true),
            (Some("\"a,b\""), true, true),
            (Some("W/\"a,b\""), false, false),
            (Some("\"x\""), false, false),
            (Some("*"), false, false),
            (Some(EXACTLY), true, false),
            (Some(AFTER), false, false),
            (Some(BEFORE), false, false),
            (Some("junk"), false, false),
        ] {
            let headers = headers(&if_range.map(|value| (IF_RANGE, value)).into_iter().collect::<Vec<_>>());
            assert_eq!(validators(true).allow_range(&headers), of_immutable, "{if_range:?}");
            assert_eq!(validators(false).allow_range(&headers), of_changing, "{if_range:?}");
        }
    }
}
