// The official JavaScript SDK, carrying out a plan: see tools/interop_check.py, which writes plans and knows what must come
// out.
//
//     main.js PLAN    a JSON file; each line "round" on standard input records the next round, flushes it and answers
//                     "flushed"; the end of input shuts the SDK down and answers "done"
//
// Transports are grpc, http (protobuf) and json. Whatever the SDK logs from warnings on goes to standard error, and makes
// the exit code 1.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { DiagLogLevel, ValueType, diag } from "@opentelemetry/api";
import { OTLPMetricExporter as GrpcExporter } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { AggregationTemporalityPreference, OTLPMetricExporter as JsonExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";

const NEVER_MS = 3_600_000; // exports happen when the plan says so
const FLUSH_MS = 20_000;

let complaints = 0;
const complain = (...words) => {
  complaints += 1;
  console.error(...words);
};
const silent = () => {};
diag.setLogger({ error: complain, warn: complain, info: silent, debug: silent, verbose: silent }, DiagLogLevel.WARN);

function exporter(plan) {
  const options = {
    compression: plan.compression,
    temporalityPreference:
      plan.temporality === "delta" ? AggregationTemporalityPreference.DELTA : AggregationTemporalityPreference.CUMULATIVE,
  };
  if (plan.transport === "grpc") {
    return new GrpcExporter({ ...options, url: `http://${plan.address}` });
  }
  const Exporter = plan.transport === "json" ? JsonExporter : ProtobufExporter;
  return new Exporter({ ...options, url: `http://${plan.address}/v1/metrics` });
}

// What an instrument does with a value.
function recorder(meter, { kind, number, name, unit, description, bounds }) {
  const options = { unit, description, valueType: number === "int" ? ValueType.INT : ValueType.DOUBLE };
  switch (kind) {
    case "counter": {
      const made = meter.createCounter(name, options);
      return (value, attributes) => made.add(value, attributes);
    }
    case "updown": {
      const made = meter.createUpDownCounter(name, options);
      return (value, attributes) => made.add(value, attributes);
    }
    case "histogram": {
      const made = meter.createHistogram(name, { ...options, advice: { explicitBucketBoundaries: bounds } });
      return (value, attributes) => made.record(value, attributes);
    }
    case "exponential": {
      const made = meter.createHistogram(name, options);
      return (value, attributes) => made.record(value, attributes);
    }
    case "gauge": {
      const made = meter.createGauge(name, options);
      return (value, attributes) => made.record(value, attributes);
    }
  }
  const create = {
    observable_counter: () => meter.createObservableCounter(name, options),
    observable_updown: () => meter.createObservableUpDownCounter(name, options),
    observable_gauge: () => meter.createObservableGauge(name, options),
  }[kind];
  const observed = new Map();
  create().addCallback((result) => {
    for (const { value, attributes } of observed.values()) {
      result.observe(value, attributes);
    }
  });
  return (value, attributes) => observed.set(JSON.stringify(attributes), { value, attributes });
}

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const provider = new MeterProvider({
  resource: defaultResource().merge(resourceFromAttributes(plan.resource)),
  views: plan.instruments
    .filter(({ kind }) => kind === "exponential")
    .map(({ name }) => ({ instrumentName: name, aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } })),
  readers: [new PeriodicExportingMetricReader({ exporter: exporter(plan), exportIntervalMillis: NEVER_MS, exportTimeoutMillis: FLUSH_MS })],
});
const meter = provider.getMeter(plan.scope.name, plan.scope.version);
const records = new Map(plan.instruments.map((instrument) => [instrument.name, recorder(meter, instrument)]));
const rounds = plan.rounds.values();
for await (const _ of createInterface({ input: process.stdin })) {
  for (const { instrument, value, attributes } of rounds.next().value) {
    records.get(instrument)(value, attributes);
  }
  await provider.forceFlush({ timeoutMillis: FLUSH_MS });
  console.log("flushed");
}
await provider.shutdown({ timeoutMillis: FLUSH_MS });
console.log("done");
process.exitCode = complaints > 0 ? 1 : 0;
