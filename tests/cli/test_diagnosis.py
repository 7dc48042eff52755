"""Files that are no checkpoints get a plain diagnosis, and damaged ones name the tensor and are rescued."""

import json
import zipfile

import pytest

from samples import safetensors

POINTER = ("version https://git-lfs.github.com/spec/v1\n"
           "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345678\n")


@pytest.mark.parametrize("content, kind, said", [
    (POINTER.encode(), "lfs-pointer", "12"),
    (b"<!DOCTYPE html><html><body>Not found</body></html>", "html", "HTML"),
    (b"", "empty", "empty"),
    (bytes(100_000), "zero-filled", "zero"),
])
def test_plain_words(kilter, tmp_path, content, kind, said):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    answer = kilter("inspect", "--json", path, status=3).json["not_a_checkpoint"]
    assert answer["kind"] == kind and said in answer["message"] and answer["hint"]
    assert kilter("scan", "--json", path, status=3).json["verdict"] in ("unknown", "malformed")


def test_truncated_download_says_how_much_is_missing(kilter, tmp_path):
    whole = safetensors({"a": ("F32", [100], 400), "b": ("F32", [100], 400)})
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole[:-150])
    answer = kilter("inspect", "--json", path, status=3).json["not_a_checkpoint"]
    assert answer["kind"] == "truncated" and answer["missing_bytes"] == 150


def test_verify_names_the_tensor_and_rescues_the_rest(kilter, tmp_path):
    whole = safetensors({"a": ("F32", [100], 400), "b": ("F32", [100], 400)})
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole[:-150])
    report = kilter("verify", "--json", path, "--rescue", tmp_path / "intact.safetensors", status=1).json
    assert report["rescued"] == ["a"] and report["lost"] == ["b"] and not report["sound"]
    assert any("b" == f.get("tensor") for f in report["findings"])
    kilter("verify", tmp_path / "intact.safetensors", status=0)


def test_one_flipped_bit_in_a_torch_file_names_its_tensor(kilter, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "m.pt"
    torch.save({"first": torch.ones(64), "second": torch.full((64,), 2.0)}, path)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("m/data/1")
    at = raw.index(torch.full((64,), 2.0).numpy().tobytes(), info.header_offset)
    raw[at + 5] ^= 4
    path.write_bytes(raw)
    report = kilter("verify", "--json", path, status=1).json
    assert {f.get("tensor") for f in report["findings"] if f["severity"] != "note"} == {"second"}
    report = kilter("verify", "--json", path, "--rescue", tmp_path / "intact.safetensors", status=1).json
    assert report["rescued"] == ["first"] and report["lost"] == ["second"]


def test_numbers(kilter, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "m.pt"
    bad = torch.ones(1000, dtype=torch.bfloat16)
    bad[3], bad[5], bad[999] = float("nan"), float("inf"), float("-inf")
    torch.save({"good": torch.ones(5), "bad": bad}, path)
    assert kilter("verify", "--json", "--numbers", path, status=0).json["numbers"] == [
        {"tensor": "bad", "nan": 1, "inf": 2}]


def test_hashes_people_compare(kilter, tmp_path):
    import hashlib

    path = tmp_path / "m.safetensors"
    data = bytes(range(256)) * 8192
    path.write_bytes(safetensors({"a": ("U8", [len(data)], len(data))}, data))
    hashes = kilter("inspect", "--json", "--hash", path, status=0).json["hashes"][0]
    raw = path.read_bytes()
    assert hashes["sha256"] == hashlib.sha256(raw).hexdigest()
    assert hashes["data_sha256"] == hashlib.sha256(data).hexdigest()
    assert hashes["webui_old"] == hashlib.sha256(raw[0x100000:0x110000]).hexdigest()[:8]


def test_scan_goes_on_after_a_bad_file(kilter, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(safetensors({"a": ("F32", [2], 8)}))
    (tmp_path / "b.pt").write_bytes(b"cos\nsystem\n(S'echo never'\ntR.")
    (tmp_path / "c.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{\"a\":tru")
    report = kilter("scan", "--json", tmp_path, status=1).json
    assert [f["verdict"] for f in report["files"]] == ["safe", "dangerous", "malformed"]
    assert report["verdict"] == "dangerous"
    finding = report["files"][1]["findings"][0]
    assert "os.system" in finding["evidence"] and finding["loaders"] and finding["reachable"]
    sarif = json.loads(kilter("scan", "--format", "sarif", tmp_path, status=1).out)
    assert sarif["version"] == "2.1.0" and sarif["runs"][0]["results"]
