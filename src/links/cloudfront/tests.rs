//! The scheme as a whole: what is signed opens what it names, and nothing else does.

use super::*;
use http::header::COOKIE;
use http::{HeaderMap, Uri};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const NOW_S: i64 = 1_800_000_000;
const ORIGIN: &str = "https://video.example.org";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A key pair, its signer, and a gate that trusts it.
fn house(algorithm: Algorithm) -> (Signer, Gate) {
    let key = PrivateKey::generate(algorithm).expect("a key");
    let gate = Gate::new(vec![ORIGIN.to_owned(), "https://d1.cloudfront.net".to_owned()], false);
    gate.trust(group(&key));
    (Signer::new(key, "K1"), gate)
}

fn group(key: &PrivateKey) -> KeyGroup {
    KeyGroup::new([("K1".to_owned(), Arc::new(key.public_key().expect("a public key")))])
}

/// What the gate says of a GET of `url`: the code of its refusal, or `open`.
fn verdict(gate: &Gate, url: &str, headers: &HeaderMap, address: IpAddr, now_s: i64) -> &'static str {
    let Some(path) = path_of(url) else { return "no-request" };
    gate.admit(&path, headers, address, now_s * 1000).map_or_else(|error| error.code(), |_| "open")
}

/// The request line that a client makes of a URL.
fn path_of(url: &str) -> Option<Uri> {
    let at = url.match_indices('/').nth(2)?.0;
    url[at..].parse().ok()
}

fn says(gate: &Gate, url: &str) -> &'static str {
    verdict(gate, url, &HeaderMap::new(), HERE, NOW_S)
}

fn cookie(cookies: &Cookies) -> HeaderMap {
    let line: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    HeaderMap::from_iter([(COOKIE, format!("a=b; {}", line.join("; ")).parse().expect("a header"))])
}

#[test]
fn a_canned_url_opens_one_url_until_it_expires() {
    for algorithm in [Algorithm::Rsa, Algorithm::Ecdsa] {
        let (signer, gate) = house(algorithm);
        let signed = signer.url(&format!("{ORIGIN}/d/v/720p.mp4?a=1&b=%20"), NOW_S + 60).expect("signed");
        assert!(signed.starts_with(&format!("{ORIGIN}/d/v/720p.mp4?a=1&b=%20&Expires={}&Signature=", NOW_S + 60)), "{signed}");
        assert!(signed.ends_with("&Key-Pair-Id=K1&Hash-Algorithm=SHA256"));
        for (url, expected) in [
            (signed.clone(), "open"),
            (format!("{signed}&c=1"), "signature-mismatch"),
            (format!("{signed}&"), "signature-mismatch"),
            (format!("{signed}&Signature"), "signature-malformed"),
            (format!("{signed}&Key-Pair-Id=K1"), "signature-malformed"),
            (signed.replace("a=1&b", "b=1&a"), "signature-mismatch"),
            (signed.replace("%20", "+"), "signature-mismatch"),
            (signed.replace("720p", "360p"), "signature-mismatch"),
            (signed.replace("1800000060", "1800000061"), "signature-mismatch"),
            (signed.replace("1800000060", "01800000060"), "signature-malformed"),
            (signed.replace("Expires=", "Policy="), "signature-malformed"),
            (signed.replace("=K1", "=K2"), "signature-key"),
            (signed.replace("=SHA256", "=sha256"), "signature-hash"),
            (signed.replace("=SHA256", "=SHA1"), "signature-weak-hash"),
            (signed.replace("&Hash-Algorithm=SHA256", ""), "signature-weak-hash"),
            (format!("{ORIGIN}/d/v/720p.mp4?a=1&b=%20"), "signature-missing"),
        ] {
            assert_eq!(says(&gate, &url), expected, "{url}");
        }
        assert_eq!(verdict(&gate, &signed, &HeaderMap::new(), HERE, NOW_S + 59), "open");
        assert_eq!(verdict(&gate, &signed, &HeaderMap::new(), HERE, NOW_S + 60), "policy-expired");
    }
}

#[test]
fn the_parameters_may_stand_anywhere_and_the_distribution_s_domain_is_ours_too() {
    let (signer, gate) = house(Algorithm::Ecdsa);
    let signed = signer.url("https://d1.cloudfront.net/v/1?x=1", NOW_S + 1).expect("signed");
    let (_, parameters) = signed.split_once("x=1&").expect("behind the query");
    assert_eq!(says(&gate, &signed), "open");
    assert_eq!(says(&gate, &format!("https://d1.cloudfront.net/v/1?{parameters}&x=1")), "open");
    let elsewhere = signer.url("https://d2.cloudfront.net/v/1", NOW_S + 1).expect("signed");
    assert_eq!(says(&gate, &elsewhere), "signature-mismatch");
    assert_eq!(says(&gate, &signer.url(&format!("{ORIGIN}/v/1?"), NOW_S + 1).expect("signed")), "open");
}

#[test]
fn a_signed_url_beats_cookies() {
    let (signer, gate) = house(Algorithm::Ecdsa);
    let everything = Policy::new(format!("{ORIGIN}/*"), NOW_S + 60).text();
    let cookies = cookie(&signer.cookies(&everything).expect("signed"));
    let url = format!("{ORIGIN}/v/1/master.m3u8");
    assert_eq!(verdict(&gate, &url, &cookies, HERE, NOW_S), "open");
    assert_eq!(verdict(&gate, &url, &cookies, HERE, NOW_S + 60), "policy-expired");
    let expired = signer.url(&url, NOW_S - 1).expect("signed");
    assert_eq!(verdict(&gate, &expired, &cookies, HERE, NOW_S), "policy-expired");
    assert_eq!(verdict(&gate, &format!("{url}?Signature=x"), &cookies, HERE, NOW_S), "signature-malformed");
    // Without CloudFront's names the query belongs to the resource.
    assert_eq!(verdict(&gate, &format!("{url}?x"), &cookies, HERE, NOW_S), "open");
    let mut canned = cookies.clone();
    canned.append(COOKIE, format!("CloudFront-Expires={NOW_S}").parse().expect("a header"));
    assert_eq!(verdict(&gate, &url, &canned, HERE, NOW_S), "signature-malformed", "Expires and Policy at once");
}

#[test]
fn a_custom_policy_is_read_strictly() {
    let (signer, gate) = house(Algorithm::Rsa);
    let url = format!("{ORIGIN}/v/1");
    let time = |at: i64| format!(r#"{{"AWS:EpochTime":{at}}}"#);
    let (later, past) = (time(NOW_S + 60), time(NOW_S - 60));
    let statement = |resource: &str, condition: &str| format!(r#"{{"Statement":[{{{resource}"Condition":{{{condition}}}}}]}}"#);
    let (all, until) = (r#""Resource":"*","#, format!(r#""DateLessThan":{later}"#));
    for (text, expected) in [
        (statement(all, &until), "open"),
        (statement(r#""Resource": "http*://video.example.org/v/?", "#, &until), "open"),
        (format!(" \r\n{} ", statement(all, &until).replace(':', " : ")).replace("AWS : E", "AWS:E"), "open"),
        (statement(all, &format!(r#"{until},"DateGreaterThan":{past},"IpAddress":{{"AWS:SourceIp":"192.0.2.0/24"}}"#)), "open"),
        (statement(all, &format!(r#""IpAddress":{{"AWS:SourceIp":"192.0.2.7"}},{until}"#)), "open"),
        (statement(r#""Resource":"http://video.example.org/v/1","#, &until), "policy-resource"),
        (statement(r#""Resource":"*/v/","#, &until), "policy-resource"),
        (statement(all, &format!(r#""DateLessThan":{past}"#)), "policy-expired"),
        (statement(all, &format!(r#"{until},"DateGreaterThan":{}"#, time(NOW_S))), "policy-not-yet"),
        (statement(all, &format!(r#"{until},"DateGreaterThan":{}"#, time(NOW_S - 1))), "open"),
        (statement(all, &format!(r#"{until},"IpAddress":{{"AWS:SourceIp":"192.0.2.8"}}"#)), "policy-address"),
        ("".to_owned(), "policy-malformed"),
        ("{}".to_owned(), "policy-malformed"),
        (r#"{"Statement":[]}"#.to_owned(), "policy-malformed"),
        (statement("", &until), "policy-malformed"),
        (statement(r#""Resource":"","#, &until), "policy-malformed"),
        (statement(r#""Resource":["*"],"#, &until), "policy-malformed"),
        (statement(r#""Resource":"*","Resource":"*","#, &until), "policy-malformed"),
        (statement(r#""Resource":"*","Effect":"Allow","#, &until), "policy-malformed"),
        (statement(all, ""), "policy-malformed"),
        (statement(all, &until).replacen('{', r#"{"Version":"2012-10-17","#, 1), "policy-malformed"),
        (statement(all, &format!("{until},{until}")), "policy-malformed"),
        (statement(all, &format!(r#"{until},"IpAddress":null"#)), "policy-malformed"),
        (statement(all, &format!(r#"{until},"IpAddress":{{}}"#)), "policy-malformed"),
        (statement(all, &format!(r#"{until},"IpAddress":{{"AWS:SourceIp":["192.0.2.7"]}}"#)), "policy-malformed"),
        (statement(all, &format!(r#"{until},"IpAddress":{{"AWS:SourceIp":"2001:db8::/32"}}"#)), "policy-malformed"),
        (statement(all, &format!(r#"{until},"StringLike":{{}}"#)), "policy-malformed"),
        (statement(all, r#""DateLessThan":{"AWS:EpochTime":"1900000000"}"#), "policy-malformed"),
        (statement(all, r#""DateLessThan":{"AWS:EpochTime":1900000000.0}"#), "policy-malformed"),
        (format!(r#"{{"Statement":[["*",[[{}]]]]}}"#, NOW_S + 60), "policy-malformed"),
        (format!("{}x", statement(all, &until)), "policy-malformed"),
        (statement(all, &until).replace("}]}", "},{}]}"), "policy-malformed"),
    ] {
        let signed = signer.url_with_policy(&url, &text).expect("signed");
        assert_eq!(says(&gate, &signed), expected, "{text}");
        assert_eq!(verdict(&gate, &url, &cookie(&signer.cookies(&text).expect("signed")), HERE, NOW_S), expected, "{text} in cookies");
    }
}

/// Rotation: the new key is trusted before it signs; who was revoked opens nothing, at once.
#[test]
fn keys_rotate_and_a_revoked_one_opens_nothing() {
    let (old, new) = (PrivateKey::generate(Algorithm::Rsa).expect("a key"), PrivateKey::generate(Algorithm::Ecdsa).expect("a key"));
    let public = |key: &PrivateKey| Arc::new(key.public_key().expect("a public key"));
    let (of_old, of_new) = (public(&old), public(&new));
    let both = || [("OLD".to_owned(), of_old.clone()), ("NEW".to_owned(), of_new.clone()), ("ALIAS".to_owned(), of_new.clone())];
    let url = format!("{ORIGIN}/v/1");
    let [by_old, by_new, by_alias] = [("OLD", &old), ("NEW", &new), ("ALIAS", &new)].map(|(name, key)| {
        let key =
            PrivateKey::from_pkcs8(key.public_key().expect("public").algorithm(), &key.to_pkcs8().expect("pkcs8")).expect("reads back");
        Signer::new(key, name).url(&url, NOW_S + 1).expect("signed")
    });
    let gate = Gate::new(vec![ORIGIN.to_owned()], false);
    assert_eq!(says(&gate, &by_old), "signature-key", "nobody is trusted before anybody is");
    gate.trust(KeyGroup::new(both()));
    assert_eq!([&by_old, &by_new, &by_alias].map(|url| says(&gate, url)), ["open"; 3]);
    assert_eq!(says(&gate, &by_new.replace("=NEW", "=OLD")), "signature-mismatch");
    gate.trust(KeyGroup::new(both().into_iter().skip(1)));
    assert_eq!([&by_old, &by_new, &by_alias].map(|url| says(&gate, url)), ["signature-key", "open", "open"]);
}

#[test]
fn public_keys_are_exchanged_as_pem() {
    for algorithm in [Algorithm::Rsa, Algorithm::Ecdsa] {
        let public = PrivateKey::generate(algorithm).expect("a key").public_key().expect("public");
        let read = PublicKey::from_pem(&public.to_pem()).expect("reads back");
        assert_eq!((read.algorithm(), read.to_pem()), (algorithm, public.to_pem()));
    }
    for wrong in [
        "",
        "AAAA",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        include_str!("tests/rsa-1024.pem"),
        include_str!("tests/p384.pem"),
    ] {
        assert_eq!(PublicKey::from_pem(wrong).expect_err(wrong).code(), "bad-public-key");
    }
}

#[test]
fn what_no_client_would_send_back_is_not_signed() {
    let (signer, _) = house(Algorithm::Ecdsa);
    for url in [
        "",
        "/v/1",
        "ftp://h/x",
        "https:///x",
        "https://h/a b",
        "https://h/ä",
        "https://h/a#b",
        "https://h/a\"b",
        "https://h/a?Policy=x",
        "https://h/?a&Expires",
    ] {
        assert_eq!(signer.url(url, NOW_S).expect_err(url).code(), "bad-link-url");
    }
}

/// Invariant 9, deny by default: no single bit of a signed URL behind its host can be turned: neither of the path, nor of the policy, nor of
/// the signature, nor of any name.
#[test]
fn every_single_bit_of_a_signed_url_counts() {
    for algorithm in [Algorithm::Rsa, Algorithm::Ecdsa] {
        let (signer, gate) = house(algorithm);
        let url = format!("{ORIGIN}/d/0123/720p.mp4?session=77");
        let policy = Policy {
            not_before_s: Some(NOW_S - 9),
            network: Some(Network::parse("192.0.2.0/24").expect("a network")),
            ..Policy::new(&url, NOW_S + 60)
        };
        for signed in [signer.url(&url, NOW_S + 60).expect("signed"), signer.url_with_policy(&url, &policy.text()).expect("signed")] {
            assert_eq!(says(&gate, &signed), "open");
            for at in ORIGIN.len()..signed.len() {
                for bit in 0..8 {
                    let mut turned = signed.clone().into_bytes();
                    turned[at] ^= 1 << bit;
                    let Ok(turned) = String::from_utf8(turned) else { continue };
                    assert_ne!(says(&gate, &turned), "open", "byte {at}, bit {bit}: {turned}");
                }
            }
        }
    }
}

/// What a policy means, written down a second time: slowly, without the room's own types, from the developer guide.
mod model {
    pub(super) struct Case {
        pub resource: String,
        pub less_than: i64,
        pub greater_than: Option<i64>,
        pub network: Option<(u32, u32)>,
        pub url: String,
        pub address: u32,
        pub now: i64,
    }

    impl Case {
        pub(super) fn is_allowed(&self) -> bool {
            let within =
                self.network.is_none_or(|(base, bits)| (0..bits).all(|bit| base >> (31 - bit) & 1 == self.address >> (31 - bit) & 1));
            glob(self.resource.as_bytes(), self.url.as_bytes())
                && self.now < self.less_than
                && self.greater_than.is_none_or(|begin| self.now > begin)
                && within
        }
    }

    /// By a table of which prefixes match.
    fn glob(pattern: &[u8], text: &[u8]) -> bool {
        let mut row: Vec<bool> = (0..=text.len()).map(|end| end == 0).collect();
        for sign in pattern {
            let mut next = vec![false; text.len() + 1];
            for end in 0..=text.len() {
                next[end] = match sign {
                    b'*' => row[end] || (end > 0 && next[end - 1]),
                    b'?' => end > 0 && row[end - 1],
                    sign => end > 0 && row[end - 1] && text[end - 1] == *sign,
                };
            }
            row = next;
        }
        row[text.len()]
    }
}

fn pick<'a>(random: &mut SmallRng, of: &[&'a str]) -> &'a str {
    of[random.random_range(0..of.len())]
}

/// A case near the border: patterns that nearly match, seconds around now, networks around the client.
fn case(random: &mut SmallRng) -> model::Case {
    let path = format!(
        "/v/{}/{}/{}",
        pick(random, &["aa", "ab", "b"]),
        pick(random, &["1", "22"]),
        pick(random, &["master.m3u8", "720p/000001-1.m4s", "720p/init-1.mp4"])
    );
    let query = pick(random, &["", "", "?x=1", "?x=1&y"]);
    let url = format!("{ORIGIN}{path}{query}");
    let mut resource = url.clone().into_bytes();
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..resource.len());
        let until = (at + random.random_range(0..12)).min(resource.len());
        match random.random_range(0..5) {
            0 => drop(resource.splice(at..until, *b"*")),
            1 => resource[at] = b'?',
            2 => drop(resource.splice(at..at, *b"*")),
            3 => resource.truncate(at.max(1)),
            _ => resource[at] = b'x',
        }
    }
    if random.random_bool(0.3) {
        resource.push(b'*');
    }
    let address = u32::from_be_bytes([192, 0, random.random_range(0..4), random.random_range(0..4)]);
    let near = |random: &mut SmallRng| u32::from_be_bytes([192, 0, random.random_range(0..4), random.random_range(0..4)]);
    model::Case {
        resource: String::from_utf8(resource).expect("ascii"),
        less_than: NOW_S + random.random_range(-2..20),
        greater_than: random.random_bool(0.4).then(|| NOW_S + random.random_range(-20..2)),
        network: random.random_bool(0.4).then(|| (near(random), random.random_range(20..=32))),
        url,
        address,
        now: NOW_S,
    }
}

/// Invariant 9, deny by default: ten thousand random policies open exactly what a second, naive reading of them opens; in URLs and in
/// cookies.
#[test]
fn ten_thousand_policies_open_exactly_what_they_allow() {
    let mut random = SmallRng::seed_from_u64(20_261_121);
    let (signer, gate) = house(Algorithm::Ecdsa);
    let mut open = 0;
    for _ in 0..10_000 {
        let case = case(&mut random);
        let network = case.network.map(|(base, bits)| Network::parse(&format!("{}/{bits}", Ipv4Addr::from(base))).expect("a network"));
        let text =
            Policy { resource: case.resource.clone(), expires_at_s: case.less_than, not_before_s: case.greater_than, network }.text();
        let address = IpAddr::V4(Ipv4Addr::from(case.address));
        let (signed, headers) = if random.random_bool(0.5) {
            (signer.url_with_policy(&case.url, &text).expect("signed"), HeaderMap::new())
        } else {
            (case.url.clone(), cookie(&signer.cookies(&text).expect("signed")))
        };
        let verdict = verdict(&gate, &signed, &headers, address, case.now);
        assert_eq!(verdict == "open", case.is_allowed(), "{verdict}: {text} for {} from {address}", case.url);
        open += usize::from(verdict == "open");
    }
    assert!((1500..8500).contains(&open), "{open} were open: the cases are no good");
}
