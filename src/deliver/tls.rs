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

use super::reading::read_file;
use super::why::Why;
use crate::limits::ACCESS_FILE_BYTES_MAX;
use crate::problem::Flaw;

/// How sessions with one destination are begun.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>, Arc<Asked>, Arc<Made>);

/// What sessions are made of: two that were read from the same files are alike.
struct Made {
    roots: Arc<RootCertStore>,
    /// Of the client certificate and its key; the key itself is not kept twice.
    identity: Option<[u8; 32]>,
    alpn: Vec<u8>,
}

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
        self.2.roots.roots == other.2.roots.roots
            && (self.2.identity, &self.2.alpn) == (other.2.identity, &other.2.alpn)
    }
}

impl Eq for Tls {}

impl Tls {
    pub(super) fn new(roots: Arc<RootCertStore>, identity: Option<Identity>, alpn: &[u8]) -> Result<Tls, Flaw> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Flaw::new(format!("TLS cannot start: {error}")))?
            .with_root_certificates(roots.clone());
        let made = Made { roots, identity: identity.as_ref().map(Identity::digest), alpn: alpn.to_vec() };
        let asked = Arc::new(Asked::default());
        let mut config = match identity {
            None => builder.with_client_cert_resolver(asked.clone()),
            Some(Identity { chain, key, cert_path, key_path }) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let (cert, key) = (cert_path.display(), key_path.display());
                    let both = format!("the client certificate {cert} and the key {key}");
                    Flaw::new(format!("{both} cannot be used together: {}", plain(&error)))
                })?
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Tls(Arc::new(config), asked, Arc::new(made)))
    }

    /// A session that has not said anything yet.
    pub(super) fn session(&self, host: &str) -> Result<rustls::ClientConnection, String> {
        let name = server_name(host).map_err(|flaw| flaw.to_string())?;
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
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, Flaw> {
    let flaw = || Flaw::new(format!("host `{host}` is no name that a certificate can have"));
    ServerName::try_from(host.to_owned()).map_err(|_| flaw().remedy("write a DNS name or an address"))
}

/// Authorities, read once for each source.
#[derive(Default)]
pub(super) struct Roots(Vec<(Option<PathBuf>, Arc<RootCertStore>)>);

impl Roots {
    pub(super) fn get(&mut self, file: Option<&Path>) -> Result<Arc<RootCertStore>, Flaw> {
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

fn roots_of_file(path: &Path) -> Result<RootCertStore, Flaw> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| {
            Flaw::predicate(format!("holds a certificate that cannot be an authority: {}", plain(&error)))
        })?;
    }
    Ok(store)
}

fn roots_of_system() -> Result<RootCertStore, Flaw> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, ignored) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        let fault = format!("no certificate authority was found on this system{why}, so no server could be trusted");
        let remedy = "install the system's ca-certificates, set SSL_CERT_FILE, or give --out-ca FILE";
        return Err(Flaw::new(fault).remedy(remedy));
    }
    tracing::debug!(added, ignored, "authorities of the system");
    Ok(store)
}

/// The certificates of a PEM file, one at least; what is wrong goes on from the path.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let pem = read_file(path, ACCESS_FILE_BYTES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Flaw::predicate("holds no certificate").remedy("give a PEM file (-----BEGIN CERTIFICATE-----)")),
        Err(error) => Err(Flaw::predicate(format!("is no PEM file of certificates: {error}"))),
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
    /// Tells it from others.
    fn digest(&self) -> [u8; 32] {
        let mut of = ring::digest::Context::new(&ring::digest::SHA256);
        // each with its length: what one loses the next must not gain
        for part in self.chain.iter().map(|one| one.as_ref()).chain([self.key.secret_der()]) {
            of.update(&(part.len() as u64).to_be_bytes());
            of.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(of.finish().as_ref());
        digest
    }

    /// The key that goes with the chain of the file `cert`; what is wrong goes on from the path of the key.
    pub(super) fn load(chain: Vec<CertificateDer<'static>>, cert: &Path, key: &Path) -> Result<Identity, Flaw> {
        let pem = read_file(key, ACCESS_FILE_BYTES_MAX)?;
        let parsed = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let flaw = Flaw::predicate("holds no private key that is not encrypted");
            flaw.remedy("give a PEM file (-----BEGIN PRIVATE KEY-----)")
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
        Error::InvalidMessage(_) => (format!("{authority} does not speak TLS ({})", plain(error)), PLAIN_REMEDY),
        Error::PeerIncompatible(_) => (
            format!("{authority} and Catchment have no version or suite of TLS in common ({})", plain(error)),
            "let the server speak TLS 1.2 or 1.3",
        ),
        Error::NoApplicationProtocol => no_protocol(authority),
        _ => (format!("TLS with {authority}: {}", plain(error)), PLAIN_REMEDY),
    };
    Why { what, remedy: Some(remedy) }
}

/// An error's words, with names of variants (`KeyMismatch`, `ALotOfWords`) taken apart.
fn plain(error: &dyn fmt::Display) -> String {
    let mut out = String::new();
    for word in error.to_string().split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let lowers = word.bytes().filter(u8::is_ascii_lowercase).count();
        let humps = word.bytes().skip(1).filter(u8::is_ascii_uppercase).count();
        // not a name such as DNS or OCSP, nor one as X.509
        if humps == 0 || lowers <= humps || !word.starts_with(|c: char| c.is_ascii_uppercase()) {
            out.push_str(word);
            continue;
        }
        for (at, letter) in word.char_indices() {
            if at > 0 && letter.is_ascii_uppercase() {
                out.push(' ');
            }
            out.push(letter.to_ascii_lowercase());
        }
    }
    out
}

const OWN_REMEDY: &str =
    "give the server a certificate of its own, signed by an authority: one that signed itself is no server's";
const NEW_REMEDY: &str = "give the server a new certificate: X.509 version 3, with subjectAltName";
const CHAIN_REMEDY: &str = "let the server send its certificate and those between it and the authority, in this order";

/// What the library that checks chains says in a word of its own; it is no part of rustls' errors.
fn chain(word: &str) -> (String, &'static str) {
    let (what, remedy) = match word {
        "CaUsedAsEndEntity" => ("is an authority's, or signed itself as one, and so no server's", OWN_REMEDY),
        "EndEntityUsedAsCa" => ("is signed with one that is no authority's", CHAIN_REMEDY),
        "UnsupportedCertVersion" => ("is of an old version of X.509", NEW_REMEDY),
        "NameConstraintViolation" => {
            ("is for a name that its authority may not sign for", "let another authority sign it, or take another name")
        }
        "PathLenConstraintViolated" => ("has more authorities above it than one of them allows", CHAIN_REMEDY),
        word if word.starts_with("Maximum") => ("comes with a chain that is too long to be checked", CHAIN_REMEDY),
        word => return (format!("is not accepted ({})", plain(&word)), NEW_REMEDY),
    };
    (what.to_owned(), remedy)
}

/// A time for people.
fn roughly(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
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
        CertificateError::ExpiredContext { time, not_after } => (
            says(&format!("has expired, {} ago", roughly(time.as_secs().saturating_sub(not_after.as_secs())))),
            "renew the server's certificate; if it is valid, set the clock of this machine",
        ),
        CertificateError::NotValidYetContext { time, not_before } => {
            let left = roughly(not_before.as_secs().saturating_sub(time.as_secs()));
            (says(&format!("is not valid yet: it will be in {left}")), "set the clock of this machine, or wait")
        }
        CertificateError::Expired => (says("has expired"), "renew the server's certificate"),
        CertificateError::NotValidYet => (says("is not valid yet"), "set the clock of this machine, or wait"),
        CertificateError::UnknownIssuer => (
            says("is signed by an authority that is not trusted here"),
            "give the file of that authority's certificate with --out-ca FILE (or ?ca=FILE)",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            says("is not meant for servers (extended key usage)"),
            "give the server a certificate for servers: this one is a client's, or for something else",
        ),
        CertificateError::Revoked => (says("has been revoked"), "give the server a new certificate"),
        CertificateError::Other(error) => {
            let (what, remedy) = chain(&error.to_string());
            (says(&what), remedy)
        }
        CertificateError::BadEncoding => (says("cannot be read: it is malformed"), NEW_REMEDY),
        CertificateError::BadSignature => {
            (says("has a signature that does not fit its authority's key"), "give the file of the right authority")
        }
        CertificateError::UnhandledCriticalExtension => {
            (says("has an extension that must be understood and is not known here"), NEW_REMEDY)
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            (says("is signed in a way that is not taken: SHA-1, say, or a rare curve"), NEW_REMEDY)
        }
        _ => (says(&format!("is not accepted ({})", plain(error))), NEW_REMEDY),
    }
}

fn refused_by(alert: AlertDescription, authority: &str) -> (String, &'static str) {
    let words = format!("{alert:?}");
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
        | AlertDescription::AccessDenied => (
            format!("{authority} does not accept the client certificate, or wants one ({})", plain(&words)),
            IDENTITY_REMEDY,
        ),
        AlertDescription::HandshakeFailure => (
            format!("{authority} broke off the TLS handshake (handshake failure)"),
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
        _ => (format!("{authority} broke off TLS ({})", plain(&words)), "look at the server's log"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{InvalidMessage, OtherError, PeerIncompatible};

    /// The library that checks chains shows its errors as it writes them in code.
    #[derive(Debug)]
    struct Chain(&'static str);

    impl fmt::Display for Chain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Chain {}

    /// Whatever it is, no name from code is shown.
    #[test]
    fn errors_are_told_in_words() {
        let other = |word| CertificateError::Other(OtherError(Arc::new(Chain(word)))).into();
        for (error, words) in [
            (other("CaUsedAsEndEntity"), "is an authority's, or signed itself as one"),
            (other("EndEntityUsedAsCa"), "no authority's"),
            (other("MaximumPathDepthExceeded"), "too long"),
            (other("InvalidSerialNumber"), "(invalid serial number)"),
            (CertificateError::BadSignature.into(), "does not fit"),
            (CertificateError::ApplicationVerificationFailure.into(), "(application verification failure)"),
            (CertificateError::Expired.into(), "has expired"),
            (InvalidMessage::InvalidContentType.into(), "does not speak TLS"),
            (PeerIncompatible::NoCipherSuitesInCommon.into(), "no cipher suites in common"),
            (rustls::Error::AlertReceived(AlertDescription::InternalError), "broke off TLS (internal error)"),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), "client certificate"),
            (rustls::Error::General("OCSP and X.509 of DNS".into()), "OCSP and X.509 of DNS"),
        ] {
            let why = why(&error, "h:1");
            assert!(why.what.contains(words) && why.remedy.is_some(), "{words}: {}", why.what);
            let name = |word: &str| {
                word.bytes().skip(1).any(|b| b.is_ascii_uppercase()) && word.bytes().any(|b| b.is_ascii_lowercase())
            };
            let words: Vec<&str> =
                why.what.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| name(word)).collect();
            assert!(words.is_empty(), "{}: {words:?}", why.what);
        }
        assert_eq!([59, 7_200, 200_000].map(roughly), ["0 minutes", "2 hours", "2 days"]);
    }
}
