// Quantiles of native histograms as Prometheus 3 computes them: its own function, called.
//
//	promql      each line of standard input is a histogram and a quantile, as JSON; each line of the answer is the quantile
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// Asked is a line of standard input; buckets are numbered as Prometheus does it, by their upper bound.
type asked struct {
	Quantile      float64   `json:"quantile"`
	Schema        int32     `json:"schema"`
	ZeroThreshold float64   `json:"zero_threshold"`
	ZeroCount     float64   `json:"zero_count"`
	Offset        int32     `json:"offset"`
	Counts        []float64 `json:"counts"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line asked
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		native := &histogram.FloatHistogram{
			Schema:          line.Schema,
			ZeroThreshold:   line.ZeroThreshold,
			ZeroCount:       line.ZeroCount,
			Count:           line.ZeroCount,
			PositiveSpans:   []histogram.Span{{Offset: line.Offset, Length: uint32(len(line.Counts))}},
			PositiveBuckets: line.Counts,
		}
		for _, count := range line.Counts {
			native.Count += count
		}
		value, _ := promql.HistogramQuantile(line.Quantile, native, "", posrange.PositionRange{})
		fmt.Printf("%.17g\n", value)
	}
	if lines.Err() != nil {
		fmt.Fprintln(os.Stderr, lines.Err())
		os.Exit(1)
	}
}
