// The official OpenTelemetry Collector with the parts that the checks need: its OTLP receiver, and its two OTLP exporters
// in front of Catchment. See tools/interop_check.py.
//
//	collector grpc|http ADDRESS     the protocol of the exporter, and where Catchment listens; everything else is as the
//	                                Collector has it by default (gzip, a queue, retries)
//
// Says "listening ADDRESS" (OTLP/gRPC) once it takes metrics; SIGTERM makes it export what it has and end.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

const poll = 20 * time.Millisecond

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(protocol, address string) error {
	exporters := map[string]string{
		"grpc": "otlp_grpc: {endpoint: '" + address + "', tls: {insecure: true}}",
		"http": "otlp_http: {endpoint: 'http://" + address + "'}",
	}
	names := map[string]string{"grpc": "otlp_grpc", "http": "otlp_http"}
	door, err := freePort()
	if err != nil {
		return err
	}
	config := "yaml:{receivers: {otlp: {protocols: {grpc: {endpoint: '" + door + "'}}}}, exporters: {" + exporters[protocol] +
		"}, service: {telemetry: {logs: {level: warn}, metrics: {level: none}}, pipelines: {metrics: {receivers: [otlp], exporters: [" +
		names[protocol] + "]}}}}"
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "interop-collector", Version: "1"},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				URIs:              []string{config},
				ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
			},
		},
	})
	if err != nil {
		return err
	}
	go func() {
		for collector.GetState() != otelcol.StateRunning {
			time.Sleep(poll)
		}
		fmt.Println("listening " + door)
	}()
	return collector.Run(context.Background())
}

func factories() (otelcol.Factories, error) {
	receivers, err := otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory())
	if err != nil {
		return otelcol.Factories{}, err
	}
	exporters, err := otelcol.MakeFactoryMap[exporter.Factory](otlpexporter.NewFactory(), otlphttpexporter.NewFactory())
	telemetry := otelconftelemetry.NewFactory()
	return otelcol.Factories{Receivers: receivers, Exporters: exporters, Telemetry: telemetry}, err
}

// A port that was free a moment ago: the receiver does not say which one it took for port 0.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
