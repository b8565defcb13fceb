"""Attacks on the doors for tools/attack: what no client would say over HTTP/2 and HTTP/1.1, in which numbers, and how slowly;
and what a destination answers. Names begin with the row of THREATS or FAULTS that they are; the table is in tools/attack.

Slow clients have a server of their own, from before the first row of all on, because their times are what they are.
"""
import ctypes
import gzip
import http.client
import http.server
import json
import os
import resource
import signal
import socket
import struct
import tempfile
import threading
import time
import zlib

from attack_memory import MIB, PREFACE, Flood, frame, head, literal, request_head

ROWS = []
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1
CALM = 11


def row(make):
    ROWS.append(make)
    return make


def begin(kit):
    """Slow clients, if they are wanted; for `run`."""
    return SlowClients(kit) if kit.is_wanted("doors slow_clients") else None


def run(kit, slow):
    for make in ROWS:
        if kit.is_wanted("doors " + make.__name__):
            kit.guarded(make, kit)
    if slow:
        kit.guarded(slow.judge)


# ---- one connection --------------------------------------------------------------------------------------------------

def closed_after(server, pieces, seconds=5.0, pause=0):
    """Sends PREFACE and then the pieces until the server closes: whether it did, seconds, bytes, and the code of GOAWAY."""
    one = socket.create_connection(("127.0.0.1", server.ports["otlp_grpc"]), timeout=10)
    one.setblocking(False)
    begun, sent, seen, is_closed = time.monotonic(), 0, b"", False
    pieces, left = iter(pieces), memoryview(PREFACE)
    while not is_closed and time.monotonic() - begun < seconds:
        try:
            n = one.send(left) if left else 0
            sent, left = sent + n, left[n:]
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            is_closed = True
        if not left:
            time.sleep(pause)
            left = memoryview(next(pieces, b""))
            if not left:
                time.sleep(0.001)
        try:
            got = one.recv(1 << 16)
            seen += got[:1 << 20]
            is_closed |= not got
        except BlockingIOError:
            pass
        except OSError:
            is_closed = True
    took = time.monotonic() - begun
    one.close()
    at, code = 0, None
    while at + 9 <= len(seen):
        if seen[at + 3] == GOAWAY and at + 17 <= len(seen):
            code = struct.unpack(">I", seen[at + 13:at + 17])[0]
        at += 9 + int.from_bytes(seen[at:at + 3], "big")
    return is_closed, took, sent, code


def many(piece, count, at_once=16 << 10):
    """A frame again and again, or frames by number, in pieces of some KiB."""
    if callable(piece):
        step = max(1, at_once // len(piece(0)))
        return (b"".join(piece(i) for i in range(n, min(count, n + step))) for n in range(0, count, step))
    step = max(1, at_once // len(piece))
    return (piece * min(step, count - n) for n in range(0, count, step))


def chain(*parts):
    for part in parts:
        yield from [part] if isinstance(part, bytes) else part


def raw(server, data, door="otlp_http", timeout=5):
    """What comes back to these bytes until the server closes or is silent for so long; and whether it closed."""
    one = socket.create_connection(("127.0.0.1", server.ports[door]), timeout=timeout)
    seen = b""
    try:
        one.sendall(data)
    except OSError:
        pass
    try:
        while len(seen) < 1 << 20:
            got = one.recv(1 << 16)
            if not got:
                return seen, True
            seen += got
    except TimeoutError:
        return seen, False
    except OSError:
        return seen, True
    finally:
        one.close()
    return seen, False


def settle(kit, name, server, client):
    code = server.stop()
    kit.verdict(name, "answered, balanced, 0", f"{client.sent} sent, {client.failed[:2]}, longest {client.longest * 1000:.0f} ms; "
                f"balanced {server.balanced}; exit {code}", code == 0 and server.balanced and not client.failed and client.sent > 0)


# ---- T1 to T4, W5: HTTP/2 that no client says ------------------------------------------------------------------------

SHORT = b"\x83\x86\x84"
STREAM = lambda i: 1 + 2 * i


def floods():
    call = lambda i: frame(HEADERS, END_HEADERS, STREAM(i), SHORT)
    opened = frame(HEADERS, END_HEADERS, 1, request_head())
    million = 1_000_000
    return {
        "T1 HEADERS and RST_STREAM": many(lambda i: call(i) + frame(RESET, 0, STREAM(i), b"\0\0\0\x08"), million),
        "T1 RST_STREAM on one stream": chain(opened, many(frame(RESET, 0, 1, b"\0\0\0\x08"), million)),
        "T2 CONTINUATION without end": chain(frame(HEADERS, 0, 1, SHORT), many(frame(CONTINUATION, 0, 1, literal(b"k", b"v" * 100)), million)),
        "T2 empty CONTINUATION": chain(frame(HEADERS, 0, 1, SHORT), many(frame(CONTINUATION, 0, 1), million)),
        "T3 streams that the server has to reset": many(lambda i: call(i) + frame(WINDOW, 0, STREAM(i), b"\0\0\0\0"), million),
        "T3 windows that overflow": many(lambda i: call(i) + frame(WINDOW, 0, STREAM(i), b"\x7f\xff\xff\xff"), million),
        "T3 DATA behind the end of a stream": many(lambda i: call(i) + frame(DATA, END_STREAM, STREAM(i)) + frame(DATA, 0, STREAM(i), b"x"), million),
        "T3 more DATA than Content-Length says": many(lambda i: frame(HEADERS, END_HEADERS, STREAM(i), SHORT + literal(b"content-length", b"1"))
                                                      + frame(DATA, 0, STREAM(i), b"xx"), million),
        "T3 PING": many(frame(PING, 0, 0, b"12345678"), million),
        "T3 PING with ACK": many(frame(PING, ACK, 0, b"12345678"), million),
        "T3 SETTINGS": many(frame(SETTINGS, 0, 0, b"\0\x04\0\x01\0\0"), million),
        "T3 SETTINGS with ACK": many(frame(SETTINGS, ACK, 0), million),
        "T3 WINDOW_UPDATE": many(frame(WINDOW, 0, 0, b"\0\0\0\x01"), million),
        "T3 WINDOW_UPDATE of a call": chain(opened, many(frame(WINDOW, 0, 1, b"\0\0\0\x01"), million)),
        "T3 empty DATA": chain(opened, many(frame(DATA, 0, 1), million)),
        "T3 DATA of nothing but padding": chain(opened, many(frame(DATA, PADDED, 1, b"\x08" + b"\0" * 8), million)),
        "T3 PRIORITY": many(frame(PRIORITY, 0, 1, b"\0\0\0\x03\x10"), million),
        "T3 frames nobody knows": many(frame(0xfa, 0, 0, b"x"), million),
        "T3 PUSH_PROMISE": many(frame(PUSH, END_HEADERS, 1, b"\0\0\0\x02" + SHORT), million),
        "T3 DATA on a stream that is closed": chain(call(0) + frame(RESET, 0, 1, b"\0\0\0\x08"), many(frame(DATA, 0, 1, b"x"), million)),
        "W5 HEADERS on one open stream": chain(opened, many(frame(HEADERS, END_HEADERS, 1, SHORT), million)),
    }


@row
def floods_over_http2(kit):
    with kit.Server(kit.OPTIONS.catchment) as server:
        for _ in range(20):
            server.good()
        base = server.memory("VmHWM")
        with kit.GoodClient(server) as client:
            for name, pieces in floods().items():
                is_closed, took, sent, code = closed_after(server, pieces)
                kit.verdict(name, "closed within 2 s", f"{'closed' if is_closed else 'open'} after {took:.2f} s, {sent / 1e3:.0f} kB "
                            f"were under way, GOAWAY {code}", is_closed and took <= 2 * kit.OPTIONS.slow)
        before = server.cpu()
        time.sleep(1)
        spent = server.cpu() - before
        kit.verdict("T3 behind all floods: CPU of a second", "50 ms", f"{spent * 1000:.0f} ms", spent <= 0.05)
        grown = server.memory("VmHWM") - base
        kit.verdict("T1 floods: memory", "16 MiB", f"{grown / MIB:.1f} MiB", grown <= 16 * MIB)
        turn = server.longest_turn()
        kit.verdict("floods: longest turn", "50 ms", f"{turn * 1000:.0f} ms", turn <= kit.TURN_S * kit.OPTIONS.slow)
        settle(kit, "floods: good client, ledger, end", server, client)


@row
def calls_that_are_cheap_to_send(kit):
    """No floods by kind, but calls: their number is the client's, their cost is what is held."""
    refused = lambda i: frame(HEADERS, END_HEADERS, STREAM(i), SHORT + literal(b"content-type", b"application/grpc"))
    tiny = chain(frame(HEADERS, END_HEADERS, 1, request_head()), many(frame(DATA, 0, 1, b"x"), 200_000))
    table = frame(HEADERS, END_HEADERS, 1, request_head() + b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4_000)
    # 62 is the newest of the dynamic table: 4,000 bytes each time
    bomb = lambda i: frame(HEADERS, END_HEADERS, STREAM(i + 1), request_head() + b"\xbe" * 4_096)
    # as long as the list may be, of fields that are all there already
    fields = lambda i: frame(HEADERS, END_HEADERS, STREAM(i), request_head() + b"\x90" * 10_000)
    rows = {
        # no more at once than there may be
        "T3 refused calls whose bodies do not come": many(refused, 100_000, at_once=50 * 42),
        "DATA a byte at a time": tiny,
        "T4 HPACK: an entry of 4,000 bytes 4,096 times": chain(table, many(bomb, 300)),
        "T28 10,000 header fields, over HTTP/2": many(fields, 300),
    }
    for name, pieces in rows.items():
        with kit.Server(kit.OPTIONS.catchment) as server:
            for _ in range(20):
                server.good()
            base, before = server.memory("VmHWM"), server.cpu()
            with kit.GoodClient(server) as client:
                is_closed, took, sent, code = closed_after(server, pieces, seconds=1, pause=0.002)
            spent, grown, turn = server.cpu() - before, server.memory("VmHWM") - base, server.longest_turn()
            kit.verdict(name + ": memory", "16 MiB", f"{grown / MIB:.1f} MiB of {sent / 1e6:.1f} MB sent; {spent:.2f} s CPU in {took:.1f} s; "
                        f"{'closed' if is_closed else 'open'}, GOAWAY {code}", grown <= 16 * MIB)
            kit.verdict(name + ": longest turn", "50 ms", f"{turn * 1000:.0f} ms", turn <= kit.TURN_S * kit.OPTIONS.slow)
            settle(kit, name + ": good client, ledger, end", server, client)


@row
def a_crowd_of_calls(kit):
    """F8, A4: one address holds the budget for bodies with calls; another is served, and no turn is long."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4_096, most[0]), most[1]))
    turns = []
    # the best of three, because others use the machine
    while len(turns) < 3 and min(turns, default=1) > kit.TURN_S * kit.OPTIONS.slow:
        with kit.Server(kit.OPTIONS.catchment) as server:
            served, took, tries = crowd_and_another(kit, server)
            turns.append(server.longest_turn())
            code = server.stop()
        kit.verdict("250,000 calls in progress: another address", "5 of 5 within 5 s; balanced, 0", f"{served} in {took:.2f} s, {tries} tries; "
                    f"balanced {server.balanced}, exit {code}", served == 5 and took <= 5 * kit.OPTIONS.slow and code == 0 and server.balanced)
    kit.verdict("250,000 calls in progress: longest turn", "50 ms", ", ".join(f"{turn * 1000:.0f} ms" for turn in turns),
                min(turns) <= kit.TURN_S * kit.OPTIONS.slow)


def crowd_and_another(kit, server):
    """How many requests of another address were served, in which time, of how many tries."""
    flood = Flood(server)
    for _ in range(1_000):
        flood.connect()
    flood.send(PREFACE + b"".join(frame(HEADERS, END_HEADERS, STREAM(i), request_head()) for i in range(250)), seconds=10)
    begun, served, tries = time.monotonic(), 0, 0
    # some 200 kB
    body = kit.request([kit.metric(b"other", [kit.point(kit.field(7, kit.attribute(b"k", b"%d" % i))) for i in range(4_000)])])
    while served < 5 and tries < 200 and time.monotonic() - begun < 10:
        tries += 1
        other = server.connection(timeout=10, peer="127.0.0.2")
        try:
            served += server.post(body, connection=other)[0] == 200
        except OSError:
            pass
        other.close()
    took = time.monotonic() - begun
    flood.close()
    time.sleep(0.3)
    return served, took, tries


# ---- T28, T29: heads of HTTP/1.1 -------------------------------------------------------------------------------------

@row
def heads_that_could_be_read_in_two_ways(kit):
    post = b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
    size = b"content-length: %d\r\n" % len(kit.GOOD)
    smuggled = post + size + b"\r\n" + kit.GOOD
    rest = {
        "Content-Length and Transfer-Encoding": post + size + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
        "Transfer-Encoding and Content-Length": post + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n" + smuggled,
        "Content-Length twice": post + b"content-length: 0\r\n" + size + b"\r\n" + smuggled,
        "Content-Length with a sign": post + b"content-length: +0\r\n\r\n" + smuggled,
        "a folded line": post + b"a: b\r\n content-length: 0\r\n" + b"content-length: 0\r\n\r\n" + smuggled,
        "bare LF": post + b"a: b\ncontent-length: 0\r\n\r\n" + smuggled,
        "a blank before the colon": post + b"content-length : 0\r\n\r\n" + smuggled,
        "a chunk with bare LF": post + b"transfer-encoding: chunked\r\n\r\n0;a\n\r\n\r\n" + smuggled,
        "chunked twice": post + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + smuggled,
    }
    with kit.Server(kit.OPTIONS.catchment) as server:
        wrong = []
        for name, data in rest.items():
            seen, is_closed = raw(server, data)
            if not is_closed or seen.count(b"HTTP/1.1 ") != 1 or seen[9:12] not in (b"400", b"501"):
                wrong.append((name, seen[:60], is_closed))
        fields, closed_f = raw(server, post + b"baggage: a=b\r\n" * 10_000 + b"\r\n")
        long, closed_l = raw(server, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        right = server.good()
        ledger = json.loads(server.page("/ledger")[1])
        code = server.stop()
        kit.verdict(f"T29 {len(rest)} heads that could be read in two ways", "refused, closed, no point in", f"{wrong[:3]}, received "
                    f"{ledger['received']}, exit {code}", not wrong and right == 200 and ledger["received"] == 1 and code == 0 and server.balanced)
        kit.verdict("T28 10,000 header fields; a long target", "431, 414, closed", f"{fields[9:12].decode()}, {long[9:12].decode()}",
                    fields[9:12] == b"431" and long[9:12] == b"414" and closed_f and closed_l)


# ---- T5, T7: packed bodies -------------------------------------------------------------------------------------------

@row
def bombs_on_many_connections(kit):
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    mebibyte = block.compress(bytes(MIB)) + block.flush(zlib.Z_FULL_FLUSH)
    gz = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + mebibyte * 1_024
    # a frame of RLE blocks of 128 KiB
    zstd = struct.pack("<I", 0xFD2FB528) + b"\x00" + bytes([7 << 3]) + (struct.pack("<I", (128 << 10) << 3 | 1 << 1)[:3] + b"\0") * 81_920
    with kit.Server(kit.OPTIONS.catchment, "--max-body", "16MiB") as server:
        for coding, size, bomb in (("gzip", 1, gz), ("zstd", 10, zstd)):
            before = server.cpu()
            with kit.GoodClient(server) as client:
                flood = Flood(server)
                for _ in range(64):
                    flood.connect()
                flood.send(head(len(bomb), coding) + bomb, seconds=4)
                codes = []
                for one in flood.open:
                    one.setblocking(True)
                    one.settimeout(3)
                    try:
                        codes.append(one.recv(12)[9:12].decode())
                    except OSError:
                        codes.append("closed")
                flood.close()
            each, peak = (server.cpu() - before) / 64, server.memory("VmHWM")
            said = " ".join(f"{code}x{codes.count(code)}" for code in sorted(set(codes)))
            kit.verdict(f"T5 {size} GiB in {len(bomb) / 1e6:.1f} MB of {coding} x 64: CPU each", "1 s", f"{each:.3f} s; {said}", each <= 1)
            kit.verdict(f"T5 {coding} x 64: memory", f"{server.limit * 1.05 / MIB:.0f} MiB", f"{peak / MIB:.0f} MiB; good client {client.sent}, "
                        f"{client.failed[:2]}, longest {client.longest * 1000:.0f} ms", peak <= server.limit * 1.05
                        and not [x for x in client.failed if x != 503] and client.sent > 0)
        code = server.stop()
        kit.verdict("T5 bombs: ledger, end", "balanced, 0", f"balanced {server.balanced}, exit {code}", code == 0 and server.balanced)


@row
def encodings_in_encodings(kit):
    once = gzip.compress(kit.GOOD)
    cases = {
        "gzip, gzip": gzip.compress(once), "gzip,zstd": once, "identity, gzip": once, "deflate": zlib.compress(kit.GOOD),
        "br": kit.GOOD, "snappy": b"\xff\xff\xff\xff\x0f", "gzip, gzip, gzip, gzip": once,
    }
    with kit.Server(kit.OPTIONS.catchment) as server:
        seen = {name: server.post(body, {"Content-Encoding": name})[0] for name, body in cases.items()}
        twice, _ = raw(server, b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\nconnection: close\r\n"
                       b"content-encoding: gzip\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(once) + once)
        seen["gzip; gzip"] = int(twice[9:12])
        members = server.post(gzip.compress(b"") * 5_000, {"Content-Encoding": "gzip"})[0]
        right = server.post(once, {"Content-Encoding": "gzip"})[0]
        code = server.stop()
        kit.verdict("T6, T7 one encoding inside another, and others", "415", f"{seen}", set(seen.values()) == {415} and code == 0 and server.balanced)
        kit.verdict("T7 5,000 members of gzip; one", "400, 200", f"{members}, {right}", (members, right) == (400, 200))


# ---- T8, T11: depth --------------------------------------------------------------------------------------------------

@row
def bodies_that_are_deep(kit):
    def nested(depth, wrap=5):
        # from the inside out: AnyValue { array_value { values: [..] } }
        pieces, size = [], 0
        for _ in range(depth):
            inner = b"\x0a" + kit.varint(size)
            outer = bytes([wrap << 3 | 2]) + kit.varint(size + len(inner))
            pieces += [inner, outer]
            size += len(inner) + len(outer)
        return b"".join(reversed(pieces))
    value = lambda depth: kit.request([kit.metric(b"m", [kit.point(kit.field(7, kit.field(1, b"k") + kit.field(2, nested(depth))))])])
    group = lambda depth: b"\x7b" * depth + b"\x7c" * depth
    point = lambda inside: kit.request([kit.metric(b"m", [kit.point(inside)])])
    proto, text = {"Content-Type": "application/x-protobuf"}, {"Content-Type": "application/json"}
    attributes = b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":%s}]}}]}'
    deep = 1_000_000
    cases = {
        "T8 a value 130,000 deep": (value(130_000), proto, (400,)),
        "T8 groups 700,000 deep in a point": (point(group(700_000)), proto, (400,)),
        "T8 groups 1,000,000 deep": (group(deep), proto, (400,)),
        "T8 groups 1,000,000 deep that do not end": (b"\x7b" * deep, proto, (400,)),
        "T9 a length of 2^63 - 1": (b"\x0a" + kit.varint((1 << 63) - 1) + b"x", proto, (400,)),
        "T9 counts of a length of 4 GiB": (kit.request([kit.metric(b"h", [b"\x32" + kit.varint(1 << 32) + b"x"], 9, b"\x10\x01")]), proto, (400,)),
        "T8 a value 30 deep": (value(30), proto, (200,)),
        "T11 1,000,000 [": (b"[" * deep, text, (400,)),
        "T11 1,000,000 { of a field": (b'{"a":' * deep, text, (400,)),
        "T11 1,000,000 [ where nobody looks": (b'{"x":' + b"[" * deep, text, (400,)),
        "T11 arrays 200,000 deep": (attributes % (b'{"arrayValue":{"values":[' * 200_000), text, (400,)),
        "T11 a number of 1,000,000 digits": (attributes % (b'{"doubleValue":' + b"1" * deep + b"}"), text, (400,)),
        "T11 such a number where nobody looks": (b'{"x":' + b"1" * deep + b"}", text, (200, 400)),
        "T11 a number of an exponent of 1,000,000 digits": (attributes % (b'{"doubleValue":1e' + b"9" * deep + b"}"), text, (400,)),
        "T11 a key of 1,000,000 bytes": (b'{"' + b"k" * deep + b'":1}', text, (200, 400)),
        "T11 1,000,000 escapes that do not end": (b'{"' + b"\\u00" * (deep // 4), text, (400,)),
    }
    with kit.Server(kit.OPTIONS.catchment) as server:
        connection = server.connection()
        for name, (body, kind, answers) in cases.items():
            before, spent, seen = server.cpu(), float("inf"), []
            # as fast as it goes, because others use the machine
            for _ in range(3):
                begun = time.monotonic()
                seen.append(server.post(body, kind, connection)[0])
                spent = min(spent, time.monotonic() - begun)
            cpu = (server.cpu() - before) / 3
            kit.verdict(name, f"{answers[0]} within 50 ms", f"{sorted(set(seen))}, {spent * 1000:.1f} ms, {cpu * 1000:.0f} ms CPU",
                        set(seen) <= set(answers) and spent <= 0.05 * kit.OPTIONS.slow)
        turn = server.longest_turn()
        right = server.good()
        code = server.stop()
        kit.verdict("T8, T11 longest turn; end", "50 ms; balanced, 0", f"{turn * 1000:.0f} ms; good {right}, balanced {server.balanced}, exit {code}",
                    turn <= kit.TURN_S * kit.OPTIONS.slow and right == 200 and code == 0 and server.balanced)


# ---- T22: names in the log -------------------------------------------------------------------------------------------

@row
def names_that_speak_to_a_terminal(kit):
    evil = b"\x1b[2J\x1b]0;mine\x07\r\n2026-01-01T00:00:00Z ERROR catchment: all is lost\n\xc2\x9b31m\xe2\x80\xae" + b"x" * 300
    with kit.Server(kit.OPTIONS.catchment, is_logged=True) as server:
        for attributes in (b"", kit.field(1, kit.attribute(b"service.name", evil))):
            server.post(kit.request([kit.metric(evil, [kit.point()])], attributes))
        server.post(b"\x0a\x02" + evil, {"Content-Type": "application/json"})
        server.post(b"x", {"Content-Type": "text/" + "\x1b[31m"})
        time.sleep(1.3)
        with open(server.log, "rb") as file:
            log = file.read()
        code = server.stop()
    text = log.decode("utf-8", "replace")
    bad = [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2028\u2029")]
    forged = [line for line in text.splitlines() if line.startswith("2026-01-01")]
    kit.verdict("T22 names that speak to a terminal: the log", "one escaped line each", f"{len(bad)} control characters, {len(forged)} forged lines; "
                f"{text.count('long_name')} warnings", not bad and not forged and "long_name" in text and code == 0)


# ---- T13, T25, T26, T33: numbers, and what is not there ---------------------------------------------------------------

@row
def more_clients_than_descriptors(kit):
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    with kit.Server(kit.OPTIONS.catchment, preexec_fn=few) as server:
        address, crowd = ("127.0.0.1", server.ports["otlp_http"]), []
        for _ in range(1_000):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            crowd.append(one)
        time.sleep(0.3)
        ready, _ = server.page("/readyz")
        for one in crowd:
            one.close()
        begun, served = time.monotonic(), 0
        while served < 20 and time.monotonic() - begun < 5:
            try:
                served += server.good() == 200
            except (OSError, http.client.HTTPException):
                pass
        took = time.monotonic() - begun
        code = server.stop()
        kit.verdict("T13 256 descriptors, 1,000 clients: recovers", "20 served within 1 s, exit 0", f"{served} in {took:.2f} s, /readyz {ready}, "
                    f"exit {code}", served == 20 and took <= kit.OPTIONS.slow and ready == 200 and code == 0 and server.balanced)


@row
def clients_that_come_and_go(kit):
    """A full house of begun heads, and thousands that come and leave; each of the two from an address of its own."""
    with kit.Server(kit.OPTIONS.catchment) as server:
        address = ("127.0.0.1", server.ports["otlp_http"])
        held = Flood(server)
        for _ in range(1_024):
            held.connect()
        held.send(b"POST /v1/metrics HTTP/1.1\r\n")
        begun, churn = time.monotonic(), 0
        with kit.GoodClient(server, "127.0.0.3") as client:
            while time.monotonic() - begun < 1.5 and churn < 20_000:
                one = socket.socket()
                one.bind(("127.0.0.2", 0))
                one.setblocking(False)
                one.connect_ex(address)
                one.close()
                churn += 1
        held.close()
        turn = server.longest_turn()
        # what the kernel dropped of a full queue comes again after a second
        kit.verdict("T13 1,024 begun heads, and clients that come and go: turn", "50 ms", f"{turn * 1000:.0f} ms, {churn} came; good client's "
                    f"longest {client.longest * 1000:.0f} ms", turn <= kit.TURN_S * kit.OPTIONS.slow)
        settle(kit, "T13 clients that come and go: good client, ledger, end", server, client)


def sums(path, name):
    """All that a metric's sums say in lines of OTLP/JSON."""
    total, series = 0, set()
    with open(path, encoding="utf-8") as file:
        for line in file:
            for one in json.loads(line)["resourceMetrics"]:
                for scope in one["scopeMetrics"]:
                    for metric in scope["metrics"]:
                        for point in metric.get("sum", {}).get("dataPoints", []) if metric["name"] == name else []:
                            total += int(point["asInt"])
                            series.add(json.dumps(point.get("attributes", [])))
    return total, len(series)


@row
def a_bomb_of_series(kit):
    count, limit = 300_000, 10_000
    with tempfile.TemporaryDirectory() as folder:
        out = folder + "/out.jsonl"
        with kit.Server(kit.OPTIONS.catchment, "--series-limit", str(limit), "--out", f"file:{out}?temporality=delta", limit=256) as server:
            with kit.GoodClient(server) as client:
                for start in range(0, count, 50_000):
                    points = [kit.point(kit.field(7, kit.attribute(b"k", b"%d" % i))) for i in range(start, start + 50_000)]
                    server.post(kit.request([kit.metric(b"bomb", points)]))
            peak = server.memory("VmHWM")
            code = server.stop()
            total, series = sums(out, "bomb")
            kit.verdict(f"T25 {count} series, {limit} allowed: sums through overflow", f"{count}, exact", f"{total} in {series} series; good client "
                        f"{client.sent}, {client.failed[:2]}", total == count and series <= limit + 1 and not client.failed)
            kit.verdict("T25 memory, ledger, end", f"{server.limit * 1.05 / MIB:.0f} MiB", f"{peak / MIB:.0f} MiB, balanced {server.balanced}, exit {code}",
                        peak <= server.limit * 1.05 and code == 0 and server.balanced)


@row
def names_that_resemble_each_other(kit):
    """The hash is keyed for each process, so no set of names collides by plan; those that weak hashes confuse cost as others."""
    count = 100_000
    shapes = {
        "random": [os.urandom(8).hex().encode() for _ in range(count)],
        "counted": [b"%016d" % i for i in range(count)],
        "turned": [(b"%08d" % i)[::-1] + b"00000000" for i in range(count)],
        "of two letters": [format(i, "016b").replace("0", "Aa").replace("1", "BB").encode() for i in range(count)],
        "high bits": [struct.pack(">Q", i << 44).hex().encode() for i in range(count)],
    }
    cost = {}
    for name, values in shapes.items():
        with kit.Server(kit.OPTIONS.catchment, "--interval", "60s") as server:
            server.good()
            body = kit.request([kit.metric(b"m", [kit.point(kit.field(7, kit.attribute(b"k", value))) for value in values])])
            before = server.cpu()
            server.post(body)
            cost[name] = server.cpu() - before
            code = server.stop()
            if code != 0 or not server.balanced:
                cost[name] = float("inf")
    worst = max(cost, key=cost.get)
    kit.verdict(f"T26 {count} names that weak hashes confuse: CPU", "2 times random ones", ", ".join(f"{n} {c:.2f} s" for n, c in cost.items()),
                cost[worst] <= 2 * cost["random"] + kit.TICKS_S)


def nobody():
    """No home, no folder to write to, no capability, and none to be had."""
    PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        for capability in range(64):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(0o077)
    os.chdir("/proc")


@row
def a_process_that_may_do_nothing(kit):
    was_root = os.geteuid() == 0
    server = kit.Server(kit.OPTIONS.catchment, "--out", "stdout", preexec_fn=nobody, is_open=True, bare=True)
    with server:
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        rights = int(status["CapEff"], 16) | int(status["CapPrm"], 16) | (int(status["CapBnd"], 16) if was_root else 0)
        answers = [server.good() for _ in range(20)]
        server.process.send_signal(signal.SIGHUP)
        page, _ = server.page("/metrics", "prometheus")
        code = server.stop()
        kit.verdict("T33 no capability, no home, nowhere to write", "serves, exit 0", f"{answers.count(200)} of 20, capabilities {rights:x}, page {page}, "
                    f"balanced {server.balanced}, exit {code}", answers.count(200) == 20 and rights == 0 and page == 200 and code == 0 and server.balanced)


# ---- T19, T20: what a destination answers ----------------------------------------------------------------------------

class Answers(http.server.BaseHTTPRequestHandler):
    """Answers in ways that no server should; `hits` counts requests by path."""
    protocol_version = "HTTP/1.1"
    hits, lock = {}, threading.Lock()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        way = self.path.strip("/").split("/")[0]
        with self.lock:
            self.hits[way] = self.hits.get(way, 0) + 1
        try:
            getattr(self, "answer_" + way)()
        except OSError:
            pass
        self.close_connection = True

    def answer_body(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\r\n")
        self.endless(bytes(64 << 10))

    def answer_error(self):
        self.wfile.write(b"HTTP/1.1 503 No\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
        self.endless(b"10000\r\n" + b"x" * (64 << 10) + b"\r\n")

    def answer_fields(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.endless(b"a: b\r\n" * 1_000)

    def answer_interim(self):
        self.endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)

    def answer_elsewhere(self):
        to = f"http://127.0.0.1:{self.server.server_port}/taken/v1/metrics"
        self.wfile.write(f"HTTP/1.1 307 There\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode())

    def answer_taken(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    def endless(self, piece):
        end = time.monotonic() + 3
        while time.monotonic() < end:
            self.wfile.write(piece)
            with self.lock:
                self.hits["bytes"] = self.hits.get("bytes", 0) + len(piece)

    def log_message(self, *_):
        pass


@row
def what_destinations_answer(kit):
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    sink.daemon_threads = True
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    ways = ("body", "error", "fields", "interim", "elsewhere")
    outs = [x for way in ways for x in ("--out", f"otlp-http://127.0.0.1:{sink.server_port}/{way}/v1/metrics")]
    with kit.Server(kit.OPTIONS.catchment, *outs, "--interval", "200ms", "--shutdown-timeout", "1s", limit=1024) as server:
        for _ in range(20):
            server.good()
        base = server.memory("VmHWM")
        with kit.GoodClient(server) as client:
            time.sleep(2)
        grown = server.memory("VmHWM") - base
        ledger = json.loads(server.page("/ledger")[1])["destinations"]
        rows = [row["encoded"] == row["delivered"] + row["queued"] + sum(row["dropped"].values()) for row in ledger.values()]
        server.stop()
        hits = dict(Answers.hits)
    sink.shutdown()
    kit.verdict("T19 destinations that do not end an answer: memory", "48 MiB for 5 of them", f"{grown / MIB:.1f} MiB, {hits}",
                grown <= 48 * MIB and all(hits.get(way) for way in ways))
    kit.verdict("T20 a redirect", "not followed", f"{hits.get('taken', 0)} followed", not hits.get("taken"))
    kit.verdict("T19, T20 good client, rows of the ledger", "answered, balanced", f"{client.sent} sent, {client.failed[:2]}, longest "
                f"{client.longest * 1000:.0f} ms; {rows}; balanced {server.balanced}", not client.failed and all(rows) and len(rows) == 5 and server.balanced)


# ---- T12: slow clients -----------------------------------------------------------------------------------------------

class SlowClients(threading.Thread):
    """Clients that send a byte a second, or nothing, or read nothing; a good one beside them."""
    EACH, MOST_S = 20, 75

    def __init__(self, kit):
        super().__init__(daemon=True)
        self.kit, self.server = kit, kit.Server(kit.OPTIONS.catchment)
        post = b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        call = PREFACE + frame(HEADERS, END_HEADERS, 1, request_head())
        # what comes at once, and what comes a byte a second
        kinds = {
            "nothing at all": (b"", b""),
            "a head": (b"", post + b"x: y\r\n" * 20),
            "a preface": (b"", PREFACE * 4),
            "a header block": (PREFACE + frame(HEADERS, 0, 1, b"x" * 200)[:9], SHORT * 60),
            "CONTINUATION": (PREFACE + frame(HEADERS, 0, 1, SHORT), frame(CONTINUATION, 0, 1, b"x" * 200)),
            "a body": (post + b"content-length: 1000\r\n\r\n", bytes(200)),
            "chunks of a body": (post + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 40),
            "W6 frames of a call": (call, frame(DATA, 0, 1, b"x") * 20),
            "frames of a call of 100 bytes": (call + frame(DATA, 0, 1, bytes(100))[:9], bytes(100)),
            "half of the first frame": (PREFACE[:30], b""),
            "a head at the scrape door": (b"", b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 20),
        }
        self.clients, self.good, self.bad, self.longest = [], 0, [], 0.0
        self.begun = time.monotonic()
        for kind, (first, rest) in kinds.items():
            for _ in range(self.EACH):
                door = "prometheus" if "scrape" in kind else "otlp_http"
                one = socket.create_connection(("127.0.0.1", self.server.ports[door]), timeout=10)
                one.sendall(first)
                one.setblocking(False)
                self.clients.append([kind, one, rest, None])
        self.kinds = list(kinds)
        self.start()

    def run(self):
        connection, end = self.server.connection(), self.begun + self.MOST_S + 5
        while time.monotonic() < end and any(client[3] is None for client in self.clients):
            for client in self.clients:
                if client[3] is None and self.is_closed(client):
                    client[3] = time.monotonic() - self.begun
                    client[1].close()
            begun = time.monotonic()
            try:
                status = self.server.good(connection)
                self.good += 1
                if status != 200:
                    self.bad.append(status)
            except (OSError, http.client.HTTPException) as problem:
                self.bad.append(repr(problem))
                connection = self.server.connection()
            self.longest = max(self.longest, time.monotonic() - begun)
            time.sleep(1)

    def is_closed(self, client):
        try:
            while True:
                if not client[1].recv(1 << 16):
                    return True
        except BlockingIOError:
            pass
        except OSError:
            return True
        try:
            if client[2]:
                client[1].send(client[2][:1])
                client[2] = client[2][1:]
        except BlockingIOError:
            pass
        except OSError:
            return True
        return False

    def judge(self):
        self.join(self.MOST_S + 10)
        for kind in self.kinds:
            ends = [client[3] for client in self.clients if client[0] == kind]
            closed = [end for end in ends if end is not None]
            last = max(closed, default=0)
            self.kit.verdict(f"T12 slow clients, a byte a second: {kind}", f"{len(ends)} closed within {self.MOST_S} s",
                             f"{len(closed)}, the last after {last:.0f} s", len(closed) == len(ends) and last <= self.MOST_S)
        code = self.server.stop()
        self.kit.verdict("T12 slow clients: good client, ledger, end", "answered, balanced, 0", f"{self.good} sent, {self.bad[:2]}, longest "
                         f"{self.longest * 1000:.0f} ms; balanced {self.server.balanced}, exit {code}",
                         not self.bad and self.good > 0 and code == 0 and self.server.balanced)
