//! A second signer (AWS Signature Version 4, query parameters), written from the specification: it can also sign what ours never would.

use super::house::House;
use crate::blobs::Digests;
use crate::uploads::{CHECKSUM_HEADER, PresignedPart};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Signs the upload of part `number` as if at `signed_at`, valid for `expires_s` seconds.
pub(super) fn sign(house: &House, number: u32, text: &[u8], signed_at: SystemTime, expires_s: &str) -> PresignedPart {
    let headers = BTreeMap::from([(CHECKSUM_HEADER.to_owned(), STANDARD.encode(Digests::of(text).sha256))]);
    let query = BTreeMap::from([("partNumber", number.to_string()), ("uploadId", house.upload.to_string())]);
    let url = presign(house, "PUT", query, &headers, signed_at, expires_s);
    PresignedPart { method: "PUT", url, headers, expires_at_ms: 0 }
}

/// Signs a request for the whole object.
pub(super) fn sign_object(house: &House, method: &str) -> String {
    presign(house, method, BTreeMap::new(), &BTreeMap::new(), SystemTime::now(), "60")
}

fn presign(
    house: &House,
    method: &str,
    mut query: BTreeMap<&str, String>,
    headers: &BTreeMap<String, String>,
    signed_at: SystemTime,
    expires_s: &str,
) -> String {
    let time = timestamp(signed_at);
    let (day, scope) = (&time[..8], format!("{}/us-east-1/s3/aws4_request", &time[..8]));
    let mut signed = BTreeMap::from([("host".to_owned(), house.address.clone())]);
    signed.extend(headers.clone());
    let names = signed.keys().cloned().collect::<Vec<_>>().join(";");
    query.insert("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned());
    query.insert("X-Amz-Credential", format!("{}/{scope}", house.credentials.access_key_id).replace('/', "%2F"));
    query.insert("X-Amz-Date", time.clone());
    query.insert("X-Amz-Expires", expires_s.to_owned());
    query.insert("X-Amz-SignedHeaders", names.replace(';', "%3B"));
    let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{method}\n/uploads/{}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD", house.upload);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Digests::of(canonical.as_bytes()).sha256));
    let secret = format!("AWS4{}", house.credentials.secret_access_key.as_str()).into_bytes();
    let key = [day, "us-east-1", "s3", "aws4_request"].iter().fold(secret, |key, text| hmac(&key, text));
    format!("{}?{query}&X-Amz-Signature={}", house.object_url(), hex::encode(hmac(&key, &to_sign)))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// `20261121T101127Z`, by way of an HTTP date: `Sat, 21 Nov 2026 10:11:27 GMT`.
fn timestamp(time: SystemTime) -> String {
    let text = httpdate::fmt_http_date(time);
    let [_, day, month, year, clock, _] = text.split(' ').collect::<Vec<_>>().try_into().expect("six pieces");
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = 1 + months.iter().position(|name| *name == month).expect("a month");
    format!("{year}{month:02}{day}T{}Z", clock.replace(':', ""))
}
