//! Certificates from an ACME server (RFC 8555): one is ordered when there is none, and renewed after two thirds of its life.

mod order;
mod store;
mod wire;

use super::certificates::Certificates;
use super::pair::Pair;
use crate::domain::{Error, Result};
use instant_acme::{Account, NewAccount};
use order::Order;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use store::{Credentials, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wire::Wire;

/// Where, below the data folder, an account and its certificate are kept.
pub const FOLDER: &str = "tls/acme";

/// Clocks are set and machines sleep: how long is still to wait is asked anew this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Let's Encrypt takes five failed orders an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const PAUSE_GROWS: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// How the names are proven to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a file on port 80, which the redirecting listener gives (RFC 8555 §8.3).
    Http01,
    /// By a certificate on port 443, which the TLS listener shows (RFC 8737).
    TlsAlpn01,
}

/// What is asked of whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL of the server's directory.
    pub directory: String,
    /// A mail address that the server may write to.
    pub contact: Option<String>,
    /// The names of the certificate, one at least.
    pub domains: Vec<String>,
    /// How they are proven.
    pub challenge: Challenge,
    /// PEM certificates that vouch for the server besides those of the system.
    pub ca_file: Option<PathBuf>,
}

/// The client of one ACME server.
pub struct Acme {
    settings: Settings,
    store: Store,
    wire: Wire,
}

impl Acme {
    /// A client that keeps its account and its certificate in `folder`. `Invalid` when `ca_file` cannot be used.
    pub fn new(settings: Settings, folder: PathBuf) -> Result<Self> {
        let wire = Wire::new(settings.ca_file.as_deref())?;
        Ok(Self { settings, store: Store::new(folder), wire })
    }

    /// The certificate of `folder`, if an ACME server has given one.
    pub fn stored(folder: &Path) -> Result<Option<Pair>> {
        Store::new(folder.to_owned()).pair()
    }

    /// What to begin with: the certificate of the last life, or one that nobody signed.
    pub fn first(&self) -> Result<Pair> {
        let stored = self.store.pair().unwrap_or_else(|error| {
            tracing::warn!(cause = %error.message(), "the stored certificate cannot be used; a new one is ordered");
            None
        });
        stored.map_or_else(|| Pair::stand_in(&self.settings.domains), Ok)
    }

    /// Keeps the certificate that `certificates` shows fresh until `shutdown`. SIGHUP tries at once what would wait.
    pub async fn run(self, certificates: Arc<Certificates>, shutdown: CancellationToken) -> Result<()> {
        let work = self.keep_fresh(&certificates);
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }

    async fn keep_fresh(&self, certificates: &Certificates) -> Result<()> {
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| Error::internal("cannot wait for SIGHUP", error))?;
        let is_ours = self.store.is_of(&self.settings.directory);
        let (mut next, mut failures) = (if is_ours { self.due(&certificates.current()) } else { SystemTime::UNIX_EPOCH }, 0);
        loop {
            let wait = next.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::select! {
                _ = hangup.recv(), if failures > 0 => {}
                () = tokio::time::sleep(wait.min(LOOK_EVERY)) => if wait > LOOK_EVERY { continue },
            }
            match self.renew(certificates).await {
                Ok(()) => {
                    failures = 0;
                    next = self.due(&certificates.current());
                }
                Err(error) => {
                    failures += 1;
                    let pause = pause(failures, &certificates.current());
                    next = SystemTime::now() + pause;
                    tracing::error!(cause = %error.chain(), again_in_s = pause.as_secs(), "no certificate from the ACME server; the one before stays");
                }
            }
        }
    }

    /// When `pair`, of our server, is to be renewed: at once if it is for other names.
    fn due(&self, pair: &Pair) -> SystemTime {
        if !self.settings.domains.iter().all(|domain| pair.covers(domain)) {
            return SystemTime::UNIX_EPOCH;
        }
        pair.not_before() + lifetime(pair) * 2 / 3
    }

    async fn renew(&self, certificates: &Certificates) -> Result<()> {
        let account = self.account().await?;
        let order = Order { account: &account, settings: &self.settings, challenges: certificates.challenges() };
        let outcome = order.run().await;
        certificates.challenges().forget();
        let text = outcome.map_err(|error| self.refused(error))?;
        let pair = self.store.parse(text.as_bytes())?;
        tracing::info!(names = %pair.names().join(", "), "shows a new certificate from the ACME server");
        certificates.show(pair);
        // Shown all the same: another order would end no better, and servers count them.
        if let Err(error) = self.store.keep(&text, &self.settings.directory) {
            tracing::error!(cause = %error.chain(), "the new certificate could not be stored; the next start will order another");
        }
        Ok(())
    }

    async fn account(&self) -> Result<Account> {
        let builder = Account::builder_with_http(Box::new(self.wire.clone()));
        let directory = self.settings.directory.clone();
        if let Some(credentials) = self.store.credentials(&directory)? {
            return builder.from_credentials(credentials).await.map_err(|error| self.refused(error));
        }
        let contact: Vec<String> = self.settings.contact.iter().map(|mail| format!("mailto:{mail}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&wanted, directory.clone(), None).await.map_err(|error| self.refused(error))?;
        self.store.keep_credentials(&Credentials { directory, credentials })?;
        Ok(account)
    }

    fn refused(&self, error: instant_acme::Error) -> Error {
        if let instant_acme::Error::Api(problem) = &error
            && problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":accountDoesNotExist"))
        {
            self.store.forget_credentials();
        }
        Error::unavailable(format!("{} gave no certificate", self.settings.directory), error)
    }
}

fn lifetime(pair: &Pair) -> Duration {
    pair.not_after().duration_since(pair.not_before()).unwrap_or_default()
}

/// Before the next try after so many `failures`: ever longer, but never so long that a certificate ends meanwhile that was begun to be renewed
/// in time.
fn pause(failures: u32, pair: &Pair) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(PAUSE_GROWS.saturating_pow(failures.saturating_sub(1))).min(LONGEST_PAUSE);
    let pause = pause.min(lifetime(pair) / 20).max(Duration::from_secs(1));
    // Many servers that failed together shall not come back together.
    pause.mul_f64(rand::random_range(0.75..1.0))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pair = Pair::stand_in(&["a.example".to_owned()]).expect("a pair");
        assert_eq!(lifetime(&pair), Duration::from_secs(86_400));
        let pauses: Vec<u64> = [1, 2, 3, 4, 5, 40].map(|failures| pause(failures, &pair).as_secs()).to_vec();
        for (pause, longest) in pauses.iter().zip([60, 180, 540, 1620, 4320, 4320]) {
            assert!((longest * 3 / 4..=longest).contains(pause), "{pauses:?}");
        }
    }

    #[test]
    fn a_certificate_is_due_after_two_thirds_or_for_other_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            directory: "https://acme.example/dir".to_owned(),
            contact: None,
            domains: vec!["a.example".to_owned()],
            challenge: Challenge::TlsAlpn01,
            ca_file: None,
        };
        let acme = Acme::new(settings, folder.path().to_owned()).expect("a client");
        let pair = Pair::stand_in(&["a.example".to_owned()]).expect("a pair");
        assert_eq!(acme.due(&pair), pair.not_before() + Duration::from_secs(57_600));
        let other = Pair::stand_in(&["b.example".to_owned()]).expect("a pair");
        assert_eq!(acme.due(&other), SystemTime::UNIX_EPOCH);
        assert!(acme.first().expect("a pair").has_expired(), "nothing is stored: a real one is due at once");
    }

    #[test]
    fn a_stored_certificate_says_who_gave_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path().to_owned());
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        let text = format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem());
        let (staging, production) = ("https://staging.example/dir", "https://acme.example/dir");
        assert!(!store.is_of(staging), "there is none");
        store.keep(&text, staging).expect("kept");
        assert!(store.is_of(staging) && !store.is_of(production));
        assert_eq!(store.pair().expect("readable").expect("a pair").names(), ["a.example"]);
        file::write(&folder.path().join("certificate.pem"), text.as_bytes()).expect("written");
        assert!(!store.is_of(staging), "one from before this was written down is renewed once");
    }
}
