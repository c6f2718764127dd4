//! Content coding (RFC 9110 §12.5.3): whether a client takes gzip.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Whether `Accept-Encoding` allows gzip and does not like the plain form better. Without the header the answer is no:
/// a client that did not ask may be too simple to unpack.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut gzip = None;
    let mut identity = None;
    let mut any = None;
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for (coding, weight) in lines.flat_map(|line| line.split(',')).filter_map(weighted) {
        match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "identity" => identity = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// A coding and its weight in thousandths; `None` if the element is malformed.
fn weighted(element: &str) -> Option<(&str, u16)> {
    let (coding, parameter) = match element.split_once(';') {
        Some((coding, parameter)) => (coding.trim(), Some(parameter.trim())),
        None => (element.trim(), None),
    };
    let weight = match parameter {
        None => 1000,
        Some(parameter) => thousandths(parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?)?,
    };
    Some((coding, weight))
}

/// A `qvalue` (RFC 9110 §12.4.2): 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let weight: u16 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_want_it() {
        for (line, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("deflate, gzip;q=0.5, br", true),
            ("gzip, deflate, br, zstd", true),
            ("*", true),
            ("*;q=0.1", true),
            ("gzip;q=0.001", true),
            ("gzip ; q=1.0", true),
            ("identity;q=0, gzip;q=0.3", true),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("", false),
            ("br", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("identity;q=1, gzip;q=0.5", false),
            ("gzip;q=2", false),
            ("gzip;q=0.1234", false),
            ("gzip;q=x", false),
            ("gzip;level=9", false),
        ] {
            let headers = [(ACCEPT_ENCODING, line.parse().expect("a value"))].into_iter().collect();
            assert_eq!(accepts_gzip(&headers), expected, "{line:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
