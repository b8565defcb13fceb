#!/usr/bin/env python3
"""One attribute dropped, 100,000 series into 1,000: CPU seconds a million points of Catchment, vmagent and the Collector.

Each program runs on one core and takes OTLP over HTTP from the same generator on the other, with the same seed; what leaves
goes to a server that reads and discards. A round runs all programs, one after the other. Measured is utime + stime of the
whole process from the end of the births on, for long enough that intervals of 10 s end in it. The best round of each is
shown. Standard library only.

    tools/compare_peers.py --catchment target/release/catchment [--vmagent PATH] [--collector PATH]

vmagent aggregates by `-streamAggr.config` (`total` of cumulative sums, `sum_samples` of delta sums). The Collector needs the
OTLP receiver, the processors deltatocumulative, interval, groupbyattrs and transform, and the OTLP/HTTP exporter, as its
`contrib` distribution has them; its transform sums what an interval kept, once for each interval.
"""
import argparse
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 30
SEND_TIMEOUT_S = 600
# words of the generator: 100 series of each metric of each resource
SHAPE = ["--series", "100000", "--resources", "100", "--metrics", "10"]
DROPPED = ["k8s.pod.name", "http.route", "http.request.method", "server.address", "cloud.availability_zone"]
# name, kind, attributes of a point
ROWS = [("delta sums, 1 attribute", "delta-sum", 1), ("cumulative sums, 1 attribute", "cumulative-sum", 1),
        ("delta sums, 5 attributes", "delta-sum", 5), ("cumulative sums, 5 attributes", "cumulative-sum", 5)]


class Discard(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything, and counts."""
    protocol_version = "HTTP/1.1"
    bytes = 0

    def do_POST(self):
        left = int(self.headers.get("Content-Length", 0))
        Discard.bytes += left
        self.rfile.read(left)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def discarding():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Discard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def catchment(options, _, door, discard, attributes, __):
    keys = ",".join(DROPPED[:attributes])
    return [options.catchment, "run", "--shards", "1", "--interval", "10s", "--otlp-http", f"127.0.0.1:{door}",
            "--otlp-grpc", "off", "--prometheus", "off", "--admin", "off", "--out",
            f"otlp-http://127.0.0.1:{discard}", "--without", keys], "/v1/metrics"


def vmagent(options, folder, door, discard, attributes, kind):
    output = "sum_samples" if kind == "delta-sum" else "total"
    path = os.path.join(folder, "aggregation.yaml")
    with open(path, "w") as file:
        json.dump([{"interval": "10s", "without": DROPPED[:attributes], "outputs": [output]}], file)
    return [options.vmagent, f"-httpListenAddr=127.0.0.1:{door}", f"-remoteWrite.url=http://127.0.0.1:{discard}/",
            f"-remoteWrite.tmpDataPath={folder}/queue", f"-streamAggr.config={path}"], "/opentelemetry/v1/metrics"


def collector(options, folder, door, discard, attributes, kind):
    processors = ["interval", "groupbyattrs", "transform"]
    if kind == "delta-sum":
        processors.insert(0, "deltatocumulative")
    # every attribute of the generator's points is dropped, so none is kept
    sums = {"context": "metric", "statements": ['aggregate_on_attributes("sum", [])']}
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{door}"}}}},
        "processors": {"deltatocumulative": {"max_streams": 1_000_000}, "interval": {"interval": "10s"},
                       "groupbyattrs": {}, "transform": {"metric_statements": [sums]}},
        "exporters": {"otlp_http": {"endpoint": f"http://127.0.0.1:{discard}", "compression": "none"}},
        "service": {"telemetry": {"logs": {"level": "error"}, "metrics": {"level": "none"}},
                    "pipelines": {"metrics": {"receivers": ["otlp"], "processors": processors,
                                              "exporters": ["otlp_http"]}}},
    }
    config["processors"] = {name: config["processors"][name] for name in processors}
    path = os.path.join(folder, "collector.yaml")
    with open(path, "w") as file:
        json.dump(config, file)
    return [options.collector, "--config", path], "/v1/metrics"


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def answers(process, port):
    until = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def generate(options, url, kind, attributes, words):
    command = [*options.load.split(), "--endpoint", url, *SHAPE, "--kind", kind, "--attributes", str(attributes), "--cpu",
               str(options.generator_cpu), "--json", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SEND_TIMEOUT_S)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)}: exit {done.returncode}")
    return json.loads(done.stdout)


def measure(options, make, kind, attributes, discard):
    """CPU seconds per million acknowledged points, points, and bytes that left."""
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "w+") as log:
        door = free_port()
        command, path = make(options, folder, door, discard, attributes, kind)
        process = subprocess.Popen(["taskset", "-c", str(options.server_cpu), *command], stdout=log,
                                   stderr=subprocess.STDOUT)
        try:
            if not answers(process, door):
                log.seek(0)
                sys.exit(f"{' '.join(command)} did not start:\n{log.read()}")
            url = f"http://127.0.0.1:{door}{path}"
            generate(options, url, kind, attributes, ["--exports", "2"])
            before, left = cpu_seconds(process.pid), Discard.bytes
            result = generate(options, url, kind, attributes, ["--duration", f"{options.seconds}s"])
            used, left = cpu_seconds(process.pid) - before, Discard.bytes - left
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    points = max(1, result["acknowledged_points"])
    if not result["exact"]:
        print(f"note: {result['failed_points']} points failed, {result['rejected_points']} rejected", file=sys.stderr)
    return used / points * 1e6, points, left


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catchment", required=True, help="the release binary")
    parser.add_argument("--vmagent", help="its binary")
    parser.add_argument("--collector", help="a Collector's binary")
    parser.add_argument("--load", help="generator command [default: CATCHMENT load]")
    parser.add_argument("--rows", default="", help="comma-separated: rows whose names contain one of these")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the best of each is shown")
    parser.add_argument("--seconds", type=int, default=21, help="how long each is measured, as fast as it answers")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--generator-cpu", type=int, default=1)
    options = parser.parse_args()
    options.load = options.load or f"{options.catchment} load"
    programs = [("Catchment", catchment)]
    programs += [("vmagent", vmagent)] if options.vmagent else []
    programs += [("Collector", collector)] if options.collector else []
    wanted = [word for word in options.rows.split(",") if word]
    discard = discarding()
    print("| points | program | CPU-s/M | times Catchment | points, M | bytes that left |\n|---|---|---|---|---|---|")
    for name, kind, attributes in ROWS:
        if wanted and not any(word in name for word in wanted):
            continue
        rounds = [[measure(options, make, kind, attributes, discard) for _, make in programs]
                  for _ in range(options.rounds)]
        best = [min(costs) for costs in zip(*rounds)]
        for (program, _), (cost, points, left) in zip(programs, best):
            print(f"| {name} | {program} | {cost:.4f} | {cost / max(best[0][0], 1e-9):.1f} | {points / 1e6:.1f} | {left} |",
                  flush=True)


if __name__ == "__main__":
    main()
