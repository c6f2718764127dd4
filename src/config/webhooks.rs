//! `[webhooks]`: which addresses events may be sent to, how often it is tried, and how long events are kept.

use super::list::List;
use super::raw::duration;
use super::wrong;
use crate::domain::Result;
use crate::domain::webhook::Rules;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// How events leave the house.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// Which addresses may be called.
    pub rules: Rules,
    /// How long an endpoint may take to answer.
    pub timeout: Duration,
    /// The longest pause after a first failure,
    pub first_pause: Duration,
    /// and after any.
    pub longest_pause: Duration,
    /// How long an endpoint may fail to take an event until it is disabled.
    pub give_up_after: Duration,
    /// How long messages are signed with the secret before too.
    pub secret_overlap: Duration,
    /// How long events are kept.
    pub keep_events: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    allow_private: List,
    allow_http: bool,
    timeout: String,
    first_pause: String,
    longest_pause: String,
    give_up_after: String,
    secret_overlap: String,
    keep_events: String,
}

impl Raw {
    pub(super) fn check(self) -> Result<Webhooks> {
        let allow_private = self.allow_private.items().into_iter().map(network).collect::<Result<_>>()?;
        let timeout = duration("webhooks.timeout", &self.timeout, Duration::from_secs(1))?;
        if timeout > Duration::from_secs(60) {
            return Err(wrong("webhooks.timeout", &self.timeout, "it must be at most 60s"));
        }
        let first_pause = duration("webhooks.first_pause", &self.first_pause, Duration::from_millis(1))?;
        Ok(Webhooks {
            rules: Rules { allow_private, allow_http: self.allow_http },
            timeout,
            first_pause,
            longest_pause: duration("webhooks.longest_pause", &self.longest_pause, first_pause)?,
            give_up_after: duration("webhooks.give_up_after", &self.give_up_after, Duration::from_secs(1))?,
            secret_overlap: duration("webhooks.secret_overlap", &self.secret_overlap, Duration::ZERO)?,
            keep_events: duration("webhooks.keep_events", &self.keep_events, Duration::from_secs(3600))?,
        })
    }
}

fn network(text: &str) -> Result<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| wrong("webhooks.allow_private", text, "list addresses or networks, e.g. 10.20.0.0/16, fd00::/8"))
}
