// The official Go SDK, carrying out a plan: see tools/interop_check.py, which writes plans and knows what must come out.
//
//	go-sdk PLAN     a JSON file; each line "round" on standard input records the next round, flushes it and answers
//	                "flushed"; the end of input shuts the SDK down and answers "done"
//
// Whatever the SDK reports to its error handler goes to standard error, and makes the exit code 1.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

const (
	never    = time.Hour // exports happen when the plan says so
	patience = 20 * time.Second
)

type plan struct {
	Address, Transport, Temporality, Compression string
	Resource                                     map[string]any
	Scope                                        struct{ Name, Version string }
	Instruments                                  []planned
	Rounds                                       [][]entry
}

type planned struct {
	Name, Kind, Number, Unit, Description string
	Bounds                                []float64
}

type entry struct {
	Instrument string
	Value      json.Number
	Attributes map[string]any
}

// What an instrument does with a value.
type record func(value json.Number, attributes []attribute.KeyValue)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	var mutex sync.Mutex
	complaints := 0
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mutex.Lock()
		defer mutex.Unlock()
		complaints++
		fmt.Fprintln(os.Stderr, err)
	}))
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.UseNumber()
	var plan plan
	if err := decoder.Decode(&plan); err != nil {
		return err
	}
	ctx := context.Background()
	provider, err := provide(ctx, &plan)
	if err != nil {
		return err
	}
	meter := provider.Meter(plan.Scope.Name, metric.WithInstrumentationVersion(plan.Scope.Version))
	records := map[string]record{}
	for _, instrument := range plan.Instruments {
		if records[instrument.Name], err = build(meter, instrument); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	for next := 0; lines.Scan(); next++ {
		for _, entry := range plan.Rounds[next] {
			records[entry.Instrument](entry.Value, attributes(entry.Attributes))
		}
		flush, cancel := context.WithTimeout(ctx, patience)
		err := provider.ForceFlush(flush)
		cancel()
		if err != nil {
			return err
		}
		fmt.Println("flushed")
	}
	end, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := provider.Shutdown(end); err != nil {
		return err
	}
	fmt.Println("done")
	mutex.Lock()
	defer mutex.Unlock()
	if complaints > 0 {
		return fmt.Errorf("%d complaints", complaints)
	}
	return nil
}

func provide(ctx context.Context, plan *plan) (*sdk.MeterProvider, error) {
	temporality := sdk.DefaultTemporalitySelector
	if plan.Temporality == "delta" {
		temporality = delta
	}
	zipped := plan.Compression == "gzip"
	var exporter sdk.Exporter
	var err error
	if plan.Transport == "grpc" {
		options := []otlpmetricgrpc.Option{
			otlpmetricgrpc.WithEndpoint(plan.Address),
			otlpmetricgrpc.WithInsecure(),
			otlpmetricgrpc.WithTemporalitySelector(temporality),
		}
		if zipped {
			options = append(options, otlpmetricgrpc.WithCompressor("gzip"))
		}
		exporter, err = otlpmetricgrpc.New(ctx, options...)
	} else {
		options := []otlpmetrichttp.Option{
			otlpmetrichttp.WithEndpoint(plan.Address),
			otlpmetrichttp.WithInsecure(),
			otlpmetrichttp.WithTemporalitySelector(temporality),
		}
		if zipped {
			options = append(options, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		}
		exporter, err = otlpmetrichttp.New(ctx, options...)
	}
	if err != nil {
		return nil, err
	}
	options := []sdk.Option{sdk.WithReader(sdk.NewPeriodicReader(exporter, sdk.WithInterval(never)))}
	from, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attributes(plan.Resource)...))
	if err != nil {
		return nil, err
	}
	options = append(options, sdk.WithResource(from))
	for _, instrument := range plan.Instruments {
		if instrument.Kind == "exponential" {
			exponential := sdk.Stream{Aggregation: sdk.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}}
			options = append(options, sdk.WithView(sdk.NewView(sdk.Instrument{Name: instrument.Name}, exponential)))
		}
	}
	return sdk.NewMeterProvider(options...), nil
}

// "Delta" of the exporters' specification: what goes up and down stays cumulative.
func delta(kind sdk.InstrumentKind) metricdata.Temporality {
	switch kind {
	case sdk.InstrumentKindCounter, sdk.InstrumentKindObservableCounter, sdk.InstrumentKindHistogram:
		return metricdata.DeltaTemporality
	default:
		return metricdata.CumulativeTemporality
	}
}

func build(meter metric.Meter, plan planned) (record, error) {
	if plan.Number == "int" {
		return makeInt(meter, plan)
	}
	return makeDouble(meter, plan)
}

func makeInt(meter metric.Meter, plan planned) (record, error) {
	ctx := context.Background()
	unit, description := metric.WithUnit(plan.Unit), metric.WithDescription(plan.Description)
	switch plan.Kind {
	case "counter":
		made, err := meter.Int64Counter(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Add(ctx, whole(v), metric.WithAttributes(a...)) }, err
	case "updown":
		made, err := meter.Int64UpDownCounter(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Add(ctx, whole(v), metric.WithAttributes(a...)) }, err
	case "histogram":
		bounds := metric.WithExplicitBucketBoundaries(plan.Bounds...)
		made, err := meter.Int64Histogram(plan.Name, unit, description, bounds)
		return func(v json.Number, a []attribute.KeyValue) { made.Record(ctx, whole(v), metric.WithAttributes(a...)) }, err
	case "exponential":
		made, err := meter.Int64Histogram(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Record(ctx, whole(v), metric.WithAttributes(a...)) }, err
	case "gauge":
		made, err := meter.Int64Gauge(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Record(ctx, whole(v), metric.WithAttributes(a...)) }, err
	}
	observed := newBoard[int64]()
	callback := metric.WithInt64Callback(func(_ context.Context, observer metric.Int64Observer) error {
		observed.each(func(v int64, a []attribute.KeyValue) { observer.Observe(v, metric.WithAttributes(a...)) })
		return nil
	})
	var err error
	switch plan.Kind {
	case "observable_counter":
		_, err = meter.Int64ObservableCounter(plan.Name, unit, description, callback)
	case "observable_updown":
		_, err = meter.Int64ObservableUpDownCounter(plan.Name, unit, description, callback)
	case "observable_gauge":
		_, err = meter.Int64ObservableGauge(plan.Name, unit, description, callback)
	default:
		err = fmt.Errorf("no instrument is called %q", plan.Kind)
	}
	return func(v json.Number, a []attribute.KeyValue) { observed.set(whole(v), a) }, err
}

func makeDouble(meter metric.Meter, plan planned) (record, error) {
	ctx := context.Background()
	unit, description := metric.WithUnit(plan.Unit), metric.WithDescription(plan.Description)
	switch plan.Kind {
	case "counter":
		made, err := meter.Float64Counter(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Add(ctx, double(v), metric.WithAttributes(a...)) }, err
	case "updown":
		made, err := meter.Float64UpDownCounter(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Add(ctx, double(v), metric.WithAttributes(a...)) }, err
	case "histogram":
		bounds := metric.WithExplicitBucketBoundaries(plan.Bounds...)
		made, err := meter.Float64Histogram(plan.Name, unit, description, bounds)
		return func(v json.Number, a []attribute.KeyValue) { made.Record(ctx, double(v), metric.WithAttributes(a...)) }, err
	case "exponential":
		made, err := meter.Float64Histogram(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Record(ctx, double(v), metric.WithAttributes(a...)) }, err
	case "gauge":
		made, err := meter.Float64Gauge(plan.Name, unit, description)
		return func(v json.Number, a []attribute.KeyValue) { made.Record(ctx, double(v), metric.WithAttributes(a...)) }, err
	}
	observed := newBoard[float64]()
	callback := metric.WithFloat64Callback(func(_ context.Context, observer metric.Float64Observer) error {
		observed.each(func(v float64, a []attribute.KeyValue) { observer.Observe(v, metric.WithAttributes(a...)) })
		return nil
	})
	var err error
	switch plan.Kind {
	case "observable_counter":
		_, err = meter.Float64ObservableCounter(plan.Name, unit, description, callback)
	case "observable_updown":
		_, err = meter.Float64ObservableUpDownCounter(plan.Name, unit, description, callback)
	case "observable_gauge":
		_, err = meter.Float64ObservableGauge(plan.Name, unit, description, callback)
	default:
		err = fmt.Errorf("no instrument is called %q", plan.Kind)
	}
	return func(v json.Number, a []attribute.KeyValue) { observed.set(double(v), a) }, err
}

// What an observable instrument would see: the last value for each set of attributes.
type board[N int64 | float64] struct {
	mutex  sync.Mutex
	values map[attribute.Distinct]N
	sets   map[attribute.Distinct][]attribute.KeyValue
}

func newBoard[N int64 | float64]() *board[N] {
	return &board[N]{values: map[attribute.Distinct]N{}, sets: map[attribute.Distinct][]attribute.KeyValue{}}
}

func (b *board[N]) set(value N, attributes []attribute.KeyValue) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	set := attribute.NewSet(attributes...)
	b.values[set.Equivalent()], b.sets[set.Equivalent()] = value, attributes
}

func (b *board[N]) each(visit func(N, []attribute.KeyValue)) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for key, value := range b.values {
		visit(value, b.sets[key])
	}
}

func whole(number json.Number) int64 {
	value, err := number.Int64()
	if err != nil {
		panic(err)
	}
	return value
}

func double(number json.Number) float64 {
	value, err := number.Float64()
	if err != nil {
		panic(err)
	}
	return value
}

func attributes(plan map[string]any) []attribute.KeyValue {
	var all []attribute.KeyValue
	for key, value := range plan {
		switch value := value.(type) {
		case string:
			all = append(all, attribute.String(key, value))
		case bool:
			all = append(all, attribute.Bool(key, value))
		case json.Number:
			if strings.Contains(value.String(), ".") {
				all = append(all, attribute.Float64(key, double(value)))
			} else {
				all = append(all, attribute.Int64(key, whole(value)))
			}
		case []any:
			var texts []string
			for _, item := range value {
				texts = append(texts, item.(string))
			}
			all = append(all, attribute.StringSlice(key, texts))
		default:
			panic(fmt.Sprintf("no attribute has the type of %v", value))
		}
	}
	return all
}
