"""Seeds for the pickle machine: every opcode, ordinary data, and the tricks of tests/attacks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "attacks"))

import harmless
import payloads

# Small ones only: a fuzzer makes big ones itself.
BYTES_MAX = 2000


def every_opcode():
    return b"".join([
        b"\x80\x05\x95\x02\x00\x00\x00\x00\x00\x00\x00N0",
        b"(I01\nI00\nI-5\nL123456789012345678901L\nF1.5\nS'a\\x41'\nV\\u20ac\nt0",
        b"(K\x01M\x01\x02J\x01\x02\x03\x04\x8a\x09" + b"\x01" * 9 + b"\x8b\x02\x00\x00\x00\x01\x02",
        b"G\x3f\xf0\x00\x00\x00\x00\x00\x00U\x01aT\x01\x00\x00\x00bX\x01\x00\x00\x00c\x8c\x01d",
        b"\x8d\x01" + b"\x00" * 7 + b"eB\x01\x00\x00\x00fC\x01g\x8e\x01" + b"\x00" * 7 + b"h",
        b"\x96\x01" + b"\x00" * 7 + b"i\x88\x89NN2l0",
        b"](K\x01e0",
        b"]K\x01a0}(K\x01K\x02u0}K\x01K\x02s0(K\x01K\x02d0\x8f(K\x01\x900(K\x01\x910",
        b")0K\x01\x850K\x01K\x02\x860K\x01K\x02K\x03\x870((11",
        b"Nq\x00h\x00r\x01\x00\x00\x00j\x01\x00\x00\x00\x94p7\ng7\n00000",
        b"ccollections\nOrderedDict\n)R}b0(icollections\nOrderedDict\n0",
        b"(ccollections\nOrderedDict\no0\x8c\x0bcollections\x8c\x07Counter\x93)\x810",
        b"ccollections\nCounter\n)}\x920Pid\n0K\x01Q0\x82\x010\x83\x01\x000\x84\x01\x00\x00\x000",
        b"\x97\x980N.",
    ])


def seeds():
    yield "every_opcode", every_opcode()
    for name, _, data in harmless.bare():
        if len(data) <= BYTES_MAX and name.rsplit("_", 1)[-1] in ("0", "2", "4", "array"):
            yield f"harmless_{name}", data
    for name, _, data in harmless.bare():
        if name.startswith(("numpy", "module", "several", "padded")):
            yield f"harmless_{name}", data
    for name, _, data in payloads.harmful():
        kept = not name.startswith(("gadget_", "name4_")) or name.startswith("gadget_000")
        if kept and len(data) <= BYTES_MAX:
            yield f"harmful_{name}", data
