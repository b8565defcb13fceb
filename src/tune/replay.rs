//! The replayer: recorded requests over HTTP/1.1, whatever door they came by, one request in flight on each connection.
//!
//! One thread for each core it has: it writes a request to every connection of its own, then reads every answer.

use super::seen::ClientsSeen;
use super::stop::Stop;
use super::{machine, times};
use crate::capture;
use crate::load::Latencies;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines of an answer's head.
const HEAD_LINES_MAX: usize = 100;
/// Bytes of an answer's body that are read.
const BODY_BYTES_MAX: u64 = crate::limits::RESPONSE_BYTES_MAX as u64;
/// Share of the time in which a client that never waits long for an answer is the limit.
const BUSY: f64 = 0.95;
const PASS_NS: u64 = 1_000_000;

/// The clients of a round.
pub(super) struct Clients {
    requests: Vec<(Vec<u8>, Vec<u32>, u64)>,
    cores: Vec<usize>,
    connections: usize,
}

impl Clients {
    /// `connections` over all cores.
    pub(super) fn new(path: &Path, cores: &[usize], connections: usize) -> Result<Clients, String> {
        let requests: Vec<_> = capture::read(path)?
            .requests
            .into_iter()
            .map(|recorded| {
                let (times, points) = times::offsets(&recorded.body);
                (recorded.body, times, points)
            })
            .collect();
        if requests.is_empty() {
            return Err(format!("capture {}: there is no request in it", path.display()));
        }
        Ok(Clients { requests, cores: cores.to_vec(), connections })
    }

    /// Sends everything over and over for `duration`, and once at least.
    pub(super) fn run(&self, address: &str, duration: Duration, stop: &Stop) -> Result<ClientsSeen, String> {
        let threads = self.cores.len();
        let each = self.connections.div_ceil(threads);
        let results: Vec<_> = std::thread::scope(|scope| {
            let start = |(number, core): (usize, &usize)| {
                let mine = self.requests.iter().skip(number).step_by(threads).cloned().collect();
                let core = *core;
                scope.spawn(move || client(mine, core, each, address, duration, stop))
            };
            let running: Vec<_> = self.cores.iter().enumerate().map(start).collect();
            running.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let mut seen = ClientsSeen { acknowledged: 0, points_per_s: 0.0, p99_us: 0.0, generator_limited: true };
        for result in results {
            let one = result.map_err(|_| "a client panicked".to_owned())??;
            seen.acknowledged += one.acknowledged;
            seen.points_per_s += one.points_per_s;
            seen.p99_us = seen.p99_us.max(one.p99_us);
            seen.generator_limited &= one.generator_limited;
        }
        Ok(seen)
    }
}

fn client(
    mut requests: Vec<(Vec<u8>, Vec<u32>, u64)>,
    core: usize,
    connections: usize,
    address: &str,
    duration: Duration,
    stop: &Stop,
) -> Result<ClientsSeen, String> {
    machine::confine(&[core])?;
    let failed = |error: std::io::Error| format!("replay to {address}: {error}");
    let open = || -> std::io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(BufReader::new(stream))
    };
    let mut streams = (0..connections).map(|_| open()).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let (begun, cpu) = (Instant::now(), machine::thread_cpu_ns());
    let mut latencies = Latencies::default();
    let (mut acknowledged, mut next, mut sent) = (0, 0, 0);
    let count = requests.len();
    while count > 0 && (begun.elapsed() < duration || sent < count) {
        stop.check()?;
        let mut waiting = Vec::with_capacity(connections);
        for (number, stream) in streams.iter_mut().enumerate().take(count) {
            let (body, times, points) = &mut requests[next];
            next = (next + 1) % count;
            times::advance(body, times, PASS_NS);
            let head = format!(
                "POST /v1/metrics HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let at = Instant::now();
            stream
                .get_mut()
                .write_all(head.as_bytes())
                .and_then(|()| stream.get_mut().write_all(body))
                .map_err(failed)?;
            waiting.push((number, at, *points));
        }
        sent += waiting.len();
        for (number, at, points) in waiting {
            acknowledged += if answer(&mut streams[number]).map_err(failed)? { points } else { 0 };
            latencies.record(at.elapsed().as_nanos() as u64);
        }
    }
    let wall = begun.elapsed().as_secs_f64().max(1e-9);
    let busy = (machine::thread_cpu_ns() - cpu) as f64 / 1e9 / wall;
    Ok(ClientsSeen {
        acknowledged,
        points_per_s: acknowledged as f64 / wall,
        p99_us: latencies.quantile_ns(0.99) as f64 / 1e3,
        generator_limited: busy > BUSY,
    })
}

/// Reads one answer; whether it is a success.
fn answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let (mut success, mut length) = (None, 0_u64);
    for _ in 0..HEAD_LINES_MAX {
        let mut line = String::new();
        if (&mut *stream).take(BODY_BYTES_MAX).read_line(&mut line)? == 0 {
            return Err(wrong("the server closed the connection"));
        }
        let line = line.trim_end();
        let Some(success) = success else {
            success = Some(line.split(' ').nth(1) == Some("200"));
            continue;
        };
        if line.is_empty() {
            std::io::copy(&mut (&mut *stream).take(length), &mut std::io::sink())?;
            return Ok(success);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let value = value.trim().parse().ok().filter(|length| *length <= BODY_BYTES_MAX);
            length = value.ok_or_else(|| wrong("a content-length that cannot be"))?;
        }
    }
    Err(wrong("a head without an end"))
}
