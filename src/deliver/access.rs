//! What destinations need besides an address: authorities, a client certificate, headers. Read once, before anything
//! starts, so that what is missing is said at once and with words.
//!
//! Does not know: sockets, sessions. A destination's own options come before those for all.
//!
//! Bounds: `ACCESS_FILE_BYTES_MAX` of each file of certificates or keys.

use std::path::PathBuf;

use super::destination::{Destination, Target};
use super::headers::{Headers, Secret};
use super::tls::{self, Identity, Roots, Tls};

/// Options for all network destinations.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `--out-ca`: the authorities that are trusted, in place of the system's.
    pub ca: Option<PathBuf>,
    /// `--out-cert`: the client certificate and what leads to its authority.
    pub cert: Option<PathBuf>,
    /// `--out-key`: the key of the client certificate.
    pub key: Option<PathBuf>,
    /// `--out-header`, each.
    pub headers: Vec<Secret>,
}

impl Access {
    /// Reads what the destinations need and puts it into them. All problems at once, each with option, file and remedy.
    ///
    /// # Errors
    /// A sentence for each problem; no secret is repeated.
    pub fn apply(&self, destinations: &mut [Destination]) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let headers = Headers::from_options(&self.headers).unwrap_or_else(|error| {
            problems.push(error);
            Headers::default()
        });
        if let Some(option) = self.is_idle(destinations) {
            problems.push(option);
        }
        let mut roots = Roots::default();
        for destination in destinations {
            if !destination.target.is_network() {
                continue;
            }
            let name = &destination.name;
            let own = match destination.access.headers.as_deref().map(Headers::from_file).transpose() {
                Ok(own) => own.unwrap_or_default(),
                Err(error) => {
                    problems.push(format!("--out {name}: headers: {error}"));
                    Headers::default()
                }
            };
            match own.over(&headers) {
                Ok(all) => destination.headers = all,
                Err(error) => problems.push(format!("--out {name}: --out-header and ?headers= together: {error}")),
            }
            if destination.target.is_secure() {
                match self.tls(destination, &mut roots) {
                    Ok(tls) => destination.tls = Some(tls),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        // the same file of all destinations is a problem once
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The error names the option whose file it is about.
    fn tls(&self, destination: &Destination, roots: &mut Roots) -> Result<Tls, String> {
        let (own, name) = (&destination.access, &destination.name);
        let told = |of_all: Option<&str>, error: String| match of_all {
            Some(option) => format!("{option} {error}"),
            None => format!("--out {name}: {error}"),
        };
        let of_all = (own.ca.is_none() && self.ca.is_some()).then_some("--out-ca");
        let roots = roots.get(own.ca.as_deref().or(self.ca.as_deref())).map_err(|error| told(of_all, error))?;
        let (cert, key, cert_option, key_option) = match (&own.cert, &own.key) {
            (None, None) => (&self.cert, &self.key, Some("--out-cert"), Some("--out-key")),
            _ => (&own.cert, &own.key, None, None),
        };
        let identity = match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                let chain = tls::certificates(cert).map_err(|error| told(cert_option, error))?;
                Some(Identity::load(chain, cert, key).map_err(|error| told(key_option, error))?)
            }
            (Some(_), None) => {
                let error = "a client certificate without its key: give --out-key FILE (or ?key=) too";
                return Err(told(None, error.into()));
            }
            (None, Some(_)) => {
                let error = "a key without its certificate: give --out-cert FILE (or ?cert=) too";
                return Err(told(None, error.into()));
            }
        };
        let alpn: &[u8] = if matches!(destination.target, Target::OtlpGrpc(_)) { b"h2" } else { b"http/1.1" };
        Tls::new(roots, identity, alpn).map_err(|error| told(None, error))
    }

    /// An option that no destination makes use of: a slip, and one that could leave data unprotected.
    fn is_idle(&self, destinations: &[Destination]) -> Option<String> {
        let has_tls = [("--out-ca", &self.ca), ("--out-cert", &self.cert), ("--out-key", &self.key)];
        let given = has_tls.into_iter().find(|(_, file)| file.is_some()).map(|(option, _)| option);
        if let Some(option) = given.filter(|_| !destinations.iter().any(|one| one.target.is_secure())) {
            return Some(format!("{option}: no --out uses TLS: write otlp-grpcs:// or otlp-https://, or leave it out"));
        }
        let no_network = !destinations.iter().any(|one| one.target.is_network());
        (no_network && !self.headers.is_empty())
            .then(|| "--out-header: no --out takes headers: give an otlp-… destination, or leave it out".to_owned())
    }
}
