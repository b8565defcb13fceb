"""Real SDKs through Catchment into a real Prometheus: writes plans, runs everything, compares what comes out.

Knows what each instrument's recordings must become in Prometheus, by plain arithmetic on the plan; knows nothing of
Catchment but its command line, ports file, pages and exit code. Standard library only. Start it through tools/interop.

    producer (SDK × transport × temporality) ── OTLP ──► catchment ◄── scrape, 1 s ── prometheus ◄── queries ── here
        some of them through a Collector ── its OTLP exporter ──►

Each producer carries out a plan in rounds; after each round Prometheus must show exactly the series of its job, no more
and no fewer, with exactly these values. All numbers are integers or multiples of 2^-10, so sums are exact in any order.
Three producers, called twins, share one job, instance and scope; their sums must add up.

Bounds: every wait has a deadline and polls for something observable; every process is ended on the way out, and by the
kernel if this one dies first.
"""
import argparse
import atexit
import ctypes
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

START_S = 60  # until a program says it is there; the machine may be busy
FLUSH_S = 60  # until an SDK has recorded, exported and been answered
SHOWN_S = 30  # until Prometheus shows it: an interval and a scrape, usually 2 s
END_S = 60
POLL_S = 0.1
HTTP_S = 20
WHOLE = 0.8  # of all scrapes: a busy machine may overrun Prometheus's 1 s, or a second cut overtake a page

BOUNDS = [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0]

# kind, number, name, unit, what the Prometheus family is called, more
INSTRUMENTS = [
    ("counter", "int", "interop.requests.size", "By", "interop_requests_size_bytes_total"),
    ("counter", "double", "interop.busy", "s", "interop_busy_seconds_total"),
    ("updown", "int", "interop.connections", "{connection}", "interop_connections"),
    ("updown", "double", "interop.balance", "By", "interop_balance_bytes"),
    ("histogram", "int", "interop.payload", "By", "interop_payload_bytes"),
    ("histogram", "double", "interop.latency", "ms", "interop_latency_milliseconds"),
    ("exponential", "int", "interop.exponential.size", "KiBy", "interop_exponential_size_kibibytes"),
    ("exponential", "double", "interop.exponential.time", "s", "interop_exponential_time_seconds"),
    ("gauge", "int", "interop.threads", "{thread}", "interop_threads"),
    ("gauge", "double", "interop.load", "1", "interop_load_ratio"),
    ("observable_counter", "int", "interop.pages", "1", "interop_pages_total"),
    ("observable_counter", "double", "interop.energy", "J", "interop_energy_joules_total"),
    ("observable_updown", "int", "interop.queue.depth", "{item}", "interop_queue_depth"),
    ("observable_updown", "double", "interop.drift", "m/s", "interop_drift_meters_per_second"),
    ("observable_gauge", "int", "interop.fill", "%", "interop_fill_percent"),
    ("observable_gauge", "double", "interop.temperature", "Cel", "interop_temperature_celsius"),
]
FAMILY = {name: family for _, _, name, _, family in INSTRUMENTS}
KIND = {name: kind for kind, _, name, _, _ in INSTRUMENTS}
# kinds of which several writers of one stream may send deltas
ADDING = ("counter", "histogram", "exponential")

# attribute sets, and the labels they must become
SETS = [
    ({}, {}),
    (
        {"route": 'a "quoted" \\ path', "ok": True, "n": 7, "ratio": 0.5, "tags": ["x", "y"]},
        {"route": 'a "quoted" \\ path', "ok": "true", "n": "7", "ratio": "0.5", "tags": '["x","y"]'},
    ),
    ({"route": "two\nlines", "zone.name": "Zürich"}, {"route": "two\nlines", "zone_name": "Zürich"}),
]
LABELS = {json.dumps(attributes, sort_keys=True): labels for attributes, labels in SETS}
SCOPE = {"name": "interop.scope", "version": "1.2.3"}
SCOPE_LABELS = {"otel_scope_name": "interop.scope", "otel_scope_version": "1.2.3"}

# What is recorded in each round, for each kind: lists of values, one list for each attribute set. Doubles are these and a
# bit more, see `value`. The second round leaves sets out, so that series are idle over some intervals.
ROUNDS = [
    {
        "counter": [[1, 2], [40], [0]],
        "updown": [[10, -3], [-7], [1]],
        "histogram": [[0, 5, 6, 10_000, 10_001], [74, 75, 76], [3]],
        "exponential": [[1, 2, 1_000_000], [0, 0, 5], [7]],
        "gauge": [[3, 17], [-5], [0]],
        "observable_counter": [[100], [7], [0]],
        "observable_updown": [[-4], [9], [2]],
        "observable_gauge": [[55], [-1], [0]],
    },
    {
        "counter": [[1000], [], [5]],
        "updown": [[], [3, 4], [-100]],
        "histogram": [[], [250, 251], []],
        "exponential": [[3], [], []],
        "gauge": [[], [12], []],
        "observable_counter": [[100], [1007], []],
        "observable_updown": [[-40], [], [3]],
        "observable_gauge": [[], [99], []],
    },
    {
        "counter": [[5, 6, 7], [1], []],
        "updown": [[-7], [], [50]],
        "histogram": [[1, 1, 1, 1], [], [999]],
        "exponential": [[8, 16, 32], [64], [128]],
        "gauge": [[1], [2], [3]],
        "observable_counter": [[250], [2007], [1]],
        "observable_updown": [[40], [-9], []],
        "observable_gauge": [[1], [], [2]],
    },
]


def value(number, whole):
    """The value to record: whole, or with a fraction that doubles hold exactly. Zero and bounds stay what they are."""
    if number == "int":
        return whole
    return float(whole) if whole in BOUNDS else whole + (1 if whole > 0 else -1) * 25 / 1024


def rounds(kinds):
    """The plan's rounds for these kinds."""
    plan = []
    for chosen in ROUNDS:
        entries = []
        for kind, number, name, _, _ in INSTRUMENTS:
            if kind not in kinds:
                continue
            for (attributes, _), values in zip(SETS, chosen[kind]):
                entries += [
                    {"instrument": name, "value": value(number, whole), "attributes": attributes} for whole in values
                ]
        plan.append(entries)
    return plan


def instruments(kinds):
    return [
        {
            "kind": kind,
            "number": number,
            "name": name,
            "unit": unit,
            "description": f"{kind} of {number}s",
            "bounds": BOUNDS,
        }
        for kind, number, name, unit, _ in INSTRUMENTS
        if kind in kinds
    ]


def series(name, labels, number):
    return {(name, frozenset(labels.items())): float(number)}


def expected(entries, common, times=1):
    """The series that these recordings make, carried out `times` times over: {(name, labels): value}."""
    recorded = {}
    for entry in entries:
        key = (entry["instrument"], json.dumps(entry["attributes"], sort_keys=True))
        recorded.setdefault(key, []).append(entry["value"])
    out = {}
    for (instrument, attributes), values in recorded.items():
        family, kind = FAMILY[instrument], KIND[instrument]
        labels = {**common, **SCOPE_LABELS, **LABELS[attributes]}
        if kind in ("counter", "updown"):
            out |= series(family, labels, sum(values) * times)
        elif kind in ("histogram", "exponential"):
            out |= series(f"{family}_count", labels, len(values) * times)
            out |= series(f"{family}_sum", labels, sum(values) * times)
            for bound in [*(BOUNDS if kind == "histogram" else []), float("inf")]:
                within = sum(1 for value in values if value <= bound)
                out |= series(f"{family}_bucket", {**labels, "le": bound_text(bound)}, within * times)
        else:
            out |= series(family, labels, values[-1])
    return out


def bound_text(bound):
    return "+Inf" if bound == float("inf") else repr(float(bound))


class Checks:
    """One line a check; counts."""

    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, name, problem):
        """`problem` is None, or words."""
        if problem is None:
            self.passed += 1
            print(f"ok    {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {name}: {problem}", flush=True)


class Trouble(Exception):
    """The run cannot go on."""


STARTED = []


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start(words, **more):
    process = subprocess.Popen(words, preexec_fn=die_with_parent, **more)
    STARTED.append(process)
    return process


def end_all():
    for process in STARTED:
        if process.poll() is None:
            process.kill()
    for process in STARTED:
        process.wait()


def poll(seconds, what, look, alive=()):
    """Calls `look` until it gives something; `alive` are (name, process, path of its output) that must not end."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        for name, process, log in alive:
            if process.poll() is not None:
                raise Trouble(f"{name} ended with {process.returncode} while waiting for {what}\n{tail(log)}")
        if time.monotonic() > deadline:
            raise Trouble(f"{what}: not within {seconds} s\n" + "\n".join(tail(log) for _, _, log in alive))
        time.sleep(POLL_S)


def tail(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-20:])


def get(url):
    with urllib.request.urlopen(url, timeout=HTTP_S) as answer:
        return answer.read()


class Catchment:
    def __init__(self, binary, folder, interval="500ms", more=()):
        ports, self.log = f"{folder}/ports.json", f"{folder}/catchment.log"
        words = [binary, "run", "--shards", "2", "--pin", "off", "--interval", interval, "--ports-file", ports, *more]
        for door in ("--otlp-grpc", "--otlp-http", "--prometheus", "--admin"):
            words += [door, "127.0.0.1:0"]
        environment = {name: text for name, text in os.environ.items() if not name.startswith("CATCHMENT_")}
        with open(self.log, "wb") as log:
            self.process = start(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        self.alive = [("catchment", self.process, self.log)]
        poll(START_S, "the ports file", lambda: os.path.exists(ports) or None, self.alive)
        with open(ports, encoding="utf-8") as file:
            self.doors = json.load(file)

    def end(self):
        """SIGTERM; the exit code, or words."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return f"none within {END_S} s"

    def page(self):
        """The scrape page; a scrape that the second next cut overtook is broken off, and tried again."""

        def look():
            try:
                return get(f"http://{self.doors['prometheus']}/metrics")
            except (urllib.error.URLError, OSError, ValueError):
                return None

        return poll(HTTP_S, "a whole scrape page", look, self.alive)

    def admin(self, path):
        return get(f"http://{self.doors['admin']}{path}")

    def ledger(self):
        return json.loads(self.admin("/ledger?verify=1"))


class Prometheus:
    def __init__(self, catchment, folder, more=(), pages=None):
        """`pages`: what is scraped, if not the pages of `catchment`."""
        config, self.log = f"{folder}/prometheus.yml", f"{folder}/prometheus.log"
        pages = pages or [
            {"job_name": name, "honor_labels": honor, "static_configs": [{"targets": [catchment.doors[door]]}]}
            for name, door, honor in [("page", "prometheus", True), ("own", "admin", False)]
        ]
        with open(config, "w", encoding="utf-8") as file:
            # JSON is YAML
            json.dump({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": pages}, file)
        words = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
        words += ["--web.listen-address=127.0.0.1:0", "--log.format=json", *more]
        with open(self.log, "wb") as log:
            process = start(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.alive = [("prometheus", process, self.log), *catchment.alive]
        self.address = poll(START_S, "Prometheus's address", self.listening, self.alive)
        poll(START_S, "Prometheus to be ready", self.ready, self.alive)

    def listening(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            for line in file:
                found = re.search(r'"address":"(127\.0\.0\.1:[1-9]\d*)"', line)
                if found:
                    return found.group(1)
        return None

    def ready(self):
        try:
            get(f"http://{self.address}/-/ready")
            return True
        except (urllib.error.URLError, OSError):
            return None

    def query(self, words):
        """An instant query's vector: {(name, labels): value}."""
        answer = json.loads(get(f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": words})))
        vector = {}
        for sample in answer["data"]["result"]:
            labels = sample["metric"]
            name = labels.pop("__name__", "")
            if "le" in labels:
                labels["le"] = bound_text(float(labels["le"]))
            vector[(name, frozenset(labels.items()))] = float(sample["value"][1])
        return vector

    def job(self, job):
        """All series of a job but `target_info` and the starts that OpenMetrics has as series."""
        return self.query(f'{{job="{job}",__name__!~"target_info|.+_created"}}')


class Collector:
    """An OpenTelemetry Collector between a producer and Catchment, exporting over `protocol`."""

    def __init__(self, binary, folder, catchment, protocol):
        self.name, self.log = f"collector-{protocol}", f"{folder}/collector-{protocol}.log"
        with open(self.log, "wb") as log:
            self.process = start(
                [binary, protocol, catchment.doors[f"otlp_{protocol}"]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.address = poll(START_S, f"{self.name} to listen", self.listening, [(self.name, self.process, self.log)])

    def listening(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            found = re.search(r"^listening (\S+)$", file.read(), re.MULTILINE)
        return found and found.group(1)

    def end(self):
        """None, or what was wrong."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return f"has not ended within {END_S} s"
        said = [line for line in tail(self.log).splitlines() if not line.startswith("listening ")]
        return None if code == 0 and not said else f"exit code {code}: {said}"


class Producer:
    """An SDK that carries out a plan."""

    def __init__(self, sdk, words, folder, catchment, name, **plan):
        self.name, self.plan = name, plan
        path = f"{folder}/{name}.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(plan, file)
        self.log = f"{folder}/{name}.log"
        environment = {key: text for key, text in os.environ.items() if not key.startswith("OTEL_")}
        with open(self.log, "wb") as log:
            self.process = start(
                [*words, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        self.sdk = sdk
        self.alive = [(name, self.process, self.log), *catchment.alive]
        self.lines = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.lines.put(line.decode().strip())

    def round(self):
        self.process.stdin.write(b"round\n")
        self.process.stdin.flush()

    def wait(self, word):
        def look():
            return None if self.lines.empty() else self.lines.get()

        heard = poll(FLUSH_S, f"{word!r} of {self.name}", look, self.alive)
        if heard != word:
            raise Trouble(f"{self.name} says {heard!r} instead of {word!r}\n{tail(self.log)}")

    def end(self):
        """Shuts the SDK down; None, or what was wrong."""
        self.process.stdin.close()
        try:
            code = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return f"has not ended within {END_S} s"
        said = tail(self.log).strip()
        return None if code == 0 and not said else f"exit code {code}: {said}"


def differences(want, have):
    """None, or the first few differences in words."""
    lines = []
    for key in sorted(want.keys() | have.keys(), key=lambda key: (key[0], sorted(key[1]))):
        if want.get(key) != have.get(key):
            labels = ", ".join(f"{label}={text!r}" for label, text in sorted(key[1]))
            lines.append(f"{key[0]}{{{labels}}} wanted {want.get(key)}, have {have.get(key)}")
    if not lines:
        return None
    return f"{len(lines)} of {len(want)} series differ:\n        " + "\n        ".join(lines[:8])


def shown(prometheus, job, want, deadline):
    """Waits until Prometheus shows exactly these series; (None or the difference, what it shows)."""
    while True:
        have = prometheus.job(job)
        difference = differences(want, have)
        if difference is None or time.monotonic() > deadline:
            return difference, have
        time.sleep(POLL_S)


def of_kind(all_series, kind):
    families = tuple(family for k, _, _, _, family in INSTRUMENTS if k == kind)
    names = {f"{family}{suffix}" for family in families for suffix in ("", "_bucket", "_sum", "_count")}
    return {key: number for key, number in all_series.items() if key[0] in names}


def producers(arguments, folder, catchment, collectors):
    """All SDKs × transports × temporalities, those behind Collectors, and the twins: [(group name, kinds, [producers])]."""
    words = {
        "python": [arguments.python, f"{os.path.dirname(__file__)}/interop_python.py"],
        "go": [arguments.go_sdk],
        "nodejs": ["node", f"{arguments.js_sdk}/main.js"],
    }
    all_kinds = sorted({kind for kind, *_ in INSTRUMENTS})

    def make(name, sdk, transport, temporality, door, service, kinds, address=None):
        return Producer(
            sdk,
            words[sdk],
            folder,
            catchment,
            name,
            address=address or catchment.doors[door],
            transport=transport,
            temporality=temporality,
            compression="gzip" if temporality == "delta" else "none",
            scope=SCOPE,
            resource={
                "service.namespace": "interop",
                "service.name": service,
                "service.instance.id": f"{service}-1",
                "cores": 2,
            },
            instruments=instruments(kinds),
            rounds=rounds(kinds),
        )

    groups = []
    for sdk in words:
        for transport in ("grpc", "http"):
            for temporality in ("cumulative", "delta"):
                name = f"{sdk}-{transport}-{temporality}"
                one = make(name, sdk, transport, temporality, f"otlp_{transport}", name, all_kinds)
                groups.append((name, all_kinds, [one]))
    for temporality in ("cumulative", "delta"):
        name = f"nodejs-json-{temporality}"
        one = make(name, "nodejs", "json", temporality, "otlp_http", name, all_kinds)
        groups.append((name, all_kinds, [one]))
    for collector, sdk, temporality in zip(collectors, ("python", "go"), ("delta", "cumulative")):
        name = f"{sdk}-{collector.name}"
        one = make(name, sdk, "grpc", temporality, None, name, all_kinds, collector.address)
        groups.append((name, all_kinds, [one]))
    # one series from three processes, each at the other protocol's door
    twins = [
        make(f"twin-{i}", sdk, transport, "delta", door, "twins", ADDING)
        for i, (sdk, transport, door) in enumerate(
            [("python", "grpc", "otlp_http"), ("python", "http", "otlp_grpc"), ("go", "grpc", "otlp_http")]
        )
    ]
    groups.append(("twins", ADDING, twins))
    return groups


def common_labels(service):
    return {"job": f"interop/{service}", "instance": f"{service}-1"}


def run_rounds(check, groups, prometheus):
    for number in range(len(ROUNDS)):
        for _, _, members in groups:
            for member in members:
                member.round()
        for _, _, members in groups:
            for member in members:
                member.wait("flushed")
        deadline = time.monotonic() + SHOWN_S
        for service, kinds, members in groups:
            entries = [entry for chosen in rounds(kinds)[: number + 1] for entry in chosen]
            want = expected(entries, common_labels(service), len(members))
            difference, have = shown(prometheus, f"interop/{service}", want, deadline)
            if number + 1 < len(ROUNDS):
                check(f"{service}: round {number + 1}, {len(want)} series", difference)
                continue
            for kind in kinds:
                part, has = of_kind(want, kind), of_kind(have, kind)
                check(f"{service}: {kind}, {len(part)} series", differences(part, has))
            strangers = {key: number for key, number in have.items() if not key[0].startswith("interop_")}
            check(f"{service}: nothing else", differences({}, strangers))


def run_ends(check, groups, catchment, prometheus):
    """Shutting an SDK down exports once more: totals stay what they are."""
    for service, _, members in groups:
        for member in members:
            check(f"{member.name}: the SDK has no complaints", member.end())
    poll(SHOWN_S, "the ledger to have nothing open", lambda: catchment.ledger()["open"] == 0 or None, catchment.alive)
    newest = newest_scrape(prometheus)
    poll(SHOWN_S, "two more scrapes", lambda: newest_scrape(prometheus) >= newest + 2 or None, prometheus.alive)
    deadline = time.monotonic() + SHOWN_S
    for service, kinds, members in groups:
        entries = [entry for chosen in rounds(kinds) for entry in chosen]
        want = expected(entries, common_labels(service), len(members))
        difference, _ = shown(prometheus, f"interop/{service}", want, deadline)
        check(f"{service}: after shutdown, {len(want)} series", difference)
        info = prometheus.query(f'target_info{{job="interop/{service}"}}')
        problem = None if len(info) == 1 and set(info.values()) == {1.0} else f"wanted one of value 1, have {info}"
        for (_, labels) in info:
            labels = dict(labels)
            languages = {member.sdk for member in members}
            if labels.get("telemetry_sdk_language") not in languages or labels.get("cores") != "2":
                problem = f"labels {labels}"
        check(f"{service}: one target_info", problem)


def newest_scrape(prometheus):
    """When the page was last scraped, in seconds."""
    return max(prometheus.query('timestamp(up{job="page"})').values(), default=0)


def promtool(page, theirs):
    """None, or why `promtool check metrics` is not content; lints of names that begin with `theirs` are none of ours."""
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, timeout=HTTP_S, check=False
    )
    lints = (run.stdout + run.stderr).decode(errors="replace").strip().splitlines()
    ours = [line for line in lints if not (theirs and line.startswith(theirs))]
    if run.returncode == 0 or (run.returncode == 3 and lints and not ours):
        return None
    return f"exit code {run.returncode}\n        " + "\n        ".join(ours[:8])


def check_ledger(check, ledger):
    check("ledger: balanced", None if ledger["balanced"] is True else json.dumps(ledger))
    check("ledger: nothing rejected", None if ledger["rejected"] == {} else json.dumps(ledger["rejected"]))
    same = ledger["received"] == ledger["applied"] > 0
    check("ledger: everything applied", None if same else f"{ledger['received']} received, {ledger['applied']} applied")
    counted = ledger.get("open_counted_in_cells")
    check("ledger: open points are those in the cells", None if counted == ledger["open"] else json.dumps(ledger))
    for way in ("otlp_grpc", "otlp_http"):
        kinds = ledger["by"][way]
        for kind in ("sum", "gauge", "histogram", "exponential_histogram"):
            points = kinds.get(kind, {}).get("applied", 0)
            check(f"ledger: {kind} points came over {way}", None if points else json.dumps(kinds))


def run(arguments, folder):
    check = Checks()
    begun = time.monotonic()
    catchment = Catchment(arguments.catchment, folder)
    prometheus = Prometheus(catchment, folder)
    collectors = [Collector(arguments.collector, folder, catchment, protocol) for protocol in ("grpc", "http")]
    groups = producers(arguments, folder, catchment, collectors)
    run_rounds(check, groups, prometheus)
    check("promtool: the scrape page", promtool(catchment.page(), "interop_"))
    check("promtool: the admin door's page", promtool(catchment.admin("/metrics"), None))
    run_ends(check, groups, catchment, prometheus)
    for collector in collectors:
        check(f"{collector.name}: ends without complaints", collector.end())
    for job in ("page", "own"):
        share = max(prometheus.query(f'avg_over_time(up{{job="{job}"}}[30m])').values(), default=0)
        check(f"scrapes of {job} are whole", None if share >= WHOLE else f"{share:.3f} of them")
    check_ledger(check, catchment.ledger())
    code = catchment.end()
    check("SIGTERM: exit code 0", None if code == 0 else f"{code}\n{tail(catchment.log)}")
    last = tail(catchment.log).strip().splitlines()[-1:]
    check("SIGTERM: the ledger is the last line, balanced", None if last and last[0].endswith("; balanced") else str(last))
    print(f"{time.monotonic() - begun:.0f} s")
    return check


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catchment", required=True)
    parser.add_argument("--python", required=True, help="interpreter that has the SDK")
    parser.add_argument("--go-sdk", required=True)
    parser.add_argument("--js-sdk", required=True, help="folder of the JavaScript program and its packages")
    parser.add_argument("--collector", required=True, help="the Collector of tools/interop-collector")
    arguments = parser.parse_args()
    atexit.register(end_all)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    with tempfile.TemporaryDirectory(prefix="catchment-interop-", ignore_cleanup_errors=True) as folder:
        try:
            check = run(arguments, folder)
            passed, failed = check.passed, check.failed
        except (Trouble, OSError, ValueError) as trouble:
            print(f"FAIL  the run itself: {trouble}")
            passed, failed = 0, 1
        finally:
            end_all()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
