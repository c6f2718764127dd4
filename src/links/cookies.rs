//! The cookies of a request (RFC 6265 §5.4).

use http::HeaderMap;
use http::header::COOKIE;

/// Names and values in the order they were sent. Read one by one: a cookie of somebody else on the same host, which may hold any byte, does not
/// make ours unreadable.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let pairs = headers.get_all(COOKIE).into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn one_that_cannot_be_read_hides_no_other() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"a=1; name=M\xfcller; b=2=3;c; d=").expect("a value"));
        headers.append(COOKIE, HeaderValue::from_static("a=4"));
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), [("a", "1"), ("b", "2=3"), ("d", ""), ("a", "4")]);
    }
}
