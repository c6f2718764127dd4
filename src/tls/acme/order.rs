//! One order: from the names to a certificate for them.

use super::super::challenges::Challenges;
use super::{Challenge, Settings};
use instant_acme::{Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, OrderStatus, RetryPolicy};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::time::Duration;

/// How long a server may take to look at our answers, and then to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));

/// What an order needs.
pub(super) struct Order<'a> {
    pub(super) account: &'a Account,
    pub(super) settings: &'a Settings,
    pub(super) challenges: &'a Challenges,
}

impl Order<'_> {
    /// Proves the names and gives a new private key and the chain for it, as one PEM text.
    pub(super) async fn run(&self) -> Result<String, Error> {
        let identifiers: Vec<Identifier> = self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = self.account.new_order(&NewOrder::new(&identifiers)).await?;
        self.prove(&mut order).await?;
        if order.poll_ready(&PATIENCE).await? != OrderStatus::Ready {
            return Err(Error::Other(reasons(&mut order).await.into()));
        }
        let (key, request) = request(&self.settings.domains).map_err(|error| Error::Other(error.into()))?;
        order.finalize_csr(&request).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(key + &chain)
    }

    async fn prove(&self, order: &mut instant_acme::Order) -> Result<(), Error> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let (kind, missing) = match self.settings.challenge {
                Challenge::Http01 => (ChallengeType::Http01, "http-01 for this name"),
                Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01 for this name"),
            };
            let mut challenge = authorization.challenge(kind).ok_or(Error::Unsupported(missing))?;
            let proof = challenge.key_authorization();
            let domain = challenge.identifier().to_string();
            match self.settings.challenge {
                Challenge::Http01 => self.challenges.answer_text(&challenge.token, proof.as_str()),
                Challenge::TlsAlpn01 => {
                    let answered = self.challenges.answer_certificate(&domain, proof.digest().as_ref());
                    answered.map_err(|error| Error::Other(error.into()))?;
                }
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }
}

/// A new key, PEM, and the request to sign it, DER.
fn request(domains: &[String]) -> Result<(String, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(domains)?;
    params.distinguished_name = DistinguishedName::new();
    Ok((key.serialize_pem(), params.serialize_request(&key)?.der().to_vec()))
}

/// Why the server does not believe us, in its own words.
async fn reasons(order: &mut instant_acme::Order) -> String {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(errors.map(|problem| format!("{}: {problem}", state.identifier())));
    }
    if reasons.is_empty() { "the order became invalid".to_owned() } else { reasons.join("; ") }
}
