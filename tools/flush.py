#!/usr/bin/env python3
"""What a flush costs ingest: its rate during flushes against outside of them, and how long turns of the loop take.

Starts the null server as a destination, `catchment run --shards 1` on one core and the generator on the other, and looks
at the admin door ten times a second. A look in which series were merged or encoded since the one before belongs to a
flush. The first seconds, in which series are born, do not count. Standard library only.

    tools/flush.py --catchment target/release/catchment --examples target/release/examples [--temporality delta|none]
"""
import argparse
import collections
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request

WARM_S = 13
START_TIMEOUT_S = 10
LOOK_S = 0.1
COUNTS = ["catchment_merge_seconds_total", "catchment_encode_seconds_total", "catchment_series_merged_total",
          "catchment_points_encoded_total"]


def started(folder, name, command):
    """A process with a ports file, and its ports."""
    path = os.path.join(folder, name)
    process = subprocess.Popen([*command, "--ports-file", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + START_TIMEOUT_S
    while not os.path.exists(path):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{' '.join(command)} did not start")
        time.sleep(0.01)
    with open(path) as file:
        return process, json.load(file)


def look(admin):
    """Time, points received, the histogram of turns, and COUNTS."""
    def get(path):
        return urllib.request.urlopen(f"http://{admin}{path}", timeout=10).read().decode()
    received, page = json.loads(get("/ledger"))["received"], get("/metrics")
    turns = {m[1]: int(m[2]) for m in re.finditer(r'catchment_loop_turn_seconds_bucket\{shard="0",le="([^"]+)"\} (\d+)', page)}
    counts = [float(re.search(name + r'\{shard="0"\} (\S+)', page)[1]) for name in COUNTS]
    return time.monotonic(), received, turns, counts


def quantile(turns, share):
    for bound in sorted(turns, key=lambda bound: float(bound.replace("+Inf", "inf"))):
        if turns[bound] >= share * turns["+Inf"]:
            return bound
    return "?"


def report(looks):
    sums = {True: [0.0, 0, collections.Counter()], False: [0.0, 0, collections.Counter()]}
    work = [0.0] * len(COUNTS)
    for before, after in zip(looks, looks[1:]):
        if before[0] - looks[0][0] < WARM_S:
            continue
        flushing = after[3][2] > before[3][2] or after[3][3] > before[3][3]
        part = sums[flushing]
        part[0] += after[0] - before[0]
        part[1] += after[1] - before[1]
        part[2].update({bound: after[2][bound] - before[2].get(bound, 0) for bound in after[2]})
        if flushing:
            work = [sum_ + b - a for sum_, a, b in zip(work, before[3], after[3])]
    for flushing, name in [(True, "in a flush"), (False, "outside")]:
        seconds, points, turns = sums[flushing]
        if seconds:
            print(f"{name:<11} {seconds:6.2f} s  {points / seconds / 1e6:6.2f} M points/s  {turns['+Inf']} turns, "
                  f"99 % within {quantile(turns, 0.99)} s, 99.9 % within {quantile(turns, 0.999)} s")
    if sums[True][0] and sums[False][0]:
        ratio = sums[True][1] / sums[True][0] / (sums[False][1] / sums[False][0])
        print(f"ingest in a flush keeps {ratio:.2f} of its rate")
        print(f"merging {work[2] / max(work[0], 1e-9) / 1e6:.1f} M series/s, "
              f"encoding {work[3] / max(work[1], 1e-9) / 1e6:.1f} M points/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catchment", required=True)
    parser.add_argument("--examples", required=True, help="folder with null_server")
    parser.add_argument("--series", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=44)
    parser.add_argument("--temporality", default="cumulative", choices=["cumulative", "delta", "none"])
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--generator-cpu", type=int, default=1)
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.generator_cpu})
    other = ["taskset", "-c", str(options.generator_cpu)]
    with tempfile.TemporaryDirectory() as folder:
        null, ports = started(folder, "null.json", [*other, os.path.join(options.examples, "null_server")])
        out = [] if options.temporality == "none" else \
            ["--out", f"otlp-grpc://{ports['otlp_grpc']}?temporality={options.temporality}"]
        doors = [word for door in ["otlp-grpc", "otlp-http", "prometheus", "admin"] for word in (f"--{door}", "127.0.0.1:0")]
        server, ports = started(folder, "ports.json", [
            "taskset", "-c", str(options.server_cpu), options.catchment, "run", "--shards", "1", "--interval", "10s",
            "--series-limit", str(options.series + 100_000), *doors, *out])
        load = subprocess.Popen([options.catchment, "load", "--endpoint", f"grpc://{ports['otlp_grpc']}", "--cpu",
                                 str(options.generator_cpu), "--series", str(options.series), "--duration",
                                 f"{options.seconds}s", "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        looks = []
        while load.poll() is None:
            looks.append(look(ports["admin"]))
            time.sleep(LOOK_S)
        for process in [server, null]:
            process.terminate()
            process.wait(30)
    report(looks)


if __name__ == "__main__":
    main()
