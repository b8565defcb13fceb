//! A log that nobody reads: standard error is full from the start, and nothing waits for it.

mod binary;
mod common;

use binary::process::{Folder, Http, PATIENCE, Ports, command, samples, signal, total, until};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;

/// A socket that takes nothing more, and its other end.
fn full_pipe() -> (OwnedFd, UnixStream) {
    let (mut write, read) = UnixStream::pair().unwrap();
    write.set_nonblocking(true).unwrap();
    let (mut size, mut full) = (1 << 16, 0);
    while size > 0 {
        match write.write(&vec![b'x'; size]) {
            Ok(n) => full += n,
            Err(_) => size /= 2,
        }
    }
    assert!(full > 0);
    write.set_nonblocking(false).unwrap();
    (write.into(), read)
}

/// The banner, a warning about a malformed request, cuts, pages, the end: all of them go on.
#[test]
fn a_log_that_nobody_reads_stops_neither_cuts_nor_pages_nor_the_end() {
    let (stderr, _unread) = full_pipe();
    let folder = Folder::new();
    let ports_file = folder.path("ports.json");
    let off = ["--otlp-grpc", "off", "--otlp-http", "127.0.0.1:0", "--prometheus", "127.0.0.1:0"];
    let mut command = command(&["run", "--admin", "127.0.0.1:0", "--interval", "100ms", "--log", "trace"]);
    let mut child = command.args(off).arg("--ports-file").arg(&ports_file).stderr(stderr).spawn().unwrap();
    let id = child.id();
    let ports = until("a ports file", || ports_file.exists().then(|| Ports::read(&ports_file)));
    let mut http = Http::connect(ports.otlp_http.unwrap()).unwrap();
    assert_eq!(http.export(&[0xff]).unwrap().status, 400);
    let mut admin = Http::connect(ports.admin.unwrap()).unwrap();
    until("readiness", || (admin.get("/readyz").status == 200).then_some(()));
    let mut cuts = || {
        let page = samples(admin.get("/metrics").text());
        assert!(page.iter().any(|(name, _)| name == "catchment_log_lines_dropped_total"));
        total(&page, "catchment_cuts_total")
    };
    let before = cuts();
    until("cuts", || (cuts() >= before + 3.0).then_some(()));
    assert_eq!(Http::connect(ports.prometheus.unwrap()).unwrap().get("/metrics").status, 200);
    signal(id, "TERM");
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(child.wait().unwrap()));
    let Ok(status) = end.recv_timeout(PATIENCE / 4) else {
        signal(id, "KILL");
        panic!("it does not end");
    };
    assert_eq!(status.code(), Some(0));
}
