//! The clock: leases, tokens and presigned URLs live by it.

use super::Check;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const YEAR_S: u64 = 31_556_952;
const PLAUSIBLE_YEARS: std::ops::Range<u64> = 2026..2100;

/// The Date header has whole seconds, and the answer was some time on its way.
const UNREMARKABLE: Duration = Duration::from_secs(5);

/// From here on, presigned URLs and short tokens begin to fail.
const INTOLERABLE: Duration = Duration::from_secs(300);

const MEND: &str = "let it be set from the network: timedatectl set-ntp true, or install chrony";

/// Whether this machine's clock shows a year it can be.
pub(super) fn examine_year() -> Check {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = super::super::text::utc(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
    if PLAUSIBLE_YEARS.contains(&(1970 + since_epoch.as_secs() / YEAR_S)) {
        Check::ok("clock", format!("it is {now}"))
    } else {
        Check::fail("clock", format!("it cannot be {now}"), MEND)
    }
}

/// How far this machine's clock, `ours`, is from the server's.
pub(super) fn examine_drift(ours: SystemTime, theirs: SystemTime) -> Check {
    let drift = ours.duration_since(theirs).unwrap_or_else(|behind| behind.duration());
    let found = format!("{} s from the server's clock", drift.as_secs());
    if drift <= UNREMARKABLE {
        Check::ok("clock drift", "agrees with the server's clock")
    } else if drift <= INTOLERABLE {
        Check::warn("clock drift", found, MEND)
    } else {
        Check::fail("clock drift", format!("{found}: uploads and tokens will be refused"), MEND)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn drift_counts_in_both_directions() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (drift_s, status) in [(1, Status::Ok), (60, Status::Warn), (3600, Status::Fail)] {
            let drift = Duration::from_secs(drift_s);
            assert_eq!(examine_drift(now, now + drift).status, status);
            assert_eq!(examine_drift(now + drift, now).status, status);
        }
    }
}
