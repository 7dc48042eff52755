"""How long do the quick commands take, as whole processes?"""

import json
import sys

from harness import KILTER, measured, median, mib, report
import make_inputs


def timed(command, runs):
    rows = [measured(command) for _ in range(runs + 1)][1:]
    return median([r["seconds"] for r in rows]), median([r["rss_bytes"] for r in rows]), rows[-1]["output"]


def check(condition, what):
    if not condition:
        sys.exit(f"inspect_bench: wrong answer: {what}")


def run(runs):
    seconds, _, output = timed([KILTER, "--version"], runs)
    check(output.startswith(b"kilter "), "--version")
    report("kilter --version", f"{seconds * 1e3:.1f} ms", "<=10 ms", "")

    for name, path in (("safetensors", make_inputs.many_tensors()), ("torch", make_inputs.many_tensors_torch())):
        seconds, rss, output = timed([KILTER, "inspect", path], runs)
        answer = json.loads(measured([KILTER, "inspect", "--json", path])["output"])
        check(answer["tensor_count"] == 10_000, name)
        report(f"inspect a {name} file of 10,000 tensors", f"{seconds * 1e3:.1f} ms", "<=20 ms", mib(rss))

    folder = make_inputs.sharded_folder()
    seconds, rss, _ = timed([KILTER, "inspect", folder], runs)
    answer = json.loads(measured([KILTER, "inspect", "--json", folder])["output"])
    check(answer["tensor_bytes"] > 130e9 and answer["architecture"]["value"] == "llama", "sharded folder")
    report("inspect a sparse 140 GB folder of 30 shards", f"{seconds * 1e3:.1f} ms", "<=100 ms",
           f"peak {mib(rss)} (bar 64 MiB)")

    seconds, rss, output = timed([KILTER, "scan", "--json", make_inputs.small_files()], runs)
    answer = json.loads(output)
    check(len(answer["files"]) == 400 and answer["verdict"] == "safe", "scan of 400 files")
    report("scan of 400 small files", f"{seconds:.3f} s", "<=2 s", mib(rss))


if __name__ == "__main__":
    run(11)
