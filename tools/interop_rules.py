"""A fleet of real SDKs, the same points to a Catchment without rules and to one with, and a real Prometheus as the judge.

Knows what PromQL makes of raw series; knows nothing of Catchment but its command line, file of rules, ports file and pages.
Start it through tools/interop.

    pods (SDK) ─┬─ OTLP ──► catchment ◄────────── scrape, 1 s ─┐
                └─ OTLP ──► catchment, with rules ◄────────────┴─ prometheus ◄── sum by, histogram_quantile ── here

Nothing is sent while Prometheus is asked, so that both show the same points: `sum by` of the raw series must equal what the
rules leave, to the bit, and `histogram_quantile` of raw buckets what they say of a window that holds all points. Numbers are
whole or multiples of 2^-10. Gauges and sums that may fall are compared while all pods live.
"""
import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from interop_check import POLL_S, SHOWN_S, Catchment, Checks, Prometheus, end_all, get, poll

NEVER_MS = 3_600_000  # exports happen when the plan says so
WINDOW_S = 20
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
SERVICES, PODS, ROUNDS = ["cart", "shop"], 5, 4
QUANTILES = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99")]
METHODS = ["get", "put"]
ROUTES, STATUSES, COUNTRIES = ["/", "/u/{id}", "/pay"], [200, 404, 503], ["DE", "FR", "NZ"]

RULES = f"""
rules:
  - name: latency
    match: {{metric: [http.server.request.duration, rpc.duration]}}
    attributes: [{{class: http.response.status_code}}]
    without: [k8s.pod.*, service.instance.id]
    interval: {WINDOW_S}s
    outputs: [same, p50, p90, p99, avg, increase]
  - name: pods-away
    match: {{metric: "*"}}
    without: [k8s.pod.*, service.instance.id]
    stale: 5m
    outputs:
      counter: [same]
      updowncounter: [same]
      gauge: [sum, max, count_series]
      histogram: [same]
      exponential_histogram: [same]
"""

DELTA = {
    sdk.Counter: AggregationTemporality.DELTA,
    sdk.Histogram: AggregationTemporality.DELTA,
    sdk.UpDownCounter: AggregationTemporality.CUMULATIVE,
}


class Pod:
    """One process of a service: an SDK that sends the same to both."""

    def __init__(self, service, number, life, catchments):
        identity = {
            "service.name": service,
            "service.instance.id": f"{service}-{number}-{life}",
            "k8s.pod.name": f"{service}-{number}",
        }
        temporality = DELTA if number % 2 else {}

        def reader(catchment):
            endpoint = f"http://{catchment.doors['otlp_http']}/v1/metrics"
            exporter = OTLPMetricExporter(endpoint=endpoint, preferred_temporality=temporality)
            return PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER_MS)

        readers = [reader(catchment) for catchment in catchments]
        views = [View(instrument_name="rpc.duration", aggregation=ExponentialBucketHistogramAggregation())]
        resource = Resource.create(identity)
        self.provider = sdk.MeterProvider(readers, resource=resource, views=views, shutdown_on_exit=False)
        meter = self.provider.get_meter("fleet", "1")
        self.orders = meter.create_counter("shop.orders", unit="{order}")
        self.active = meter.create_up_down_counter("http.server.active_requests", unit="{request}")
        self.queue = meter.create_gauge("queue.depth", unit="{item}")
        self.duration = meter.create_histogram(
            "http.server.request.duration", unit="s", explicit_bucket_boundaries_advisory=BOUNDS
        )

        self.rpc = meter.create_histogram("rpc.duration", unit="ms")

    def work(self, draw):
        for country in COUNTRIES:
            self.orders.add(draw.randrange(9), {"country": country})
        for _ in range(30):
            attributes = {"http.route": draw.choice(ROUTES), "http.response.status_code": draw.choice(STATUSES)}
            self.duration.record(draw.randrange(1, 12 << 10) / 1024, attributes)
        for method in METHODS:
            # the same extremes everywhere: then all of them have one scale
            for value in (1, 12 << 10, *(draw.randrange(1, 12 << 10) for _ in range(9))):
                self.rpc.record(value / 1024, {"rpc.method": method})
        self.active.add(draw.randrange(-2, 9))
        self.queue.set(draw.randrange(100), {"queue": draw.choice(["a", "b"])})

    def flush(self):
        return self.provider.force_flush(20_000)

    def end(self):
        self.provider.shutdown()


def settled(catchments):
    """Waits until everything that came has been through a cut, everywhere."""

    def look():
        try:
            ledgers = [catchment.ledger() for catchment in catchments]
        except (urllib.error.URLError, OSError):
            return None
        assert all(ledger["balanced"] for ledger in ledgers), ledgers
        return ledgers if all(ledger["emitted"] == ledger["applied"] for ledger in ledgers) else None

    return poll(SHOWN_S, "all points to be through a cut", look, catchments[0].alive + catchments[1].alive)


def bare(vector, leave=("side", "instance", "__name__", "otel_scope_name", "otel_scope_version")):
    """{labels: value} without what tells the two apart."""
    out = {}
    for (_, labels), value in vector.items():
        key = frozenset((name, text) for name, text in labels if name not in leave)
        assert key not in out, f"twice: {key}"
        out[key] = value
    return out


def differ(raw, rules, tolerance=0.0):
    if not raw:
        return "nothing to compare"
    for key in raw.keys() | rules.keys():
        one, other = raw.get(key), rules.get(key)
        both_nan = one is not None and other is not None and math.isnan(one) and math.isnan(other)
        if one is None or other is None or not (both_nan or abs(one - other) <= tolerance * max(1.0, abs(one))):
            return f"{dict(key)}: raw {one!r}, rules {other!r}"
    return None


class Judge:
    def __init__(self, check, prometheus):
        self.check, self.prometheus = check, prometheus

    def equal(self, what, raw, rules, tolerance=0.0):
        """Both queries come to the same once Prometheus has scraped both."""
        deadline = time.monotonic() + SHOWN_S
        while True:
            problem = differ(bare(self.prometheus.query(raw)), bare(self.prometheus.query(rules)), tolerance)
            if problem is None or time.monotonic() > deadline:
                return self.check(what, problem)
            time.sleep(POLL_S)


def beside(what, prometheus, words):
    """Shown, and not compared: PromQL extrapolates by design."""
    for labels, value in sorted(bare(prometheus.query(words)).items(), key=str)[:2]:
        print(f"      {what} {dict(labels)}: {value}")


def totals(judge, after):
    raw, rules = '{side="raw"}', '{side="rules"}'
    judge.equal(f"{after}: counters", f"sum by (job, country) (shop_orders_total{raw})", f"shop_orders_total{rules}")
    levels = "http_server_active_requests"
    judge.equal(f"{after}: levels", f"sum by (job) ({levels}{raw})", f"{levels}{rules}")
    judge.equal(f"{after}: gauges, sum", f"sum by (job, queue) (queue_depth{raw})", f"queue_depth_sum{rules}")
    judge.equal(f"{after}: gauges, max", f"max by (job, queue) (queue_depth{raw})", f"queue_depth_max{rules}")
    judge.equal(f"{after}: members", f"count by (job, queue) (queue_depth{raw})", f"queue_depth_series{rules}")


def classes(name):
    """Raw series with the class of the status in place of the status, as the rule makes it."""
    label = 'http_response_status_code'
    return f'label_replace({name}{{side="raw"}}, "{label}", "${{1}}xx", "{label}", "([0-9]).*")'


def windows(judge, prometheus):
    metric, by = "http_server_request_duration", "job, http_route, http_response_status_code"
    rules = '{side="rules"}'
    for part in ("count", "sum"):
        name = f"{metric}_seconds_{part}"
        judge.equal(f"histograms: {part}", f"sum by ({by}) ({classes(name)})", f"{name}{rules}")
    bucket = f"{metric}_seconds_bucket"
    judge.equal("histograms: every bucket", f"sum by ({by}, le) ({classes(bucket)})", f"{bucket}{rules}")
    count = f"sum by ({by}) ({classes(f'{metric}_seconds_count')})"
    judge.equal("a window that holds all: increase", count, f"{metric}_increase{rules}")
    for quantile, name in QUANTILES:
        raw = f"histogram_quantile({quantile}, sum by ({by}, le) ({classes(bucket)}))"
        judge.equal(f"histogram_quantile({quantile}, …)", raw, f"{metric}_{name}_seconds{rules}", 1e-9)
    mean = f"sum by ({by}) ({classes(f'{metric}_seconds_sum')}) / {count}"
    judge.equal("means", mean, f"{metric}_avg_seconds{rules}", 1e-9)
    increase = f"sum by (job) (increase({metric}_seconds_count{{side=\"raw\"}}[30s]))"
    beside("PromQL's increase() of the raw series, which extrapolates,", prometheus, increase)
    beside("beside what the rule says,", prometheus, f"sum by (job) ({metric}_increase{rules})")


def natives(prometheus, words):
    """Native histograms of an instant query: {labels: {schema, zero_count, …}}."""
    url = f"http://{prometheus.address}/api/v1/query?" + urllib.parse.urlencode({"query": words})
    found = {}
    for sample in json.loads(get(url))["data"]["result"]:
        name = ("", frozenset(sample["metric"].items()))
        (labels,) = bare({name: 0})
        native = {"schema": 0, "zero_threshold": 0.0, "zero_count": 0.0, "offset": 0, "counts": []}
        for _, lower, upper, count in sample["histogram"][1]["buckets"]:
            lower, upper, count = float(lower), float(upper), float(count)
            if lower <= 0 <= upper:
                native |= {"zero_threshold": upper, "zero_count": count}
                continue
            # (base^(i-1), base^i], base = 2^(2^-schema)
            native["schema"] = round(-math.log2(math.log2(upper / lower)))
            place = round(math.log2(upper) * 2 ** native["schema"])
            if not native["counts"]:
                native["offset"] = place
            native["counts"] += [0.0] * (place - native["offset"] - len(native["counts"])) + [count]
        found[labels] = native
    return found


def native_windows(judge, prometheus, promql):
    """2.x interpolates linearly inside a native bucket, so that Prometheus 3's own function says what the quantile is."""
    metric, by = "rpc_duration", "job, rpc_method"
    rules = '{side="rules"}'
    for part in ("count", "sum"):
        of = f"histogram_{part}"
        raw = f'{of}(sum by ({by}) ({metric}_milliseconds{{side="raw"}}))'
        judge.equal(f"native histograms: {part}", raw, f"{of}({metric}_milliseconds{rules})")
    raw = natives(prometheus, f'sum by ({by}) ({metric}_milliseconds{{side="raw"}})')
    same = natives(prometheus, f"{metric}_milliseconds{rules}")
    judge.check("native histograms: every bucket", None if raw and raw == same else f"{raw}\n{same}")
    for quantile, name in QUANTILES:
        lines = "".join(json.dumps({"quantile": quantile, **native}) + "\n" for native in raw.values())
        answer = subprocess.run([promql], input=lines, text=True, capture_output=True, check=True).stdout.split()
        want = dict(zip(raw, map(float, answer)))
        have = bare(prometheus.query(f"{metric}_{name}_milliseconds{rules}"))
        judge.check(f"Prometheus 3's quantile {quantile} of native histograms", differ(want, have, 1e-9))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catchment", required=True)
    parser.add_argument("--promql", required=True, help="tools/interop-promql, built")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    check, draw = Checks(), random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(check, draw, arguments, folder)
        finally:
            end_all()
    print(f"{check.passed} passed, {check.failed} failed")
    sys.exit(1 if check.failed else 0)


def run(check, draw, arguments, folder):
    catchments = []
    for side, more in (("raw", ()), ("rules", ("--config", f"{folder}/rules.yaml"))):
        os.mkdir(f"{folder}/{side}")
        with open(f"{folder}/rules.yaml", "w", encoding="utf-8") as file:
            file.write(RULES)
        catchments.append(Catchment(arguments.catchment, f"{folder}/{side}", interval="1s", more=more))
    pages = [
        {
            "job_name": side,
            "honor_labels": True,
            "static_configs": [{"targets": [catchment.doors["prometheus"]], "labels": {"side": side}}],
        }
        for side, catchment in zip(("raw", "rules"), catchments)
    ]
    prometheus = Prometheus(catchments[0], folder, ["--enable-feature=native-histograms"], pages=pages)
    pods = [Pod(service, number, 0, catchments) for service in SERVICES for number in range(PODS)]
    # everything is sent within one interval of the rule that has quantiles, which began behind the start
    poll(WINDOW_S + 1, "the next window", lambda: (time.time() % WINDOW_S < 1) or None)
    begun = time.time()
    for _ in range(ROUNDS):
        for pod in pods:
            pod.work(draw)
            check.failed += not pod.flush()
    settled(catchments)
    took = time.time() - begun
    check("all is sent within one window", None if took < WINDOW_S - 3 else f"it took {took:.1f} s: the machine is too slow")
    judge = Judge(check, prometheus)
    totals(judge, "a fleet")
    # at the end of the window
    poll(WINDOW_S + 5, "the window's end", lambda: (time.time() > begun + WINDOW_S + 1) or None)
    windows(judge, prometheus)
    native_windows(judge, prometheus, arguments.promql)
    # some are replaced: what they counted stays, what replaced them counts whole
    for place, pod in enumerate(pods):
        if place % 3 == 0:
            pod.end()
            service, number = SERVICES[place // PODS], place % PODS
            pods[place] = Pod(service, number, 1, catchments)
    for pod in pods:
        pod.work(draw)
        check.failed += not pod.flush()
    settled(catchments)
    judge.equal(
        "pods that are replaced: counters",
        'sum by (job, country) (shop_orders_total{side="raw"})',
        'shop_orders_total{side="rules"}',
    )
    counts = [f'count({{side="{side}",__name__!~"target_info|up|scrape_.+"}})' for side in ("raw", "rules")]
    series = [int(sum(prometheus.query(words).values())) for words in counts]
    print(f"      series: {series[0]} raw, {series[1]} with rules")
    check("there are fewer series", None if series[1] < series[0] / 2 else f"{series}")
    for pod in pods:
        pod.end()
    ledgers = settled(catchments)
    for side, catchment, ledger in zip(("raw", "rules"), catchments, ledgers):
        check(f"{side}: the ledger balances", None if ledger["balanced"] else json.dumps(ledger))
        code = catchment.end()
        check(f"{side}: catchment ends with 0", None if code == 0 else f"{code}")


if __name__ == "__main__":
    main()
