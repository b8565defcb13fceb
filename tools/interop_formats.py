"""The scrape formats, read by those who define them: prometheus_client's OpenMetrics parser, and a real Prometheus with
native histograms on.

Knows OTLP and what was sent; knows nothing of Catchment but its command line, ports file and pages. Start it through
tools/interop.

    this ── OTLP/HTTP ──► catchment ◄── text, OpenMetrics ── prometheus_client's parsers
                                    ◄── protobuf ── prometheus ◄── histogram_quantile ── here
"""
import argparse
import math
import random
import sys
import tempfile
import time
import urllib.request

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from interop_check import SHOWN_S, Catchment, Checks, Prometheus, end_all, poll

SCALE = 5
VALUES = 20_000
QUANTILES = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999]
TRACE, SPAN = bytes(range(16)), bytes(range(8))
NASTY = ["plain", 'q"uote', "back\\slash", "line\nfeed", "carriage\rreturn", "} 1\n# EOF", "a,b=\"c\"", "Zürich 温度 😱", "\t # {x=\"y\"}"]
OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


def attributes(**pairs):
    return [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in pairs.items()]


def request(values):
    """One of each kind, cumulative; labels of all sorts; exemplars; an exponential histogram of `values`."""
    message = ExportMetricsServiceRequest()
    resource = message.resource_metrics.add()
    resource.resource.attributes.extend(attributes(**{"service.name": "formats", "service.instance.id": "1", "host.name": "h"}))
    metrics = resource.scope_metrics.add().metrics
    now = time.time_ns()
    start = now - 1_000_000_000

    def add(name, unit=""):
        return metrics.add(name=name, unit=unit, description='what "it" is, \\ and\nmore')

    counter = add("formats.sent", "By").sum
    counter.is_monotonic, counter.aggregation_temporality = True, 2
    gauge = add("formats.level", "1").gauge
    histogram = add("formats.took", "s").histogram
    histogram.aggregation_temporality = 2
    for number, text in enumerate(NASTY):
        times = {"start_time_unix_nano": start, "time_unix_nano": now, "attributes": attributes(**{"what.is": text})}
        point = counter.data_points.add(as_int=number, **times)
        # prometheus_client takes an escaped quote inside an exemplar for the end of its label
        user = attributes(user=text.replace('"', "'"))
        point.exemplars.add(as_int=1, time_unix_nano=now, trace_id=TRACE, span_id=SPAN, filtered_attributes=user)
        gauge.data_points.add(as_double=number / 8 - 0.5, time_unix_nano=now, attributes=times["attributes"])
        point = histogram.data_points.add(
            count=6, sum=number + 0.5, bucket_counts=[1, 2, 3], explicit_bounds=[0.5, 1e6], **times
        )
        point.exemplars.add(as_double=0.75, time_unix_nano=now, trace_id=TRACE, span_id=SPAN)
    exponential = add("formats.native", "s").exponential_histogram
    exponential.aggregation_temporality = 2
    base = 2 ** (2**-SCALE)
    indexes = [math.ceil(math.log(value, base)) - 1 for value in values]
    low = min(indexes)
    counts = [0] * (max(indexes) - low + 1)
    for index in indexes:
        counts[index - low] += 1
    point = exponential.data_points.add(
        start_time_unix_nano=start, time_unix_nano=now, count=len(values), sum=sum(values), scale=SCALE
    )
    point.positive.offset = low
    point.positive.bucket_counts.extend(counts)
    return message


def page(catchment, accept):
    """The whole page; broken off ones are asked for again."""

    def look():
        asked = urllib.request.Request(f"http://{catchment.doors['prometheus']}/metrics", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.headers["Content-Type"], answer.read().decode()
        except (OSError, ValueError):
            return None

    return poll(20, f"a page of {accept}", look, catchment.alive)


def series(families):
    """{(sample name, labels): value}, starts apart; and which samples have exemplars."""
    out, starts, marked = {}, 0, set()
    for family in families:
        for sample in family.samples:
            if sample.name.endswith("_created"):
                starts += 1
                continue
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in out, f"twice: {key}"
            out[key] = sample.value
            if sample.exemplar:
                marked.add(key)
    return out, starts, marked


def differ(left, right):
    wrong = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)]
    return f"{len(wrong)} series differ, as {wrong[0]}" if wrong else None


def parsers(check, catchment):
    kind, text = page(catchment, "text/plain;version=0.0.4")
    check("text: its content type", None if kind.startswith("text/plain; version=0.0.4") else kind)
    kind, openly = page(catchment, OPEN_METRICS)
    check("OpenMetrics: its content type", None if kind.startswith("application/openmetrics-text; version=1.0.0") else kind)
    try:
        families = list(open_metrics(openly))
    except ValueError as error:
        return check("OpenMetrics: prometheus_client reads the page", str(error))
    check("OpenMetrics: prometheus_client reads the page", None if families else "no families")
    have, starts, marked = series(families)
    plain, _, _ = series(plain_text(text))
    check("OpenMetrics and text have the same series and values", differ(plain, have))
    texts = {labels for name, labels in have if name == "formats_sent_bytes_total"}
    got = sorted(dict(labels)["what_is"] for labels in texts)
    check("labels come back whatever their bytes", None if got == sorted(NASTY) else f"{got}")
    want = 2 * len(NASTY) + 1
    check("every counter and histogram has a start", None if starts == want else f"{starts} of {want}")
    want = 2 * len(NASTY)
    check("exemplars are on counters and buckets", None if len(marked) == want else f"{len(marked)} of {want}")
    types = {family.name: family.type for family in families}
    wanted = {"formats_sent_bytes": "counter", "formats_level_ratio": "gauge", "formats_took_seconds": "histogram", "target": "info"}
    check("types", None if wanted.items() <= types.items() else f"{types}")
    units = {family.name: family.unit for family in families if family.unit}
    check("units", None if units.get("formats_sent_bytes") == "bytes" else f"{units}")


def quantiles(check, catchment, folder, values):
    prometheus = Prometheus(catchment, folder, ["--enable-feature=native-histograms"])

    def shown():
        found = prometheus.query("histogram_count(formats_native_seconds)")
        return found or None

    count = poll(SHOWN_S, "the native histogram in Prometheus", shown, prometheus.alive)
    check("Prometheus has it as one native series", None if list(count.values()) == [len(values)] else f"{count}")
    classic = prometheus.query("formats_native_seconds_bucket")
    check("and not as a classic one", f"{classic}" if classic else None)
    ranked = sorted(values)
    width = 2 ** (2**-SCALE)
    for quantile in QUANTILES:
        have = list(prometheus.query(f"histogram_quantile({quantile}, formats_native_seconds)").values())
        true = ranked[min(len(ranked) - 1, math.ceil(quantile * len(ranked)) - 1)]
        right = len(have) == 1 and true / width <= have[0] <= true * width
        check(f"quantile {quantile}: within a bucket of the true one", None if right else f"{have}, true {true}")
    total = list(prometheus.query("sum(formats_sent_bytes_total)").values())
    check("counters come through protobuf", None if total == [sum(range(len(NASTY)))] else f"{total}")
    labels = {dict(labels).get("what_is") for _, labels in prometheus.query("formats_sent_bytes_total")}
    check("labels come through protobuf whatever their bytes", None if labels == set(NASTY) else f"{labels}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catchment", required=True)
    arguments = parser.parse_args()
    check = Checks()
    draw = random.Random(7)
    values = [draw.lognormvariate(0, 0.7) for _ in range(VALUES)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            catchment = Catchment(arguments.catchment, folder, more=("--prometheus-created", "on"))
            body = request(values).SerializeToString()
            asked = urllib.request.Request(
                f"http://{catchment.doors['otlp_http']}/v1/metrics", body, {"Content-Type": "application/x-protobuf"}
            )
            urllib.request.urlopen(asked, timeout=20).read()
            poll(SHOWN_S, "the first cut", lambda: catchment.ledger()["emitted"] or None, catchment.alive)
            parsers(check, catchment)
            quantiles(check, catchment, folder, values)
            code = catchment.end()
            check("catchment ends with 0", None if code == 0 else f"{code}")
        finally:
            end_all()
    print(f"{check.passed} passed, {check.failed} failed")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
