//! What destinations need besides an address: authorities, a client certificate, headers. Read before anything starts, so
//! that what is missing is said at once and with words; files of headers again before a probe (`reread`).
//!
//! Does not know: sockets, sessions. A destination's own options come before those for all.
//!
//! Bounds: `ACCESS_FILE_BYTES_MAX` of each file of certificates or keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::destination::{DeliveryTarget, Destination};
use super::headers::{HeaderSources, Headers, Secret};
use super::tls::{self, Identity, Roots, Tls};
use crate::problem::{Flaw, Problem};

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
    /// Each; no secret is repeated.
    pub fn apply(&self, destinations: &mut [Destination]) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let headers = Headers::from_options(&self.headers).unwrap_or_else(|problem| {
            problems.push(problem);
            Headers::default()
        });
        if let Some(option) = self.idle(destinations) {
            problems.push(option);
        }
        let mut roots = Roots::default();
        let of_all: Arc<[Secret]> = self.headers.as_slice().into();
        for destination in destinations {
            if !destination.target.is_network() {
                continue;
            }
            let name = &destination.name;
            let own = match destination.access.headers.as_deref().map(Headers::from_file).transpose() {
                Ok(own) => own.unwrap_or_default(),
                Err(flaw) => {
                    problems.push(Problem::new("out", name, flaw.of("headers")));
                    Headers::default()
                }
            };
            match own.over(&headers) {
                Ok(all) => {
                    destination.headers = all;
                    let own = destination.access.headers.clone();
                    destination.header_sources = HeaderSources { of_all: of_all.clone(), own };
                }
                Err(flaw) => problems.push(Problem::new("out", name, flaw.of("--out-header and ?headers= together"))),
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
    fn tls(&self, destination: &Destination, roots: &mut Roots) -> Result<Tls, Problem> {
        let (own, name) = (&destination.access, &destination.name);
        let wrong = |flaw: Flaw| Problem::new("out", name, flaw);
        // of a file for all destinations, or one of this one's
        let in_file = |of_all: Option<&'static str>, path: &Path, flaw: Flaw| match of_all {
            Some(key) => Problem::new(key, path.display().to_string(), flaw),
            None => wrong(flaw.of(path.display())),
        };
        let of_all = (own.ca.is_none() && self.ca.is_some()).then_some("out-ca");
        let authorities = own.ca.as_deref().or(self.ca.as_deref());
        let roots = roots.get(authorities).map_err(|flaw| match authorities {
            Some(path) => in_file(of_all, path, flaw),
            None => wrong(flaw),
        })?;
        let (cert, key, cert_option, key_option) = match (&own.cert, &own.key) {
            (None, None) => (&self.cert, &self.key, Some("out-cert"), Some("out-key")),
            _ => (&own.cert, &own.key, None, None),
        };
        let identity = match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                let chain = tls::certificates(cert).map_err(|flaw| in_file(cert_option, cert, flaw))?;
                Some(Identity::load(chain, cert, key).map_err(|flaw| in_file(key_option, key, flaw))?)
            }
            (Some(_), None) => {
                let flaw = Flaw::new("a client certificate without its key");
                return Err(wrong(flaw.remedy("give --out-key FILE (or ?key=) too")));
            }
            (None, Some(_)) => {
                let flaw = Flaw::new("a key without its certificate");
                return Err(wrong(flaw.remedy("give --out-cert FILE (or ?cert=) too")));
            }
        };
        let alpn: &[u8] = if matches!(destination.target, DeliveryTarget::OtlpGrpc(_)) { b"h2" } else { b"http/1.1" };
        Tls::new(roots, identity, alpn).map_err(wrong)
    }

    /// An option that no destination makes use of: a slip, and one that could leave data unprotected.
    fn idle(&self, destinations: &[Destination]) -> Option<Problem> {
        let has_tls = [("out-ca", &self.ca), ("out-cert", &self.cert), ("out-key", &self.key)];
        let given = has_tls.into_iter().find(|(_, file)| file.is_some()).map(|(option, _)| option);
        if let Some(option) = given.filter(|_| !destinations.iter().any(|one| one.target.is_secure())) {
            let remedy = "write otlp-grpcs:// or otlp-https://, or leave it out";
            return Some(Problem::bare(option, Flaw::new("no --out uses TLS").remedy(remedy)));
        }
        let no_network = !destinations.iter().any(|one| one.target.is_network());
        let flaw = || Flaw::new("no --out takes headers").remedy("give an otlp-… destination, or leave it out");
        (no_network && !self.headers.is_empty()).then(|| Problem::bare("out-header", flaw()))
    }
}
