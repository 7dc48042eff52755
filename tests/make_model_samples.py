#!/usr/bin/env python3
"""Writes the key sets of tests/model_samples as sparse safetensors files: real names, real shapes,
real sizes, and next to no disk (the data is a hole). Standard library only.

Usage: make_model_samples.py FOLDER [NAME...]         all samples, or those named
       make_model_samples.py --shards 30 FOLDER NAME  one sample as a sharded folder with its index

tests/model_samples/README.md says how key sets are written.
"""

import argparse
import json
import math
import re
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent / "model_samples"
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "F16": 16, "BF16": 16,
        "I32": 32, "F32": 32, "I64": 64, "F64": 64}


class Sample:
    """One key set, expanded: tensors, metadata, documents, expected answers."""

    def __init__(self, name):
        self.name = name
        self.tensors = []  # (name, dtype, shape)
        self.metadata = {}
        self.documents = {}
        self.expected = []  # (what, value)
        self._macros = {}
        self._dtype = "F16"
        self._read((SAMPLES / f"{name}.keys").read_text())

    def _read(self, text):
        lines = iter(text.splitlines())
        for line in lines:
            if not line or line.startswith("#"):
                continue
            first, *rest = line.split(maxsplit=2)
            if first.startswith("%"):
                self._macros[first[1:]] = block(lines, "%end")
            elif first == "@include":
                self._read((SAMPLES / rest[0]).read_text())
            elif first == "@dtype":
                self._dtype = rest[0]
            elif first == "@meta":
                self.metadata[rest[0]] = rest[1]
            elif first == "@expect":
                self.expected.append((rest[0], rest[1]))
            elif first == "@file":
                self.documents[rest[0]] = "\n".join(block(lines, "@end")) + "\n"
            else:
                self._entry(line)

    def _entry(self, line):
        words = ["" if word == '""' else word for word in line.split()]
        if words[0] in self._macros:
            for body in self._macros[words[0]]:
                self._entry(substitute(body, words[1:]))
            return
        dtype = words[2] if len(words) > 2 else self._dtype
        shape = read_shape(words[1])
        self.tensors += [(name, dtype, shape) for name in expand(words[0])]


def block(lines, end):
    body = []
    for line in lines:
        if line == end:
            return body
        body.append(line)
    raise ValueError(f"no {end}")


def substitute(body, arguments):
    def value(match):
        text = arguments[int(match.group(1)) - 1]
        alone = (match.start() == 0 or body[match.start() - 1] == " ") and \
                (match.end() == len(body) or body[match.end()] == " ")
        return '""' if alone and not text else text
    return re.sub(r"\$(\d)", value, body)


def expand(pattern):
    """"a.{0-2}.{x,y}" to its six names."""
    match = re.search(r"\{([^}]*)\}", pattern)
    if not match:
        return [pattern]
    choices = []
    for part in match.group(1).split(","):
        bounds = re.fullmatch(r"(\d+)-(\d+)", part)
        choices += map(str, range(int(bounds[1]), int(bounds[2]) + 1)) if bounds else [part]
    tails = expand(pattern[match.end():])
    return [pattern[:match.start()] + choice + tail for tail in tails for choice in choices]


def read_shape(text):
    if text == "-":
        return []
    return [math.prod(int(factor) for factor in part.split("*")) for part in text.split(",")]


def write_safetensors(path, tensors, metadata):
    header = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, dtype, shape in tensors:
        size = math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + position)
    return position


def write_sample(folder, sample):
    """Writes one file, or a folder where documents lie beside the weights. Returns the path."""
    if not sample.documents:
        path = folder / f"{sample.name}.safetensors"
        write_safetensors(path, sample.tensors, sample.metadata)
        return path
    path = folder / sample.name
    path.mkdir(exist_ok=True)
    write_safetensors(path / "model.safetensors", sample.tensors, sample.metadata)
    for name, text in sample.documents.items():
        (path / name).write_text(text)
    return path


def write_shards(folder, sample, count):
    """Writes the weights over `count` files with their index, as transformers does."""
    path = folder / f"{sample.name}-{count}-shards"
    path.mkdir(exist_ok=True)
    weight_map, total = {}, 0
    tensors = sorted(sample.tensors, key=lambda tensor: natural(tensor[0]))
    for number in range(count):
        part = tensors[number * len(tensors) // count:(number + 1) * len(tensors) // count]
        name = f"model-{number + 1:05}-of-{count:05}.safetensors"
        total += write_safetensors(path / name, part, {"format": "pt"})
        weight_map.update({tensor: name for tensor, _, _ in part})
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    for name, text in sample.documents.items():
        (path / name).write_text(text)
    return path


def natural(name):
    """Layer 2 before layer 10, as writers put them."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def sample_names():
    return sorted(path.stem for path in SAMPLES.glob("*.keys"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--shards", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or sample_names():
        sample = Sample(name)
        if arguments.shards:
            print(write_shards(arguments.folder, sample, arguments.shards))
        else:
            print(write_sample(arguments.folder, sample))


if __name__ == "__main__":
    main()
