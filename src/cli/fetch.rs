//! Settings from `http:` and `https:`: one GET, bounded in size and time.
//!
//! Knows a URL and how long to wait; does not know what comes back, nor how it is read.

use crate::limits::{CONFIG_BYTES_MAX, CONFIG_FETCH_TIMEOUT};
use crate::problem::Flaw;
use rustls::crypto::ring;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Redirects followed.
const REDIRECTS_MAX: u32 = 3;

/// The bytes at `url`, at most one more than a file of settings may have.
///
/// # Errors
/// Why there are none.
pub(super) fn fetch(url: &str) -> Result<Vec<u8>, Flaw> {
    let cannot = |why: String| Flaw::predicate(format!("cannot be fetched ({why})"));
    let mut answer = agent(url, CONFIG_FETCH_TIMEOUT).get(url).call().map_err(|error| cannot(error.to_string()))?;
    let mut bytes = Vec::new();
    let limit = CONFIG_BYTES_MAX as u64 + 1;
    let read = answer.body_mut().as_reader().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| cannot(error.to_string()))?;
    Ok(bytes)
}

/// Who fetches what is at `url`, within `timeout`.
pub(super) fn agent(url: &str, timeout: Duration) -> Agent {
    let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    if url.starts_with("https:") {
        let trusted = rustls_native_certs::load_native_certs().certs;
        let trusted = trusted.iter().map(|one| Certificate::from_der(one).to_owned()).collect::<Vec<_>>();
        tls = tls.root_certs(RootCerts::Specific(Arc::new(trusted)));
    }
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(REDIRECTS_MAX)
        // what may be a secret goes nowhere else
        .save_redirect_history(false)
        .user_agent(concat!("catchment/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build()
        .into()
}
