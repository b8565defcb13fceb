//! Authorities made on the spot, and a server over TLS that takes whatever comes and answers with success: HTTP/1.1 or
//! gRPC, by what the client offers.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An authority that signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pub pem: String,
}

/// A certificate with its key.
pub struct Signed {
    pub certificate: CertificateDer<'static>,
    pub pem: String,
    pub key_pem: String,
    key: Vec<u8>,
}

/// From when to when, in years.
pub const VALID: (i32, i32) = (2020, 2090);
pub const EXPIRED: (i32, i32) = (2019, 2020);
pub const NOT_YET: (i32, i32) = (2090, 2091);

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Authority { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names.
    pub fn sign(&self, names: &[&str], years: (i32, i32)) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(names, years).signed_by(&key, &self.issuer).unwrap();
        signed(certificate, key)
    }

    /// One for clients alone: it says so in its extended key usage.
    pub fn sign_for_clients(&self, names: &[&str]) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = leaf(names, VALID);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        signed(certificate, key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }
}

/// A certificate that nobody else signed.
pub fn self_signed(names: &[&str]) -> Signed {
    let key = KeyPair::generate().unwrap();
    let certificate = leaf(names, VALID).self_signed(&key).unwrap();
    signed(certificate, key)
}

/// One that signed itself and says that it is an authority, as `openssl req -x509` makes them.
pub fn self_signed_authority(names: &[&str]) -> Signed {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf(names, VALID);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    signed(certificate, key)
}

fn leaf(names: &[&str], (from, until): (i32, i32)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    params
}

fn signed(certificate: rcgen::Certificate, key: KeyPair) -> Signed {
    Signed {
        certificate: certificate.der().clone(),
        pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        key: key.serialize_der(),
    }
}

/// Writes a file into a folder that outlives the test's process, one for each.
pub fn file(name: &str, text: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A request as the server got it.
pub struct Taken {
    /// Names in lower case.
    pub head: String,
    pub body: Vec<u8>,
    pub sni: Option<String>,
    pub alpn: Option<Vec<u8>>,
}

pub struct TlsServer {
    pub port: u16,
    pub requests: mpsc::Receiver<Taken>,
    /// Connections accepted.
    pub connections: Arc<AtomicUsize>,
}

/// What a server is like.
pub struct Manner<'a> {
    pub certificate: &'a Signed,
    /// Client certificates of this authority are demanded.
    pub clients: Option<&'a Authority>,
    /// … or only asked for.
    pub optional: bool,
    pub versions: &'static [&'static SupportedProtocolVersion],
    pub alpn: &'a [&'a [u8]],
}

impl<'a> Manner<'a> {
    pub fn new(certificate: &'a Signed) -> Self {
        Manner {
            certificate,
            clients: None,
            optional: false,
            versions: rustls::ALL_VERSIONS,
            alpn: &[b"h2", b"http/1.1"],
        }
    }
}

impl Manner<'_> {
    /// As rustls takes it.
    pub fn config(&self) -> Arc<ServerConfig> {
        let manner = self;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(manner.versions).unwrap();
        let builder = match manner.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots().into(), provider);
                let verifier = if manner.optional { verifier.allow_unauthenticated() } else { verifier };
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(manner.certificate.key.clone()).unwrap();
        let mut config = builder.with_single_cert(vec![manner.certificate.certificate.clone()], key).unwrap();
        config.alpn_protocols = manner.alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

impl TlsServer {
    /// On 127.0.0.1; its threads end with the test's process.
    pub fn start(manner: &Manner<'_>) -> TlsServer {
        let acceptor = tokio_rustls::TlsAcceptor::from(manner.config());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, requests) = mpsc::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, send) = (acceptor.clone(), send.clone());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
                    let _ = tokio::task::LocalSet::new().block_on(&runtime, serve(stream, acceptor, send));
                });
            }
        });
        TlsServer { port, requests, connections }
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
}

async fn serve(
    stream: std::net::TcpStream,
    acceptor: tokio_rustls::TlsAcceptor,
    send: mpsc::Sender<Taken>,
) -> Option<()> {
    stream.set_nonblocking(true).ok()?;
    let stream = acceptor.accept(tokio::net::TcpStream::from_std(stream).ok()?).await.ok()?;
    let session = stream.get_ref().1;
    let (sni, alpn) = (session.server_name().map(str::to_owned), session.alpn_protocol().map(<[u8]>::to_vec));
    let taken = move |head, body| Taken { head, body, sni: sni.clone(), alpn: alpn.clone() };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        grpc(stream, taken, send).await
    } else {
        http(stream, taken, send).await
    }
}

async fn http(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    taken: impl Fn(String, Vec<u8>) -> Taken,
    send: mpsc::Sender<Taken>,
) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let rest = bytes.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut bytes, rest)).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        while bytes.len() < length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let rest = bytes.split_off(length);
        let _ = send.send(taken(head, std::mem::replace(&mut bytes, rest)));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        stream.flush().await.ok()?;
    }
}

async fn grpc(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    taken: impl Fn(String, Vec<u8>) -> Taken + Clone + 'static,
    send: mpsc::Sender<Taken>,
) -> Option<()> {
    let mut connection = h2::server::Builder::new().handshake::<_, Bytes>(stream).await.ok()?;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (send, taken) = (send.clone(), taken.clone());
        // the bodies come while the connection is polled for the next call
        tokio::task::spawn_local(async move {
            let (head, mut body) = request.into_parts();
            let mut frame = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                frame.extend_from_slice(&data);
            }
            let fields = head.headers.iter().map(|(name, value)| format!("\r\n{name}: {}", value.to_str().unwrap()));
            let text = format!("{} {}{}", head.method, head.uri, fields.collect::<String>());
            let _ = send.send(taken(text, frame.split_off(5)));
            let response = http::Response::builder().header("content-type", "application/grpc");
            let _ = respond.send_response(response.header("grpc-status", "0").body(()).unwrap(), true);
        });
    }
    Some(())
}
