"""The official Python SDK, carrying out a plan: see tools/interop_check.py, which writes plans and knows what must come out.

    interop_python.py PLAN      a JSON file; each line "round" on standard input records the next round, flushes it and
                                answers "flushed"; the end of input shuts the SDK down and answers "done"

Whatever the SDK logs from WARNING on goes to standard error, and makes the exit code 1.
"""
import json
import logging
import sys

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

NEVER_MS = 3_600_000  # exports happen when the plan says so
FLUSH_MS = 20_000

# "Delta" of the exporters' specification: what goes up and down stays cumulative
DELTA = {
    sdk.Counter: AggregationTemporality.DELTA,
    sdk.ObservableCounter: AggregationTemporality.DELTA,
    sdk.Histogram: AggregationTemporality.DELTA,
    sdk.UpDownCounter: AggregationTemporality.CUMULATIVE,
    sdk.ObservableUpDownCounter: AggregationTemporality.CUMULATIVE,
}


class Complaints(logging.Handler):
    """Keeps and prints what the SDK is not happy with."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record):
        self.count += 1
        print(f"{record.name}: {record.getMessage()}", file=sys.stderr)


def exporter(plan):
    temporality = DELTA if plan["temporality"] == "delta" else {}
    zipped = plan["compression"] == "gzip"
    if plan["transport"] == "grpc":
        compression = grpc.Compression.Gzip if zipped else grpc.Compression.NoCompression
        return GrpcExporter(
            endpoint=plan["address"], insecure=True, compression=compression, preferred_temporality=temporality
        )
    compression = Compression.Gzip if zipped else Compression.NoCompression
    return HttpExporter(
        endpoint=f"http://{plan['address']}/v1/metrics", compression=compression, preferred_temporality=temporality
    )


class Instrument:
    """One instrument of the plan; `record` does what its kind does with a value."""

    def __init__(self, meter, plan):
        name, kind = plan["name"], plan["kind"]
        words = {"unit": plan["unit"], "description": plan["description"]}
        self.observed = {}
        if kind == "counter":
            self.record = meter.create_counter(name, **words).add
        elif kind == "updown":
            self.record = meter.create_up_down_counter(name, **words).add
        elif kind == "histogram":
            self.record = meter.create_histogram(name, explicit_bucket_boundaries_advisory=plan["bounds"], **words).record
        elif kind == "exponential":
            self.record = meter.create_histogram(name, **words).record
        elif kind == "gauge":
            self.record = meter.create_gauge(name, **words).set
        else:
            create = {
                "observable_counter": meter.create_observable_counter,
                "observable_updown": meter.create_observable_up_down_counter,
                "observable_gauge": meter.create_observable_gauge,
            }[kind]
            self.record = self.observe
            create(name, callbacks=[lambda _: list(self.observed.values())], **words)

    def observe(self, value, attributes):
        self.observed[json.dumps(attributes, sort_keys=True)] = Observation(value, attributes)


def main():
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    views = [
        View(instrument_name=instrument["name"], aggregation=ExponentialBucketHistogramAggregation())
        for instrument in plan["instruments"]
        if instrument["kind"] == "exponential"
    ]
    reader = PeriodicExportingMetricReader(exporter(plan), export_interval_millis=NEVER_MS)
    provider = sdk.MeterProvider([reader], resource=Resource.create(plan["resource"]), views=views, shutdown_on_exit=False)
    meter = provider.get_meter(plan["scope"]["name"], plan["scope"]["version"])
    instruments = {instrument["name"]: Instrument(meter, instrument) for instrument in plan["instruments"]}
    rounds = iter(plan["rounds"])
    for _ in sys.stdin:
        for entry in next(rounds):
            instruments[entry["instrument"]].record(entry["value"], entry["attributes"])
        provider.force_flush(FLUSH_MS)
        print("flushed", flush=True)
    provider.shutdown()
    print("done", flush=True)
    return 1 if complaints.count else 0


if __name__ == "__main__":
    sys.exit(main())
