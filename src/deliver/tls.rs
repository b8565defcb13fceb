//! TLS to destinations: whom we trust, who we are, and what a failure means in words.
//!
//! Does not know: sockets (see `stream`), protocols above. The name in the URL is always sent (SNI) and always checked;
//! there is no option to trust without a check.
//!
//! Invariants:
//! 1. TLS 1.2 or 1.3, with the suites of rustls; nothing older.
//! 2. Authorities are the system's, or those of the file given in their place: who names a private authority does not
//!    mean every public one as well.
//! 3. A key is never shown, whatever is wrong with it (T21).
//!
//! Sources: THREATS T14, T15; RFC 8446; RFC 9113 section 3.2 (HTTP/2 over TLS is agreed on by ALPN); CONFORMANCE E15.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use super::access::read_file;
use super::outcome::Why;
use crate::limits::ACCESS_FILE_BYTES_MAX;

/// How sessions with one destination are begun.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>, Arc<Asked>);

/// No client certificate; notes that one was asked for. Some servers (gRPC's own) close without an alert when they get
/// none, and then this is all that is known.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl rustls::client::ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        // ORDERING: Relaxed: a note that stands for itself.
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

impl Tls {
    pub(super) fn new(roots: Arc<RootCertStore>, identity: Option<Identity>, alpn: &[u8]) -> Result<Tls, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot start: {error}"))?
            .with_root_certificates(roots);
        let asked = Arc::new(Asked::default());
        let mut config = match identity {
            None => builder.with_client_cert_resolver(asked.clone()),
            Some(Identity { chain, key, cert_path, key_path }) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let (cert, key) = (cert_path.display(), key_path.display());
                    format!("the client certificate {cert} and the key {key} cannot be used together: {error}")
                })?
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Tls(Arc::new(config), asked))
    }

    /// A session that has not said anything yet.
    pub(super) fn session(&self, host: &str) -> Result<rustls::ClientConnection, String> {
        let name = server_name(host)?;
        rustls::ClientConnection::new(self.0.clone(), name).map_err(|error| format!("TLS cannot start: {error}"))
    }

    /// What to do when the server ends a connection without a word and before its first byte to us.
    pub(super) fn silence_remedy(&self) -> &'static str {
        if self.1.0.load(Ordering::Relaxed) { IDENTITY_REMEDY } else { VERSION_REMEDY }
    }

    /// The protocol that must be agreed on.
    pub(super) fn needs_http2(&self) -> bool {
        self.0.alpn_protocols.iter().any(|name| name == b"h2")
    }
}

/// A host as a certificate has it.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| format!("host `{host}` is no name that a certificate can have: write a DNS name or an address"))
}

/// Authorities, read once for each source.
#[derive(Default)]
pub(super) struct Roots(Vec<(Option<PathBuf>, Arc<RootCertStore>)>);

impl Roots {
    pub(super) fn get(&mut self, file: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
        if let Some((_, known)) = self.0.iter().find(|(source, _)| source.as_deref() == file) {
            return Ok(known.clone());
        }
        let store = Arc::new(match file {
            Some(path) => roots_of_file(path)?,
            None => roots_of_system()?,
        });
        self.0.push((file.map(Path::to_owned), store.clone()));
        Ok(store)
    }
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| format!("{} holds a certificate that cannot be an authority: {error}", path.display()))?;
    }
    Ok(store)
}

fn roots_of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, ignored) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "no certificate authority was found on this system{why}, so no server could be trusted: install the \
             system's ca-certificates, set SSL_CERT_FILE, or give --out-ca FILE"
        ));
    }
    tracing::debug!(added, ignored, "authorities of the system");
    Ok(store)
}

/// The certificates of a PEM file, one at least.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_file(path, ACCESS_FILE_BYTES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{} holds no certificate: give a PEM file (-----BEGIN CERTIFICATE-----)", path.display())),
        Err(error) => Err(format!("{} is no PEM file of certificates: {error}", path.display())),
    }
}

/// A client certificate with its key.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_path: PathBuf,
    key_path: PathBuf,
}

impl Identity {
    /// The key that goes with the chain of the file `cert`.
    pub(super) fn load(chain: Vec<CertificateDer<'static>>, cert: &Path, key: &Path) -> Result<Identity, String> {
        let pem = read_file(key, ACCESS_FILE_BYTES_MAX)?;
        let parsed = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            format!(
                "{} holds no private key that is not encrypted: give a PEM file (-----BEGIN PRIVATE KEY-----)",
                key.display()
            )
        })?;
        Ok(Identity { chain, key: parsed, cert_path: cert.to_owned(), key_path: key.to_owned() })
    }
}

const IDENTITY_REMEDY: &str =
    "the server asks for a client certificate: give one that it accepts, with --out-cert FILE --out-key FILE";
const VERSION_REMEDY: &str =
    "check the port (otlp-grpcs:// needs HTTP/2, otlp-https:// HTTP/1.1), and the server's log; the data is kept";
const PLAIN_REMEDY: &str =
    "check the port; for a server without TLS write otlp-grpc:// or otlp-http://, for one with it look at its log";

/// A failure of TLS with a server in words, with what to do.
pub(super) fn why(error: &rustls::Error, authority: &str) -> Why {
    use rustls::Error;
    let (what, remedy) = match error {
        Error::InvalidCertificate(error) => certificate(error, authority),
        Error::AlertReceived(alert) => refused_by(*alert, authority),
        Error::InvalidMessage(_) => (format!("{authority} does not speak TLS ({error})"), PLAIN_REMEDY),
        Error::PeerIncompatible(_) => (
            format!("{authority} and Catchment have no version or suite of TLS in common ({error})"),
            "let the server speak TLS 1.2 or 1.3",
        ),
        Error::NoApplicationProtocol => no_protocol(authority),
        _ => (format!("TLS with {authority}: {error}"), PLAIN_REMEDY),
    };
    Why { what, remedy: Some(remedy) }
}

fn certificate(error: &CertificateError, authority: &str) -> (String, &'static str) {
    let says = |what: &str| format!("the certificate of {authority} {what}");
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let what = match error {
                CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                    "names no host (subjectAltName); its common name does not count".to_owned()
                }
                CertificateError::NotValidForNameContext { presented, .. } => {
                    format!("is for another name: it is for {}", presented.join(", "))
                }
                _ => "is for another name".to_owned(),
            };
            (
                says(&what),
                "write a name that the certificate has into --out, or give the server a certificate for this name",
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            says(&format!("has expired ({error})")),
            "renew the server's certificate; if it is valid, set the clock of this machine",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (says(&format!("is not valid yet ({error})")), "set the clock of this machine, or wait")
        }
        CertificateError::UnknownIssuer => (
            says("is signed by an authority that is not trusted here"),
            "give the file of that authority's certificate with --out-ca FILE (or ?ca=FILE)",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            says("is not meant for servers (extended key usage)"),
            "give the server a certificate for servers: this one is a client's, or for something else",
        ),
        CertificateError::Revoked => (says("has been revoked"), "give the server a new certificate"),
        _ => (
            says(&format!("is not accepted ({error})")),
            "give the server a certificate of its own, signed by an authority: one that signed itself is no server's",
        ),
    }
}

fn refused_by(alert: AlertDescription, authority: &str) -> (String, &'static str) {
    match alert {
        AlertDescription::CertificateRequired => {
            (format!("{authority} asks for a client certificate and got none"), IDENTITY_REMEDY)
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            (format!("{authority} does not accept the client certificate, or wants one ({alert:?})"), IDENTITY_REMEDY)
        }
        AlertDescription::HandshakeFailure => (
            format!("{authority} broke off the TLS handshake (HandshakeFailure)"),
            "if it asks for a client certificate give --out-cert FILE --out-key FILE; else look at its log",
        ),
        AlertDescription::ProtocolVersion => {
            (format!("{authority} speaks no version of TLS that is safe"), "let the server speak TLS 1.2 or 1.3")
        }
        AlertDescription::NoApplicationProtocol => no_protocol(authority),
        AlertDescription::UnrecognisedName => (
            format!("{authority} does not know the name that was asked for"),
            "write the name that the server has into --out",
        ),
        _ => (format!("{authority} broke off TLS ({alert:?})"), "look at the server's log"),
    }
}

/// gRPC without HTTP/2, or HTTP/1.1 at a server of HTTP/2 alone.
fn no_protocol(authority: &str) -> (String, &'static str) {
    (
        format!("{authority} does not offer the HTTP version that is needed over TLS (ALPN)"),
        "otlp-grpcs:// needs HTTP/2, otlp-https:// HTTP/1.1: take the other one, or another port",
    )
}

/// HTTP/2 was not agreed on.
pub(super) fn no_http2(authority: &str) -> Why {
    let (what, remedy) = no_protocol(authority);
    Why { what, remedy: Some(remedy) }
}

/// The socket failed or ended while the two did not know each other yet.
pub(super) fn broken_off(error: &std::io::Error, authority: &str) -> Why {
    Why { what: format!("{authority} ended the connection in the TLS handshake: {error}"), remedy: Some(PLAIN_REMEDY) }
}

/// Nothing came before the time of the request was over.
pub(super) fn unanswered(authority: &str) -> Why {
    Why { what: format!("{authority} does not answer in the TLS handshake"), remedy: Some(PLAIN_REMEDY) }
}

/// Nothing came for too long.
pub(super) fn too_slow(authority: &str) -> Why {
    let limit = crate::limits::TLS_HANDSHAKE_TIMEOUT;
    Why { what: format!("{authority} took longer than {limit:?} for the TLS handshake"), remedy: Some(PLAIN_REMEDY) }
}
