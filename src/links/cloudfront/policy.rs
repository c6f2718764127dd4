//! Policies: their text, as botocore writes it, and what a request may have under one.

use super::Refusal;
use super::network::Network;
use super::wildcard::matches;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

/// What a signature allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The URL, with its query, or a pattern of URLs: `*` and `?` are wildcards, anywhere.
    pub resource: String,
    /// From this second of the epoch on it allows nothing.
    pub expires_at_s: i64,
    /// Until this second, and in it, it allows nothing yet.
    pub not_before_s: Option<i64>,
    /// Only clients from here.
    pub network: Option<Network>,
}

/// The document. Unknown members are refused, missing ones too, and a member may not come twice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "Statement")]
    statement: [Object<Statement>; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Resource")]
    resource: String,
    #[serde(rename = "Condition")]
    condition: Object<Condition>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "DateLessThan")]
    date_less_than: Object<Time>,
    #[serde(rename = "IpAddress", default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ip_address: Option<Object<Source>>,
    #[serde(rename = "DateGreaterThan", default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    date_greater_than: Option<Object<Time>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    #[serde(rename = "AWS:EpochTime")]
    epoch_s: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(rename = "AWS:SourceIp")]
    network: String,
}

/// An optional member that is there: `null` is no way to leave it out.
fn present<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<Object<T>>, D::Error> {
    Object::deserialize(deserializer).map(Some)
}

impl Policy {
    /// Everything `resource` names until `expires_at_s`, for anyone.
    pub fn new(resource: impl Into<String>, expires_at_s: i64) -> Self {
        Self { resource: resource.into(), expires_at_s, not_before_s: None, network: None }
    }

    /// The JSON, byte for byte as botocore's `CloudFrontSigner.build_policy` writes it. Without the two optional conditions this is the text
    /// of the canned policy for that URL.
    pub fn text(&self) -> String {
        let time = |epoch_s| Object(Time { epoch_s });
        let condition = Condition {
            date_less_than: time(self.expires_at_s),
            ip_address: self.network.map(|network| Object(Source { network: network.to_string() })),
            date_greater_than: self.not_before_s.map(time),
        };
        let statement = Statement { resource: self.resource.clone(), condition: Object(condition) };
        serde_json::to_string(&Document { statement: [Object(statement)] }).expect("texts and numbers are always JSON")
    }

    /// Reads a custom policy. Exactly one statement; a Resource there must be: CloudFront takes its absence for "everything".
    pub fn parse(text: &[u8]) -> crate::domain::Result<Self> {
        Self::read(text).map_err(Refusal::into_error)
    }

    pub(super) fn read(text: &[u8]) -> Result<Self, Refusal> {
        let Object(Document { statement: [Object(statement)] }) = serde_json::from_slice(text).map_err(|_| Refusal::PolicyMalformed)?;
        let Object(Condition { date_less_than, ip_address, date_greater_than }) = statement.condition;
        let network = ip_address.map(|Object(source)| Network::parse(&source.network)).transpose().map_err(|_| Refusal::PolicyMalformed)?;
        if statement.resource.is_empty() {
            return Err(Refusal::PolicyMalformed);
        }
        Ok(Self {
            resource: statement.resource,
            expires_at_s: date_less_than.0.epoch_s,
            not_before_s: date_greater_than.map(|Object(time)| time.epoch_s),
            network,
        })
    }

    /// Whether the resource matches any of `urls`, which are one object by its several origins.
    pub(super) fn covers(&self, urls: &[String]) -> Result<(), Refusal> {
        if urls.iter().any(|url| matches(&self.resource, url)) { Ok(()) } else { Err(Refusal::Resource) }
    }

    /// Whether the conditions hold for a client at `address` at `now_s`.
    pub(super) fn allows(&self, address: IpAddr, now_s: i64) -> Result<(), Refusal> {
        if now_s >= self.expires_at_s {
            return Err(Refusal::Expired);
        }
        if self.not_before_s.is_some_and(|not_before_s| now_s <= not_before_s) {
            return Err(Refusal::NotYet);
        }
        if self.network.is_some_and(|network| !network.contains(address)) { Err(Refusal::Address) } else { Ok(()) }
    }
}

/// A value that is written as a JSON object and as nothing else: serde's structs would be read from arrays too.
struct Object<T>(T);

impl<T: Serialize> Serialize for Object<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}
