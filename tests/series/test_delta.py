"""kilter delta make and apply: the fine-tune comes back bit for bit, or nothing is written."""

import hashlib
import json
import shutil
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from series_models import assert_same_bits, load, metadata

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2,
          torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


def random_bits(dtype, shape, seed):
    """Every pattern of bits, NaNs of every payload among them."""
    if 0 in shape:
        return torch.zeros(shape, dtype=dtype)
    count = int(np.prod(shape)) * torch.tensor([], dtype=dtype).element_size()
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == torch.bool else 256, count, dtype=np.uint8)
    return torch.from_numpy(raw).view(dtype).reshape(shape)


def nudged(tensor, seed):
    """The same bits but for the lowest ones of a tenth of the bytes."""
    if tensor.numel() == 0:
        return tensor.clone()
    raw = tensor.contiguous().flatten().view(torch.uint8).numpy().copy()
    random = np.random.default_rng(seed)
    chosen = random.random(raw.size) < 0.1
    raw[chosen] ^= random.integers(0, 2, chosen.sum(), dtype=np.uint8)
    return torch.from_numpy(raw).view(tensor.dtype).reshape(tensor.shape)


def there_and_back(kilter, folder, base, tuned, *options):
    kilter("delta", "make", base, tuned, folder / "d.safetensors", *options, status=0)
    kilter("delta", "apply", base, folder / "d.safetensors", folder / "again.safetensors", *options, status=0)
    return load(folder / "again.safetensors")


def test_a_fine_tune_comes_back_with_everything_beside_it(kilter, tunes, tmp_path):
    made = kilter("delta", "make", tunes / "base", tunes / "b", tmp_path / "d.safetensors", "--json", status=0).json
    kilter("delta", "apply", tunes / "base", tmp_path / "d.safetensors", tmp_path / "b", status=0)
    assert_same_bits(load(tmp_path / "b"), load(tunes / "b"))
    for name in ("config.json", "generation_config.json"):
        assert (tmp_path / "b" / name).read_bytes() == (tunes / "b" / name).read_bytes()
    assert made["payload_bytes"] < made["plain_bytes"] and "delta" in {row["fate"] for row in made["tensors"]}
    said = metadata(tmp_path / "d.safetensors")
    assert said["kilter.delta"] == "1" and said["kilter.delta.base"] == made["base_digest"]
    kilter("diff", tunes / "b", tmp_path / "b", "--numbers", status=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_bits_of_any_dtype(kilter, tmp_path, dtype):
    base = {"one": random_bits(dtype, (), 1), "none": random_bits(dtype, (0, 3), 1),
            "two": random_bits(dtype, (37, 41), 2), "blocks": random_bits(dtype, (300, 1100), 3)}
    tuned = {name: nudged(tensor, 4) for name, tensor in base.items()}
    tuned["two"] = base["two"].clone()
    tuned["new"] = random_bits(dtype, (17,), 5)
    save_file(base, tmp_path / "base.safetensors")
    save_file(tuned, tmp_path / "tuned.safetensors")
    assert_same_bits(there_and_back(kilter, tmp_path, tmp_path / "base.safetensors", tmp_path / "tuned.safetensors"),
                     tuned)
    fates = {row["name"]: row["fate"] for row in kilter(
        "delta", "make", tmp_path / "base.safetensors", tmp_path / "tuned.safetensors", tmp_path / "e.safetensors",
        "--json", status=0).json["tensors"]}
    assert fates["two"] == "same" and fates["new"] == "whole"


def test_other_shapes_other_dtypes_removed_and_renamed(kilter, tmp_path):
    torch.manual_seed(1)
    base = {"embed": torch.randn(3000, 400, dtype=torch.bfloat16), "cast": torch.randn(700, 900),
            "to16": torch.randn(50, 50), "up": torch.randn(50, dtype=torch.bfloat16), "gone": torch.randn(9)}
    tuned = {"embed": torch.cat([base["embed"], torch.randn(3, 400, dtype=torch.bfloat16)]),
             "cast": base["cast"].to(torch.bfloat16), "to16": base["to16"].to(torch.int16), "up": base["up"].float(),
             "new": torch.randn(9)}
    save_file(base, tmp_path / "base.safetensors")
    save_file(tuned, tmp_path / "tuned.safetensors", {"note": "é\n", "format": "pt"})
    again = there_and_back(kilter, tmp_path, tmp_path / "base.safetensors", tmp_path / "tuned.safetensors")
    assert_same_bits(again, tuned)
    delta = load_file(tmp_path / "d.safetensors")
    assert delta["tensor/cast"].numel() < 100, "bf16 weights that are the rounded base cost nothing"
    assert delta["tensor/embed"].numel() < 300_000 * 2, "old rows lean on the base's"
    manifest = json.loads(bytes(delta["manifest"].tolist()))
    assert manifest["removed"] == ["gone"]
    said = metadata(tmp_path / "again.safetensors")
    assert said.pop("kilter.recipe") and said == {"note": "é\n", "format": "pt"}


def test_a_delta_of_nothing_is_small(kilter, tunes, tmp_path):
    kilter("delta", "make", tunes / "a", tunes / "a", tmp_path / "d.safetensors", status=0)
    assert not [name for name in load_file(tmp_path / "d.safetensors") if name.startswith("tensor/")]
    kilter("delta", "apply", tunes / "a", tmp_path / "d.safetensors", tmp_path / "a.safetensors", status=0)
    assert_same_bits(load(tmp_path / "a.safetensors"), load(tunes / "a"))


def test_the_same_bytes_for_any_threads_and_memory(kilter, tunes, tmp_path):
    digests = set()
    for threads, memory in ((1, "64MiB"), (2, "512MiB"), (8, "4GiB")):
        options = ("--threads", threads, "--max-memory", memory, "--force")
        there_and_back(kilter, tmp_path, tunes / "base", tunes / "a", *options)
        digests.add(tuple(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
                          for name in ("d.safetensors", "again.safetensors")))
    assert len(digests) == 1


def test_another_base_is_refused_by_name(kilter, tunes, tmp_path):
    made = kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.safetensors", "--json", status=0).json
    run = kilter("delta", "apply", tunes / "c", tmp_path / "d.safetensors", tmp_path / "out", status=3)
    assert made["base_digest"] in run.err and "another base" in run.err and str(tunes / "base") in run.err, run
    assert not (tmp_path / "out").exists()
    run = kilter("delta", "apply", tunes / "base", tunes / "a", tmp_path / "out")
    assert run.status == 2 and "is no delta" in run.err, run


def test_damage_anywhere_is_noticed(kilter, tunes, tmp_path):
    kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.safetensors", status=0)
    data = (tmp_path / "d.safetensors").read_bytes()
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for place in np.linspace(header, len(data) - 1, 12, dtype=int):
        changed = bytearray(data)
        changed[place] ^= 0x10
        (tmp_path / "e.safetensors").write_bytes(changed)
        run = kilter("delta", "apply", tunes / "base", tmp_path / "e.safetensors", tmp_path / "out")
        changed_for_people = b'"base":"' in data[header:place + 1] and b'","tensors"' not in data[header:place]
        assert run.status == 3 or (run.status == 0 and changed_for_people), (place, run)
        if run.status == 0:
            shutil.rmtree(tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change, said", [
    ({"kilter.delta": "2"}, "version"),
    ({"kilter.delta.base": "no"}, "does not say what its base"),
    ({"kilter.delta.result": "0" * 64}, "what it makes is not its result"),
])
def test_metadata_that_are_wrong(kilter, tunes, tmp_path, change, said):
    kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.safetensors", status=0)
    wrong = {**metadata(tmp_path / "d.safetensors"), **change}
    save_file(load_file(tmp_path / "d.safetensors"), tmp_path / "e.safetensors", wrong)
    run = kilter("delta", "apply", tunes / "base", tmp_path / "e.safetensors", tmp_path / "out", status=3)
    assert said in run.err and not (tmp_path / "out").exists(), run


# --- golden files: golden/make_golden.py wrote them with the standard library alone -----------------------------


def test_golden_deltas_are_read(kilter, repository, tmp_path):
    golden = repository / "tests" / "series" / "golden"
    expected = json.loads((golden / "expected.json").read_text())
    assert len(expected["right"]) >= 3 and len(expected["wrong"]) >= 8
    for name, tensors in expected["right"].items():
        out = tmp_path / f"{name}.safetensors"
        kilter("delta", "apply", golden / "base.safetensors", golden / f"{name}.safetensors", out, status=0)
        got = {key: bytes(value.contiguous().view(torch.uint8).flatten().tolist()).hex()
               for key, value in load_file(out).items()}
        assert got == tensors, name


def test_golden_deltas_are_refused(kilter, repository, tmp_path):
    golden = repository / "tests" / "series" / "golden"
    for name, said in json.loads((golden / "expected.json").read_text())["wrong"].items():
        run = kilter("delta", "apply", golden / "base.safetensors", golden / f"{name}.safetensors", tmp_path / "out/",
                     status=3)
        assert said in run.err, (name, run)
        assert not (tmp_path / "out").exists()


# --- as everywhere ----------------------------------------------------------------------------------------------


def test_dry_runs_write_nothing(kilter, tunes, tmp_path):
    kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.safetensors", "--dry-run", status=0)
    assert not list(tmp_path.iterdir())
    kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.safetensors", status=0)
    kilter("delta", "apply", tunes / "base", tmp_path / "d.safetensors", tmp_path / "out", "--dry-run", status=0)
    kilter("delta", "apply", tunes / "c", tmp_path / "d.safetensors", tmp_path / "out", "--dry-run", status=3)
    assert [path.name for path in tmp_path.iterdir()] == ["d.safetensors"]
    run = kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.safetensors", status=2)
    assert "exists" in run.err, run
    assert "one safetensors file" in kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.pt",
                                            status=2).err


def test_inspect_says_what_it_is(kilter, tunes, tmp_path):
    kilter("delta", "make", tunes / "base", tunes / "a", tmp_path / "d.safetensors", status=0)
    assert kilter("inspect", tmp_path / "d.safetensors", "--json", status=0).json["instance"]["value"] == "delta"


def test_steps_of_a_store_and_the_recipe(kilter, tunes, tmp_path):
    store = tmp_path / "runs.kilter"
    kilter("save", tunes / "base", store, "--step", 1, status=0)
    kilter("save", tunes / "a", store, "--step", 2, status=0)
    kilter("delta", "make", f"{store}@step:1", f"{store}@step:2", tmp_path / "d.safetensors", status=0)
    kilter("delta", "apply", tunes / "base", tmp_path / "d.safetensors", tmp_path / "a.pt", status=0)
    kilter("diff", tmp_path / "a.pt", tunes / "a", "--numbers")
    run = kilter("reproduce", tmp_path / "a.pt", tmp_path / "b.pt", "--json", status=0).json
    assert run["same"] and run["recipe"]["verb"] == "delta-apply"
