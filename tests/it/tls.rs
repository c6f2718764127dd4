//! TLS: own certificates and their reload, certificates from an ACME server, redirects, and what proxies say.

mod acme;
mod own;
mod proxies;
mod reload;
