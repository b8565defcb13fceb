"""Attacks on memory for tools/attack, at any `--memory-limit`: resident memory stays within 1.05 times the limit.

A row gets a server whose series never expire while it lasts, and does its worst; the peak is what the kernel saw from
the start on. What is sent scales with the limit: several times as much as may be kept.
"""
import gzip
import http.client
import re
import socket
import struct
import threading
import time

MIB = 1 << 20
# what may stay of what died, above the start
KEPT = 32 * MIB
ROWS = []


def row(*, quick=False, more=(), end=0):
    """`quick`: part of the short run; `more`: further options of the server; `end`: its exit code."""
    def add(make):
        ROWS.append((make, quick, more, end))
        return make
    return add


def settings(log):
    """What the banner says that the limit made of the defaults: bytes of a request, connections, bytes of all bodies."""
    with open(log, encoding="utf-8") as file:
        text = file.read()
    size = lambda number, unit: int(float(number) * {"KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30}[unit])
    body = size(*re.search(r"([\d.]+) (\wiB) a request", text).groups())
    bodies = size(*re.search(r"([\d.]+) (\wiB) for request bodies", text).groups())
    return body, int(re.search(r"(\d+) connections", text).group(1)), bodies


def run(kit, limits, quick):
    for limit in limits:
        for make, is_quick, more, end in ROWS:
            name = make.__name__.replace("_", " ")
            if kit.OPTIONS.only and not any(word in "memory " + make.__name__ for word in kit.OPTIONS.only.split(",")):
                continue
            if is_quick or not quick:
                one(kit, f"{limit} MiB: {name}", limit, make, more, end)


def one(kit, name, limit, make, more, end):
    # the least that a destination needs beside the rest
    limit = max(limit, 56) if "--out" in more else limit
    with kit.Server(kit.OPTIONS.catchment, *more, limit=limit, is_logged=True) as server:
        server.max_body, server.connections, server.bodies = settings(server.log)
        server.good()
        begun, held = time.monotonic(), True
        try:
            with kit.GoodClient(server) as client:
                said = make(kit, server) or ""
        except OSError as problem:
            said = f"{type(problem).__name__}: {problem}"
        except AssertionError as problem:
            said, held = str(problem), False
        took = time.monotonic() - begun
        peak, now = 0, 0
        if server.process.poll() is None:
            time.sleep(1.2)
            peak, now = server.memory("VmHWM"), server.memory()
        code = server.stop()
        most = limit * MIB * 1.05
        refused = [x for x in client.failed if x not in (503, 429)]
        kit.verdict(name, f"{most / MIB:.0f} MiB",
                    f"{peak / MIB:.1f} MiB, then {now / MIB:.1f}; good {client.sent}, failed {client.failed[:2]} "
                    f"({len(client.failed)}), longest {client.longest * 1000:.0f} ms; balanced {server.balanced}, exit {code}; "
                    f"{took:.1f} s {said}",
                    held and 0 < peak <= most and code == end and server.balanced and not refused)


# ---- what is sent ----------------------------------------------------------------------------------------------------

class Flood:
    """Several connections that send and never mind the answer, in one thread."""

    def __init__(self, server, door="otlp_http"):
        self.address, self.open = ("127.0.0.1", server.ports[door]), []

    def connect(self):
        one = socket.create_connection(self.address, timeout=10)
        one.setblocking(False)
        self.open.append(one)
        return one

    def send(self, data, seconds=20, at_once=None):
        """Sends the bytes on each connection, as far as they are taken."""
        left = {one: memoryview(data(i) if callable(data) else data) for i, one in enumerate(self.open)}
        end, quiet = time.monotonic() + seconds, 0
        while left and time.monotonic() < end and quiet < 20:
            moved = False
            for one, bytes_ in list(left.items()):
                try:
                    sent = one.send(bytes_[:at_once or len(bytes_)])
                    moved |= sent > 0
                    left[one] = bytes_[sent:]
                    if not left[one]:
                        del left[one]
                except BlockingIOError:
                    pass
                except OSError:
                    del left[one]
            quiet = 0 if moved else quiet + 1
            if not moved:
                time.sleep(0.05)

    def close(self):
        for one in self.open:
            one.close()
        self.open = []


def head(length, coding="", kind="application/x-protobuf"):
    coding = f"content-encoding: {coding}\r\n" if coding else ""
    return f"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n{coding}content-length: {length}\r\n\r\n".encode()


def statuses(seen):
    return "answers " + " ".join(f"{status}x{seen.count(status)}" for status in sorted(set(seen)))


def fill(kit, server, make, factor=3, each=0.4, most=400):
    """Sends requests of about `each` of the largest size, `make(start, bytes)` gives metrics or a whole body and where the
    next one begins, until `factor` times the limit was sent or nothing more is taken."""
    seen, sent, start, refused, patience = [], 0, 0, 0, getattr(server, "patience", 6)
    connection = server.connection(timeout=30)
    while sent < factor * server.limit and len(seen) < most and refused < patience:
        body, start = make(start, int(server.max_body * each))
        status, answer = server.post(gzip.compress(body, 1), {"Content-Encoding": "gzip"}, connection)
        seen.append(status)
        sent += len(body)
        refused = refused + 1 if status != 200 or b"limit" in answer else 0
        if status == 503 and patience > 6:
            time.sleep(0.05)
    return statuses(seen)


def many(kit, size, one, start, bytes_):
    count = max(1, bytes_ // size)
    return [one(start + i) for i in range(count)], start + count


@row(quick=True)
def births_with_short_attributes(kit, server):
    def make(start, bytes_):
        points, end = many(kit, 55, lambda i: kit.point(kit.field(7, kit.attribute(b"k", b"%d" % i))), start, min(bytes_, 4 * MIB))
        return kit.request([kit.metric(b"m", points)]), end
    return fill(kit, server, make, factor=0.2)


@row()
def births_with_long_attributes(kit, server):
    def make(start, bytes_):
        points, end = many(kit, 10 * 4_000, lambda i: kit.point(b"".join(
            kit.field(7, kit.attribute(b"%d" % k, b"%d" % i + b"v" * 3_900)) for k in range(10))), start, bytes_)
        return kit.request([kit.metric(b"m", points)]), end
    return fill(kit, server, make)


@row(quick=True)
def births_of_histograms(kit, server):
    bounds, counts = [float(i) for i in range(1_024)], [1] * 1_025
    base = kit.histogram(bounds, counts)
    def make(start, bytes_):
        points, end = many(kit, len(base), lambda i: base + kit.field(9, kit.attribute(b"k", b"%d" % i)), start, bytes_)
        return kit.request([kit.metric(b"h", points, 9, b"\x10\x01")]), end
    return fill(kit, server, make, factor=2)


@row()
def births_of_histograms_that_come_again(kit, server):
    bounds, counts = [float(i) for i in range(1_024)], [1] * 1_025
    base = kit.histogram(bounds, counts)
    bodies = []
    def make(start, bytes_):
        points, end = many(kit, len(base), lambda i: base + kit.field(9, kit.attribute(b"k", b"%d" % i)), start, bytes_)
        bodies.append(kit.request([kit.metric(b"h", points, 9, b"\x10\x01")]))
        return bodies[-1], end
    said = fill(kit, server, make, factor=1)
    for _ in range(3):
        for body in bodies:
            server.post(gzip.compress(body, 1), {"Content-Encoding": "gzip"})
        time.sleep(1)
    return said


@row()
def births_of_exponential_histograms(kit, server):
    side = kit.field(2, b"\x01" * 160)
    base = kit.fixed(2, kit.NOW - 10**9) + kit.fixed(3, kit.NOW) + kit.fixed(4, 320) + kit.field(8, side) + kit.field(9, side)
    def make(start, bytes_):
        points, end = many(kit, len(base), lambda i: base + kit.field(1, kit.attribute(b"k", b"%d" % i)), start, min(bytes_, 8 * MIB))
        return kit.request([kit.metric(b"e", points, 10, b"\x10\x01")]), end
    return fill(kit, server, make, factor=2)


@row(quick=True)
def groups_with_large_resources(kit, server):
    def make(start, bytes_):
        all_, end = many(kit, 3_950, lambda i: kit.request([kit.metric(b"m", [kit.point()])], kit.field(
            1, kit.attribute(b"service.name", b"%d" % i + b"y" * 3_800))), start, bytes_)
        return b"".join(all_), end
    return fill(kit, server, make)


@row()
def groups_with_many_resource_attributes(kit, server):
    def make(start, bytes_):
        all_, end = many(kit, 40_000, lambda i: kit.request([kit.metric(b"m", [kit.point()])], b"".join(
            kit.field(1, kit.attribute(b"%d" % k, b"%d" % i + b"y" * 3_900)) for k in range(10))), start, bytes_)
        return b"".join(all_), end
    return fill(kit, server, make)


@row()
def groups_with_short_names(kit, server):
    def make(start, bytes_):
        all_, end = many(kit, 50, lambda i: kit.metric(b"n%d" % i, [kit.point()]), start, min(bytes_, 2 * MIB))
        return kit.request(all_), end
    return fill(kit, server, make, factor=1, most=12)


@row()
def groups_with_long_names_and_descriptions(kit, server):
    def make(start, bytes_):
        all_, end = many(kit, 4_400, lambda i: kit.metric(b"n%d" % i + b"x" * 240, [kit.point()], description=b"d" * 4_000), start, bytes_)
        return kit.request(all_), end
    return fill(kit, server, make)


@row(quick=True)
def encodings_of_few_series(kit, server):
    def make(start, bytes_):
        odd = lambda i: kit.point(kit.field(7, kit.attribute(b"k", b"%d" % (i % 100)) + kit.field(15, b"%d" % i + b"x" * 4_000)))
        points, end = many(kit, 4_100, odd, start, bytes_)
        return kit.request([kit.metric(b"m", points)]), end
    return fill(kit, server, make)


@row()
def encodings_of_many_series(kit, server):
    def make(start, bytes_):
        odd = lambda i: kit.point(kit.field(7, kit.attribute(b"k", b"%d" % (i // 8)) + kit.field(15, b"%d" % i + b"x" * 400)))
        points, end = many(kit, 500, odd, start, bytes_)
        return kit.request([kit.metric(b"m", points)]), end
    return fill(kit, server, make, factor=1)


@row(quick=True)
def a_body_full_of_short_points(kit, server):
    short = kit.fixed(3, kit.NOW) + kit.fixed(6, 1)
    body = kit.request([kit.metric(b"m", [short] * min(990_000, server.max_body // 21))])
    seen = [server.post(gzip.compress(body, 1), {"Content-Encoding": "gzip"})[0] for _ in range(4)]
    return statuses(seen)


@row(quick=True)
def a_body_full_of_short_histograms(kit, server):
    tiny = kit.fixed(3, kit.NOW)
    body = kit.request([kit.metric(b"h", [tiny] * min(990_000, server.max_body // 12), 9, b"\x10\x01")])
    return statuses([server.post(gzip.compress(body, 1), {"Content-Encoding": "gzip"})[0] for _ in range(4)])


@row()
def bodies_of_many_kinds_of_short_points(kit, server):
    tiny = kit.fixed(3, kit.NOW)
    kinds = ((9, b"\x10\x01"), (10, b"\x10\x01"), (11, b""), (5, b""), (7, b"\x10\x01"))
    seen = []
    for kind, rest in kinds:
        for fraction in (0.02, 0.05, 0.1, 0.2, 0.4):
            body = kit.request([kit.metric(b"h", [tiny] * int(min(990_000, server.max_body * fraction // 12)), kind, rest)])
            seen.append(server.post(gzip.compress(body, 1), {"Content-Encoding": "gzip"})[0])
    return statuses(seen)


@row()
def a_body_of_births_that_have_no_room(kit, server):
    def make(start, bytes_):
        points, end = many(kit, 45, lambda i: kit.field(7, kit.attribute(b"k", b"%d" % i)) + kit.fixed(3, kit.NOW) + kit.fixed(6, 1), start, bytes_)
        return kit.request([kit.metric(b"m", points[:990_000])]), end
    return fill(kit, server, make, factor=1, each=0.98, most=3)


@row()
def a_body_of_metrics_that_have_no_room(kit, server):
    def make(start, bytes_):
        all_, end = many(kit, 40, lambda i: kit.metric(b"n%d" % i, [kit.fixed(3, kit.NOW) + kit.fixed(6, 1)]), start, bytes_)
        return kit.request(all_[:490_000]), end
    return fill(kit, server, make, factor=1, each=0.98, most=3)


@row(quick=True)
def bodies_that_take_their_time(kit, server):
    flood = Flood(server)
    for _ in range(min(100, server.connections - 8)):
        flood.connect()
    flood.send(head(server.max_body) + b"\0" * (server.max_body - 1_000), seconds=8, at_once=64 << 10)
    time.sleep(1)
    flood.close()


def packed_everywhere(server, body, coding):
    """One compressed body on many connections at once."""
    flood = Flood(server)
    for _ in range(min(64, server.connections - 8)):
        flood.connect()
    flood.send(head(len(body), coding) + body, seconds=10)
    time.sleep(2)
    flood.close()


@row(quick=True)
def bombs_of_gzip(kit, server):
    bomb = gzip.compress(b"\0" * (server.max_body - 1_000), 9)
    packed_everywhere(server, bomb, "gzip")


@row(quick=True)
def heads_that_are_cut(kit, server):
    # what is kept of each while its points are read
    attributes = lambda number: b"".join(
        kit.field(number, kit.attribute(b"%03d" % i, b"v" * 4_000)) for i in range(130, 0, -1))
    points = kit.metric(b"m", [kit.fixed(3, kit.NOW) + kit.fixed(6, 1)] * 100_000)
    body = kit.field(1, kit.field(1, attributes(1)) + kit.field(2, kit.field(1, attributes(3)) + points))
    packed_everywhere(server, gzip.compress(body, 1), "gzip")


@row()
def bodies_of_zstd_with_large_windows(kit, server):
    # a frame with a window of 8 MiB: raw blocks of 128 KiB, and one of RLE that makes the rest
    size = server.max_body - 1_000
    blocks, left = b"", size
    while left > 0:
        n = min(left, 128 << 10)
        left -= n
        blocks += struct.pack("<I", n << 3 | 1 << 1 | (left == 0))[:3] + b"\0"
    body = struct.pack("<I", 0xFD2FB528) + b"\x00" + bytes([13 << 3]) + blocks
    packed_everywhere(server, body, "zstd")


@row()
def bodies_of_json(kit, server):
    one = b'{"name":"m","sum":{"dataPoints":[{"asInt":"1","timeUnixNano":"%d"}],"aggregationTemporality":1}}' % kit.NOW
    count = (server.max_body - 1_000) // (len(one) + 1)
    body = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[' + b",".join([one] * count) + b"]}]}]}"
    flood = Flood(server)
    for _ in range(32):
        flood.connect()
    flood.send(head(len(body), "", "application/json") + body, seconds=10, at_once=64 << 10)
    time.sleep(2)
    flood.close()


@row()
def heads_that_do_not_end(kit, server):
    flood = Flood(server)
    for _ in range(server.connections - 8):
        flood.connect()
    flood.send(b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 15_000)
    time.sleep(1)
    flood.close()


@row()
def idle_connections_that_have_sent_much(kit, server):
    flood = Flood(server)
    body = kit.GOOD
    big = kit.field(1, kit.field(15, b"x" * 250_000))
    for _ in range(server.connections - 8):
        flood.connect()
    flood.send(head(len(big)) + big)
    time.sleep(2)
    flood.close()


# ---- HTTP/2 ----------------------------------------------------------------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


def literal(name, value, start=b"\x00"):
    """A header field; a start of 0x40 puts it into the table."""
    def text(bytes_):
        assert len(bytes_) < 127 + 128
        return (bytes([len(bytes_)]) if len(bytes_) < 127 else bytes([127, len(bytes_) - 127])) + bytes_
    return start + text(name) + text(value)


def request_head(*more, start=b"\x00"):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/v1/metrics"),
              (b"content-type", b"application/x-protobuf"), *more]
    return b"".join(literal(name, value, start) for name, value in fields)


@row(quick=True)
def calls_that_wait_for_their_bodies(kit, server):
    # 95 fields of the dynamic table each: one byte a field
    table = b"".join(b"\x40" + bytes([4]) + b"k%03d" % i + bytes([30]) + b"v" * 30 for i in range(40))
    flood = Flood(server)
    for _ in range(min(200, server.connections - 8)):
        flood.connect()
    first = frame(1, 4, 1, request_head() + table)
    # the newest field of the table is 62
    rest = b"".join(frame(1, 4, 3 + 2 * i, request_head() + bytes([62 + k % 40 | 0x80 for k in range(90)])) for i in range(255))
    flood.send(PREFACE + first + rest, seconds=10)
    time.sleep(2)
    flood.close()


@row(quick=True)
def frames_that_do_not_end(kit, server):
    flood = Flood(server)
    for _ in range(server.connections - 8):
        flood.connect()
    data = frame(0, 0, 1, b"\0" * 256 * 1024)[:250_000]
    flood.send(PREFACE + frame(1, 4, 1, request_head()) + data, seconds=15)
    time.sleep(2)
    flood.close()


@row()
def header_lists_that_do_not_end(kit, server):
    flood = Flood(server)
    for _ in range(server.connections - 8):
        flood.connect()
    flood.send(PREFACE + frame(1, 0, 1, request_head() + b"".join(literal(b"k%d" % i, b"v" * 240) for i in range(50))), seconds=15)
    time.sleep(1)
    flood.close()


@row()
def answers_that_nobody_reads(kit, server):
    flood = Flood(server)
    for _ in range(min(300, server.connections - 8)):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(flood.address)
        one.setblocking(False)
        flood.open.append(one)
    bad = kit.request([kit.metric(b"x" * 300, [kit.point()])])
    call = lambda i: frame(1, 4, 1 + 2 * i, request_head()) + frame(0, 1, 1 + 2 * i, bad)
    flood.send(PREFACE + b"".join(map(call, range(5_000))), seconds=10)
    time.sleep(1)
    flood.close()


# ---- what goes out ---------------------------------------------------------------------------------------------------

def rich(kit, server, metrics=1, count=40_000):
    for r in range(count // 4_000):
        points = [kit.point(kit.field(7, kit.attribute(b"k", b"%d" % (r * 4_000 + i))) + kit.field(7, kit.attribute(b"v", b"w" * 100)))
                  for i in range(4_000)]
        server.post(kit.request([kit.metric(b"m", points)]))
    time.sleep(2.2)


@row(quick=True)
def pages_that_nobody_reads(kit, server):
    rich(kit, server, count=int(server.limit / MIB * 200) // 4_000 * 4_000 or 4_000)
    flood = Flood(server, "prometheus")
    for i in range(40):
        try:
            flood.connect()
        except OSError:
            break
    flood.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n")
    time.sleep(3)
    flood.close()


@row()
def pages_with_colliding_rows(kit, server):
    # the same series of other resources: one identity on the page
    count = int(server.limit / MIB * 60)
    for r in range(8):
        points = [kit.point(kit.field(7, kit.attribute(b"k", b"%d" % i)) + kit.field(7, kit.attribute(b"v", b"w" * 100)))
                  for i in range(count)]
        server.post(gzip.compress(kit.request([kit.metric(b"m", points)], kit.field(1, kit.attribute(b"host", b"%d" % r))), 1),
                    {"Content-Encoding": "gzip"})
    time.sleep(2.2)
    flood = Flood(server, "prometheus")
    for i in range(20):
        flood.connect()
    flood.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
    time.sleep(4)
    flood.close()


@row(more=("--out", "otlp-http://127.0.0.1:1", "--interval", "200ms"), end=3)
def a_destination_that_is_gone(kit, server):
    long = lambda i: kit.point(b"".join(kit.field(7, kit.attribute(b"%d" % k, b"%d" % i + b"v" * 1_000)) for k in range(4)))
    body = gzip.compress(kit.request([kit.metric(b"m", [long(i) for i in range(server.max_body // 16_000)])]), 1)
    end, seen = time.monotonic() + 12, []
    while time.monotonic() < end:
        seen.append(server.post(body, {"Content-Encoding": "gzip"})[0])
        time.sleep(0.02)
    return statuses(seen)


@row(quick=True, more=("--expire", "1s"))
def series_that_come_and_go(kit, server):
    seen = []
    for wave in range(4):
        def make(start, bytes_):
            points, end = many(kit, 55, lambda i: kit.point(kit.field(7, kit.attribute(b"k", b"%d-%d" % (wave, i)))), start, min(bytes_, 4 * MIB))
            return kit.request([kit.metric(b"m%d" % wave, points)]), end
        seen.append(fill(kit, server, make, factor=0.1))
        time.sleep(3.5)
    return f"{seen[-1]}; afterwards {server.memory() / MIB:.0f} MiB"


@row(more=("--expire", "1s"))
def groups_that_come_and_go(kit, server):
    seen = []
    for wave in range(4):
        def make(start, bytes_):
            all_, end = many(kit, 3_950, lambda i: kit.request([kit.metric(b"m", [kit.point()])], kit.field(
                1, kit.attribute(b"service.name", b"%d-%d" % (wave, i) + b"y" * 3_800))), start, bytes_)
            return b"".join(all_), end
        seen.append(fill(kit, server, make, factor=1))
        time.sleep(3.5)
    return f"{seen[-1]}; afterwards {server.memory() / MIB:.0f} MiB"


# ---- what died -------------------------------------------------------------------------------------------------------

def die(server, kit, what, bodies):
    """Sends all, then nothing, until what they made has died and its memory went back: `KEPT` above the start is allowed."""
    time.sleep(1)
    before, connection, seen = server.memory(), server.connection(), []
    for body in bodies:
        seen.append(server.post(gzip.compress(body, 1), {"Content-Encoding": "gzip"}, connection)[0])
    top, end = server.memory(), time.monotonic() + 60
    while server.memory() - before > KEPT and time.monotonic() < end:
        time.sleep(0.25)
    kept = server.memory() - before
    assert kept <= KEPT, f"{what}: {kept / MIB:.1f} MiB of {top / MIB:.1f} are kept"
    return f"{statuses(seen)}; of {top / MIB:.0f} MiB {kept / MIB:.1f} above the start are kept"


def pieces(count, each):
    return [range(start, min(count, start + each)) for start in range(0, count, each)]


@row(more=("--expire", "20s", "--series-limit", "2000000"))
def a_million_series_that_die(kit, server):
    make = lambda some: kit.request([kit.metric(b"m", [kit.point(kit.field(7, kit.attribute(b"k", b"%d" % i))) for i in some])])
    return die(server, kit, "series", map(make, pieces(server.limit // MIB * 1_000, 10_000)))


@row(more=("--expire", "2s"))
def groups_that_die(kit, server):
    make = lambda some: kit.request([kit.metric(b"n%d" % i, [kit.point()]) for i in some])
    return die(server, kit, "groups", map(make, pieces(min(80_000, server.limit // MIB * 300), 4_000)))


@row(more=("--expire", "20s"))
def routes_that_die(kit, server):
    odd = lambda i: kit.point(kit.field(7, kit.attribute(b"k", b"%d" % (i // 8)) + kit.field(15, b"%d" % i)))
    make = lambda some: kit.request([kit.metric(b"m", [odd(i) for i in some])])
    return die(server, kit, "routes", map(make, pieces(server.limit // MIB * 1_500, 10_000)))


@row(quick=True, more=("--expire", "2s"))
def histograms_that_die(kit, server):
    base = kit.histogram([float(i) for i in range(100)], [1] * 101)
    make = lambda some: kit.request([kit.metric(b"h", [base + kit.field(9, kit.attribute(b"k", b"%d" % i)) for i in some], 9, b"\x10\x01")])
    return die(server, kit, "histograms", map(make, pieces(server.limit // MIB * 80, 1_000)))


# ---- several at once -------------------------------------------------------------------------------------------------

class Part:
    """The server as one of several attacks sees it: connections are shared out."""

    def __init__(self, server, parts):
        # who is refused beside the others tries longer
        self.server, self.connections, self.patience = server, server.connections // parts, 60

    def __getattr__(self, name):
        return getattr(self.server, name)


def together(kit, server, *makes):
    """All of them at the same time, each in a thread; what they said."""
    said = [""] * len(makes)

    def go(i):
        try:
            said[i] = makes[i](kit, Part(server, len(makes))) or "sent"
        except (OSError, http.client.HTTPException) as problem:
            # a connection that gave way to others is no fault; a server that is gone shows in the row
            said[i] = type(problem).__name__

    threads = [threading.Thread(target=go, args=(i,), daemon=True) for i in range(len(makes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads), "an attack does not end"
    return "; ".join(said)


@row(quick=True)
def several_at_once_histograms_slow_bodies_calls_and_pages(kit, server):
    rich(kit, server, count=4_000)
    return together(kit, server, births_of_histograms, bodies_that_take_their_time, calls_that_wait_for_their_bodies,
                    pages_that_nobody_reads)


@row()
def several_at_once_groups_bombs_json_and_heads(kit, server):
    return together(kit, server, groups_with_large_resources, bombs_of_gzip, bodies_of_json, heads_that_do_not_end)


@row()
def several_at_once_encodings_short_points_idle_connections_and_answers(kit, server):
    return together(kit, server, encodings_of_many_series, a_body_full_of_short_points, idle_connections_that_have_sent_much,
                    answers_that_nobody_reads)


@row()
def several_at_once_all_kinds_of_connections(kit, server):
    return together(kit, server, bodies_that_take_their_time, frames_that_do_not_end, calls_that_wait_for_their_bodies,
                    header_lists_that_do_not_end, heads_that_do_not_end, answers_that_nobody_reads)


@row()
def several_at_once_slow_bodies_bombs_windows_and_json(kit, server):
    return together(kit, server, births_with_long_attributes, bodies_that_take_their_time, bombs_of_gzip,
                    bodies_of_zstd_with_large_windows, bodies_of_json)


@row(more=("--out", "otlp-http://127.0.0.1:1", "--interval", "200ms"), end=3)
def several_at_once_and_the_destination_is_gone(kit, server):
    return together(kit, server, a_destination_that_is_gone, bodies_that_take_their_time, births_of_exponential_histograms)
