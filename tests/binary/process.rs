//! The real binary as a child, and blocking clients for its doors.
//!
//! Nothing sleeps: a start is over when the banner's last line is read, an end when standard error closes. A watchdog
//! kills a child that outlives `PATIENCE`, so every read from it ends.

use bytes::Bytes;
use http::{HeaderMap, Request};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

/// Longest life of a child.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for anything observable: shorter, so that a failure tells what was waited for.
pub const WAIT: Duration = Duration::from_secs(30);

pub const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// The long form of tests that have a short one.
pub fn full() -> bool {
    std::env::var_os("CATCHMENT_FULL").is_some_and(|value| value == "1")
}

pub fn wall_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Asks again until there is an answer; every question is a round trip to the process, so this does not spin.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long for: {what}");
    }
}

/// A folder of this test's own, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("catchment-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the process said and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// The last line that begins with `catchment: ledger:`; its terms add up where it says so.
    pub fn ledger(&self) -> &str {
        let mut lines = self.stderr.lines().rev();
        let line = lines.find(|line| line.starts_with("catchment: ledger:"));
        let line = line.unwrap_or_else(|| panic!("no ledger line: {self:?}"));
        let term = |name: &str| -> u64 {
            let rest = line.split_once(name).unwrap_or_else(|| panic!("{name}in {line}")).1;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("a number after {name}in {line}"))
        };
        let adds_up = term("received ") == term("= applied ") + term(" + rejected ") + term(" + discarded ");
        assert!(adds_up || !line.ends_with("; balanced"), "{line}");
        line
    }

    /// Points of each warning that holds all of `parts`, and the total that the last one tells.
    pub fn losses(&self, parts: &[&str]) -> (Vec<u64>, u64) {
        let lines = self.stderr.lines().filter(|line| line.contains("WARN") && parts.iter().all(|p| line.contains(p)));
        let field = |line: &str, name: &str| {
            let value = line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_else(|| panic!("{line}"));
            value.parse::<u64>().expect("a number")
        };
        let both: Vec<_> = lines.map(|line| (field(line, "points="), field(line, "total="))).collect();
        (both.iter().map(|(points, _)| *points).collect(), both.last().map_or(0, |(_, total)| *total))
    }
}

/// The command, without the environment's `CATCHMENT_…`.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catchment"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CATCHMENT_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end a command that ends by itself.
pub fn output(mut command: Command) -> Ended {
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let _watchdog = Watchdog::new(child.id());
    let stdout = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    let stderr = std::io::read_to_string(stderr).unwrap();
    Ended { status: child.wait().unwrap(), stdout: stdout.join().unwrap(), stderr }
}

pub fn signal(id: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -s {name} {id}")]).stderr(Stdio::null()).status();
    assert!(status.is_ok(), "a shell that can kill");
}

/// Kills a child that lives too long; gone when dropped.
struct Watchdog(Option<mpsc::Sender<()>>);

impl Watchdog {
    fn new(id: u32) -> Watchdog {
        let (alive, gone) = mpsc::channel();
        std::thread::spawn(move || {
            if gone.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("killing a child that ran too long");
                signal(id, "KILL");
            }
        });
        Watchdog(Some(alive))
    }
}

/// Where the doors are, as the ports file tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    pub otlp_grpc: Option<SocketAddr>,
    pub otlp_http: Option<SocketAddr>,
    pub prometheus: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

impl Ports {
    pub fn read(path: &Path) -> Ports {
        let text = std::fs::read_to_string(path).expect("a ports file");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let get = |key: &str| json[key].as_str().map(|text| text.parse().expect("ip:port"));
        Ports {
            otlp_grpc: get("otlp_grpc"),
            otlp_http: get("otlp_http"),
            prometheus: get("prometheus"),
            admin: get("admin"),
        }
    }
}

/// `catchment run` on free ports.
pub struct Catchment {
    child: Child,
    pub ports: Ports,
    pub banner: String,
    folder: Folder,
    stderr: Mutex<mpsc::Receiver<String>>,
    stdout: Option<std::thread::JoinHandle<String>>,
    said: String,
    _watchdog: Watchdog,
}

impl Catchment {
    /// With all doors at port 0, and these arguments; a door named here is as it says.
    pub fn start(arguments: &[&str]) -> Catchment {
        let mut command = command(&["run"]);
        for door in ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"] {
            if !arguments.contains(&door) {
                command.args([door, "127.0.0.1:0"]);
            }
        }
        command.args(arguments);
        Catchment::spawn(command)
    }

    /// `command` gets a ports file.
    pub fn spawn(mut command: Command) -> Catchment {
        let folder = Folder::new();
        let ports_file = folder.path("ports.json");
        let mut child = command.arg("--ports-file").arg(&ports_file).spawn().unwrap();
        let watchdog = Watchdog::new(child.id());
        let (pipe, out) = (child.stderr.take().unwrap(), child.stdout.take().unwrap());
        let (lines, stderr) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let stdout = std::thread::spawn(move || std::io::read_to_string(out).unwrap_or_default());
        let mut banner = String::new();
        loop {
            let Ok(line) = stderr.recv_timeout(PATIENCE) else {
                let _ = child.kill();
                panic!("no banner; it said: {banner}, and ended: {:?}", child.wait());
            };
            banner.push_str(&line);
            banner.push('\n');
            if line.starts_with("  stop ") || line.contains(r#""message":"listening""#) {
                break;
            }
        }
        let ports = Ports::read(&ports_file);
        let said = banner.clone();
        Catchment {
            child,
            ports,
            banner,
            folder,
            stderr: Mutex::new(stderr),
            stdout: Some(stdout),
            said,
            _watchdog: watchdog,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn ports_file(&self) -> PathBuf {
        self.folder.path("ports.json")
    }

    pub fn grpc(&self) -> Grpc {
        Grpc::connect(self.ports.otlp_grpc.unwrap()).unwrap()
    }

    pub fn http(&self) -> Http {
        Http::connect(self.ports.otlp_http.unwrap()).unwrap()
    }

    pub fn admin(&self) -> Http {
        Http::connect(self.ports.admin.unwrap()).unwrap()
    }

    pub fn scraper(&self) -> Http {
        Http::connect(self.ports.prometheus.unwrap()).unwrap()
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for a line on standard error that holds all of `parts`.
    pub fn hear(&mut self, parts: &[&str]) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.stderr.get_mut().unwrap().recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("waited too long for: {parts:?}; it said: {}", self.said));
            self.said.push_str(&line);
            self.said.push('\n');
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    /// SIGTERM, then the end.
    pub fn terminate(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        // the channel closes when standard error does
        while let Ok(line) =
            self.stderr.get_mut().unwrap().recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        let stdout = self.stdout.take().unwrap().join().unwrap();
        Ended { status: self.child.wait().unwrap(), stdout, stderr: std::mem::take(&mut self.said) }
    }
}

impl Drop for Catchment {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One answer over HTTP/1.1.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A kept-alive connection.
pub struct Http {
    stream: BufReader<TcpStream>,
}

fn closed() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}

impl Http {
    pub fn connect(address: SocketAddr) -> std::io::Result<Http> {
        Http::over(TcpStream::connect(address)?)
    }

    /// As another peer, one of 127.0.0.0/8.
    pub fn connect_as(peer: &str, address: SocketAddr) -> std::io::Result<Http> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(peer.parse().unwrap(), 0).into())?;
        socket.connect(&address.into())?;
        Http::over(socket.into())
    }

    fn over(stream: TcpStream) -> std::io::Result<Http> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Http { stream: BufReader::new(stream) })
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    pub fn try_get(&mut self, path: &str) -> std::io::Result<Reply> {
        self.stream.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
        self.read()
    }

    pub fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
        self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        self.read().unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    pub fn export(&mut self, body: &[u8]) -> std::io::Result<Reply> {
        self.post("/v1/metrics", "application/x-protobuf", body)
    }

    pub fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> std::io::Result<Reply> {
        self.post_with(path, &[("content-type", content_type)], body)
    }

    pub fn post_with(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Reply> {
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = format!("{head}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)?;
        self.read()
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if !line.ends_with("\r\n") {
            return Err(closed());
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }

    fn read(&mut self) -> std::io::Result<Reply> {
        let status = self.line()?.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(closed)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((key, value)) = line.split_once(": ") else { break };
            headers.push((key.to_lowercase(), value.to_string()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| closed())?;
                let begun = reply.body.len();
                reply.body.resize(begun + size, 0);
                self.stream.read_exact(&mut reply.body[begun..])?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = reply.header("content-length").map_or(0, |value| value.parse().expect("a length"));
            reply.body.resize(length, 0);
            self.stream.read_exact(&mut reply.body)?;
        }
        Ok(reply)
    }
}

/// A gRPC answer.
#[derive(Debug)]
pub struct GrpcReply {
    pub status: i32,
    pub message: String,
    /// The one message, without its prefix.
    pub body: Vec<u8>,
}

/// A gRPC connection; its I/O goes on only while a call waits.
pub struct Grpc {
    runtime: tokio::runtime::Runtime,
    send: h2::client::SendRequest<Bytes>,
}

type GrpcResult<T> = Result<T, String>;

impl Grpc {
    pub fn connect(address: SocketAddr) -> GrpcResult<Grpc> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let send = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let (send, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            Ok::<_, String>(send)
        })?;
        Ok(Grpc { runtime, send })
    }

    pub fn export(&self, message: &[u8]) -> GrpcResult<GrpcReply> {
        self.export_with(&[], message)
    }

    /// A message that is compressed as `grpc-encoding`, one of the headers, says.
    pub fn export_with(&self, headers: &[(&str, &str)], message: &[u8]) -> GrpcResult<GrpcReply> {
        let mut body = vec![u8::from(headers.iter().any(|(name, _)| *name == "grpc-encoding"))];
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(message);
        let headers = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
        let call = exchange(self.send.clone(), EXPORT, &headers, body.into());
        let (head, trailers, body) = self.runtime.block_on(call).map_err(|error| error.to_string())?;
        Ok(grpc_reply(trailers.unwrap_or(head.headers), body))
    }

    /// A request that is no gRPC, over the same connection.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> GrpcResult<Reply> {
        let call = exchange(self.send.clone(), path, headers, body.to_vec().into());
        let (head, _, body) = self.runtime.block_on(call).map_err(|error| error.to_string())?;
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_string();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Reply { status: head.status.as_u16(), headers, body })
    }
}

async fn exchange(
    send: h2::client::SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<(http::response::Parts, Option<HeaderMap>, Vec<u8>), h2::Error> {
    let mut request = Request::post(format!("http://x{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut stream) = send.ready().await?.send_request(request.body(()).unwrap(), false)?;
    stream.send_data(body, true)?;
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        body.extend_from_slice(&chunk);
        stream.flow_control().release_capacity(chunk.len())?;
    }
    Ok((head, stream.trailers().await?, body))
}

fn grpc_reply(end: HeaderMap, mut body: Vec<u8>) -> GrpcReply {
    let get = |end: &HeaderMap, name: &str| end.get(name).map(|value| value.to_str().unwrap().to_string());
    let status = get(&end, "grpc-status").expect("a grpc-status").parse().unwrap();
    let message = get(&end, "grpc-message").unwrap_or_default();
    GrpcReply { status, message, body: body.split_off(body.len().min(5)) }
}

/// Samples of a page in Prometheus text format, in their order; asserts the form of every line.
pub fn samples(page: &str) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    let mut typed: Vec<&str> = Vec::new();
    assert!(page.is_empty() || page.ends_with('\n'), "the last line is whole");
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and type");
            assert!(["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind), "{line}");
            assert!(!typed.contains(&name), "one TYPE per family: {line}");
            typed.push(name);
            continue;
        }
        if line.starts_with('#') {
            assert!(line.starts_with("# HELP ") || line.starts_with("# EOF"), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("a sample: {line}"));
        let name = series.split('{').next().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'), "{line}");
        assert!(!series.contains('{') || series.ends_with('}'), "{line}");
        let family = typed.last().unwrap_or_else(|| panic!("a TYPE before {line}"));
        assert!(name.starts_with(family), "families are not interleaved: {line} in {family}");
        all.push((series.to_string(), value.parse().unwrap_or_else(|_| panic!("a number: {line}"))));
    }
    let mut names: Vec<&str> = all.iter().map(|(series, _)| series.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "series are unique");
    all
}

/// Sum of all samples of a name.
pub fn total(samples: &[(String, f64)], name: &str) -> f64 {
    samples.iter().filter(|(series, _)| series.split('{').next() == Some(name)).map(|(_, value)| value).sum()
}
