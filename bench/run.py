#!/usr/bin/env python3
"""All benchmarks, one after another. --size GIB (default 2), --runs N (default 5)."""

import argparse

import adapter_extract_bench
import adapter_bench
import convert_bench
import dcp_bench
import harness
import inspect_bench
import load_bench
import merge_bench
import python_load_bench
import store_bench
import training_bench
import weights_bench
import zero_bench

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=float, default=2.0, help="GiB of the large checkpoint")
parser.add_argument("--runs", type=int, default=5, help="pairs of runs")
arguments = parser.parse_args()

harness.WORK.mkdir(parents=True, exist_ok=True)
print(harness.machine_line())
print(f"medians of {arguments.runs} paired runs\n")
inspect_bench.run(max(arguments.runs, 11))
convert_bench.run(arguments.size, arguments.runs)
load_bench.run(arguments.size, arguments.runs)
python_load_bench.run(arguments.size, arguments.runs)
dcp_bench.run(arguments.size, arguments.runs)
store_bench.run(arguments.size, arguments.runs)
zero_bench.run(arguments.size, arguments.runs)
weights_bench.run(arguments.size, arguments.runs)
adapter_extract_bench.run(min(arguments.runs, 3))
merge_bench.run(min(arguments.runs, 3))
adapter_bench.run(arguments.runs)
training_bench.run(arguments.size, arguments.runs)
