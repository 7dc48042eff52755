"""How fast is a 2 GiB .pt to safetensors, durable, against torch.load + save_file + fsync?"""

import os
import sys

from harness import KILTER, WORK, drop_cache, measured, median, mib, paired, ratio, report, warm_cache
import make_inputs

THEIRS = """
import os, sys, torch
from safetensors.torch import save_file
state = torch.load(sys.argv[1], weights_only=True)
save_file(state, sys.argv[2])
descriptor = os.open(sys.argv[2], os.O_RDONLY)
os.fsync(descriptor)
"""


def same_tensors(a, b):
    """Whether two safetensors files hold the same bits under the same names."""
    import torch
    from safetensors import safe_open

    with safe_open(a, "pt") as left, safe_open(b, "pt") as right:
        if sorted(left.keys()) != sorted(right.keys()):
            return False
        return all(
            torch.equal(left.get_tensor(k).view(torch.uint8), right.get_tensor(k).view(torch.uint8))
            for k in left.keys())


def run(gib, runs):
    source = make_inputs.torch_checkpoint(gib)
    ours_path, theirs_path = WORK / "ours.safetensors", WORK / "theirs.safetensors"
    ours = [KILTER, "convert", source, ours_path, "--force", "--quiet"]
    theirs = [sys.executable, "-c", THEIRS, str(source), str(theirs_path)]
    idle = measured([KILTER, "--version"])["rss_bytes"]
    for state, prepare in (("warm", warm_cache), ("cold", drop_cache)):
        def before():
            for path in (ours_path, theirs_path):
                path.unlink(missing_ok=True)
            os.sync()
            prepare(source)

        first, second = paired(lambda: measured(ours), lambda: measured(theirs), runs, before)
        if state == "warm":
            measured(ours)  # `before` removed it
            if not same_tensors(ours_path, theirs_path):
                sys.exit("convert_bench: the two outputs differ")
        seconds = [r["seconds"] for r in first], [r["seconds"] for r in second]
        report(f"convert {gib} GiB .pt to safetensors, {state} source", f"{ratio(seconds[1], seconds[0]):.2f}x",
               ">=4x", f"{median(seconds[0]):.2f} s against {median(seconds[1]):.2f} s")
        rss = median([r["rss_bytes"] for r in first]), median([r["rss_bytes"] for r in second])
        report(f"  peak memory beyond the program's own {mib(idle)}", mib(rss[0] - idle), "<=512 MiB",
               f"against {mib(rss[1])}")
    for path in (ours_path, theirs_path):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, 5)
