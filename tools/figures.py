#!/usr/bin/env python3
"""The figures table: CPU seconds of the whole server process per million points, and the ratio to the null server.

Runs each row against the null server and against `catchment run`, interleaved, generator on one core and server on the
other, and prints a markdown table. Standard library only. Knows command lines and /proc, nothing of metrics.

    tools/figures.py --catchment target/release/catchment --examples target/release/examples [--rows 1k,100k] [--points 20e6]

A row is measured as: start the server pinned to its core, send warm-up exports (no churn), read utime + stime of the
process, send the measured points (same seed, so the same series), read again. CPU times come in clock ticks of 10 ms:
keep --points large enough that a row takes seconds.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 30
SEND_TIMEOUT_S = 600

# name, series, generator's arguments, server's further arguments, most that the ratio may be
ROWS = [
    ("1k same", 1_000, [], [], 2.8),
    ("100k same", 100_000, [], [], 3.2),
    ("1M same", 1_000_000, [], [], 3.9),
    ("1k shuffled", 1_000, ["--order", "shuffled"], [], 4.0),
    ("100k shuffled", 100_000, ["--order", "shuffled"], [], 5.5),
    ("1M shuffled", 1_000_000, ["--order", "shuffled"], [], 6.0),
    ("100k churn 1%", 100_000, ["--churn", "0.01"], [], None),
    ("100k cumulative", 100_000, ["--kind", "cumulative-sum"], [], None),
    ("100k gauge", 100_000, ["--kind", "gauge"], [], None),
    ("100k histogram", 100_000, ["--kind", "delta-histogram"], [], None),
    # the null server costs most what it does per read: with 64 calls in flight it reads many at once, with 8 a few
    ("100k batch 10 gRPC", 100_000, ["--batch", "10", "--in-flight", "8"], [], 5.5),
    ("100k batch 10 gRPC, 64 in flight", 100_000, ["--batch", "10", "--in-flight", "64"], [], None),
    ("100k batch 10 HTTP/1.1", 100_000, ["--batch", "10", "--connections", "16", "http"], [], 2.6),
]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Server:
    """A pinned server process with a ports file."""

    def __init__(self, command, cpu):
        self.directory = tempfile.TemporaryDirectory()
        path = os.path.join(self.directory.name, "ports.json")
        command = ["taskset", "-c", str(cpu), *command, "--ports-file", path]
        self.log = open(os.path.join(self.directory.name, "log"), "w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        until = time.monotonic() + START_TIMEOUT_S
        while not os.path.exists(path):
            if self.process.poll() is not None or time.monotonic() > until:
                self.log.seek(0)
                sys.exit(f"{' '.join(command)} did not start:\n{self.log.read()}")
            time.sleep(0.01)
        with open(path) as file:
            self.ports = json.load(file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.directory.cleanup()


def generate(options, server, series, arguments, exports):
    http = "http" in arguments
    endpoint = f"http://{server.ports['otlp_http']}" if http else f"grpc://{server.ports['otlp_grpc']}"
    command = [*options.load, "--endpoint", endpoint, "--series", str(series), "--cpu", str(options.generator_cpu),
               "--exports", str(exports), "--seed", str(options.seed), "--json",
               *[argument for argument in arguments if argument != "http"]]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SEND_TIMEOUT_S)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)}: exit {done.returncode}")
    result = json.loads(done.stdout)
    if not result["exact"]:
        print(f"note: {result['failed_points']} points failed, {result['rejected_points']} rejected", file=sys.stderr)
    return result


def without_churn(arguments):
    if "--churn" not in arguments:
        return arguments
    at = arguments.index("--churn")
    return arguments[:at] + arguments[at + 2:]


def measure(options, command, series, arguments):
    """CPU seconds per million acknowledged points, and the generator's result."""
    with Server(command, options.server_cpu) as server:
        generate(options, server, series, without_churn(arguments), 2)
        before = cpu_seconds(server.process.pid)
        exports = max(2, round(options.points / series))
        result = generate(options, server, series, arguments, exports)
        used = cpu_seconds(server.process.pid) - before
    points = max(1, result["acknowledged_points"])
    return used / points * 1e6, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catchment", help="the release binary; without it only the null server is measured")
    parser.add_argument("--examples", required=True, help="folder with null_server and load")
    parser.add_argument("--load", help="generator command, as in 'target/release/catchment load' "
                        "[default: the example]")
    parser.add_argument("--rows", default="", help="comma-separated: rows whose names contain one of these")
    parser.add_argument("--points", type=float, default=20e6, help="points measured in each round")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the median is shown")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--generator-cpu", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server-args", default="", help="further arguments of catchment run")
    options = parser.parse_args()
    options.load = options.load.split() if options.load else [os.path.join(options.examples, "load")]
    null = [os.path.join(options.examples, "null_server")]
    wanted = [word for word in options.rows.split(",") if word]
    print("| row | null, CPU-s/M | catchment, CPU-s/M | ratio | at most | points/s | limited by |")
    print("|---|---|---|---|---|---|---|")
    for name, series, arguments, more, limit in ROWS:
        if wanted and not any(word in name for word in wanted):
            continue
        of_null, of_catchment, result = [], [], None
        for _ in range(options.rounds):
            cost, result = measure(options, null, series, arguments)
            of_null.append(cost)
            if options.catchment:
                command = [options.catchment, "run", "--shards", "1", "--interval", "10s", "--otlp-grpc",
                           "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--prometheus", "127.0.0.1:0", "--admin",
                           "127.0.0.1:0", *more, *options.server_args.split()]
                cost, result = measure(options, command, series, arguments)
                of_catchment.append(cost)
        base = statistics.median(of_null)
        cost = statistics.median(of_catchment) if of_catchment else None
        shown = f"{cost:.4f} | {cost / max(base, 1e-9):.2f}" if cost is not None else "- | -"
        print(f"| {name} | {base:.4f} | {shown} | {limit or '-'} | {result['points_per_s']:.0f} | "
              f"{result['limited_by']} |", flush=True)


if __name__ == "__main__":
    main()
