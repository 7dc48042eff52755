"""Distributed checkpoints that torch saved, read by Kilter: every tensor and value as torch reads it."""

import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file

import ranks


def converted(kilter, folder, tmp_path):
    out = tmp_path / "ours.pt"
    kilter("convert", folder, out, status=0)
    return torch.load(out, weights_only=False)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_placement_reads_as_torch_reads_it(kilter, sharded, tmp_path, count):
    ours = converted(kilter, sharded[count], tmp_path)
    theirs = ranks.as_torch_reads(sharded[count], tmp_path / "theirs.pt")
    ranks.assert_same(ours, theirs)
    ranks.assert_same(ours["model"], ranks.whole_tensors())


def test_model_and_optimizer_of_fsdp(kilter, fsdp, tmp_path):
    ours = converted(kilter, fsdp, tmp_path)
    ranks.assert_same(ours, ranks.as_torch_reads(fsdp, tmp_path / "theirs.pt"))
    assert ours["optim"]["param_groups"][0]["lr"] == 0.01 if "param_groups" in ours["optim"] else True
    assert ours["step"] == 5


def test_safetensors_from_pieces(kilter, sharded, tmp_path):
    kilter("convert", sharded[4], tmp_path / "m.safetensors", status=0)
    written = load_file(tmp_path / "m.safetensors")
    for name, tensor in ranks.whole_tensors().items():
        ranks.assert_same(written[f"model.{name}"], tensor, name)


def test_inspect_verify_and_scan_agree_that_it_is_sound(kilter, sharded, fsdp):
    for folder in (sharded[4], fsdp):
        report = kilter("inspect", "--json", "--tensors", folder, status=0).json
        assert report["format"]["name"] == "dcp"
        assert "version 1.0.0" in report["format"]["detail"]
        assert any(row["coding"] == "pieces" for row in report["tensors"])
        kilter("verify", folder, status=0)
        kilter("scan", folder, status=0)


def test_lengths_and_offsets_do_not_depend_on_the_number_of_ranks(kilter, sharded):
    def hashes(folder):
        rows = kilter("inspect", "--json", "--tensors", "--hash", folder, status=0).json["tensors"]
        return {row["name"]: (row["dtype"], row["shape"], row.get("sha256")) for row in rows}

    assert hashes(sharded[1]) == hashes(sharded[2]) == hashes(sharded[4])


def damaged(folder, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(folder, copy)
    return copy


def test_a_save_that_never_finished_is_told_apart(kilter, sharded, tmp_path):
    copy = damaged(sharded[2], tmp_path)
    (copy / ".metadata").rename(copy / ".metadata.tmp")
    run = kilter("inspect", copy)
    assert run.status == 3 and "never finished" in run.err + run.out
    (copy / ".metadata.tmp").unlink()
    assert "never finished" in kilter("convert", copy, tmp_path / "x.pt", status=3).err


def test_a_missing_or_short_file_is_named(kilter, sharded, tmp_path):
    copy = damaged(sharded[2], tmp_path)
    data = copy / "__1_0.distcp"
    whole = data.read_bytes()
    data.write_bytes(whole[:-100])
    run = kilter("convert", copy, tmp_path / "x.pt")
    assert run.status == 3 and "__1_0.distcp" in run.err
    data.unlink()
    run = kilter("convert", copy, tmp_path / "x.pt")
    assert run.status != 0 and "__1_0.distcp" in run.err
    assert kilter("verify", copy).status != 0


def test_verify_names_the_tensor_a_changed_byte_hits(kilter, sharded, tmp_path):
    copy = damaged(sharded[4], tmp_path)
    metadata = pickle.loads((sharded[4] / ".metadata").read_bytes())
    index, info = next((i, s) for i, s in metadata.storage_data.items() if i.fqn == "model.shape.2")
    path = copy / info.relative_path
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"archive/data/0", info.offset) + 120] ^= 1
    path.write_bytes(raw)
    run = kilter("verify", copy)
    assert run.status != 0 and "model.shape.2" in run.out + run.err


def compressed(state, folder):
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint._extension import ZStandard

    dcp.save(state, no_dist=True,
             storage_writer=dcp.FileSystemWriter(folder, _extensions=[ZStandard()]))


def test_streams_compressed_with_zstd(kilter, tmp_path):
    state = {"model": {**ranks.whole_tensors(), "large": ranks.numbers((600, 700), seed=9),
                       "runs": torch.arange(400000) // 1000}, **ranks.extra_state()}
    compressed(state, tmp_path / "z")
    report = kilter("inspect", "--json", "--tensors", tmp_path / "z", status=0).json
    assert {row["coding"] for row in report["tensors"]} == {"zstd"}
    ranks.assert_same(converted(kilter, tmp_path / "z", tmp_path), state)
    kilter("verify", tmp_path / "z", status=0)
    kilter("scan", tmp_path / "z", status=0)


def test_compressed_items_are_scanned_and_broken_ones_told(kilter, tmp_path):
    compressed({"w": torch.ones(3), "object": Evil()}, tmp_path / "evil")
    run = kilter("scan", "--json", tmp_path / "evil")
    assert run.status != 0 and run.json["verdict"] == "dangerous"
    compressed({"w": ranks.numbers((100000,))}, tmp_path / "z")
    data = tmp_path / "z" / "__0_0.distcp"
    raw = bytearray(data.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    raw[-40:] = bytes(40)
    data.write_bytes(raw)
    assert kilter("verify", tmp_path / "z").status != 0


def test_unknown_transforms_are_named(kilter, sharded, tmp_path):
    copy = damaged(sharded[1], tmp_path)
    metadata = pickle.loads((copy / ".metadata").read_bytes())
    for info in metadata.storage_data.values():
        info.transform_descriptors = ["stream.secret@example/3"]
    (copy / ".metadata").write_bytes(pickle.dumps(metadata))
    run = kilter("convert", copy, tmp_path / "x.pt", status=3)
    assert "stream.secret@example/3" in run.err


def test_metadata_of_bytecheckpoint_is_told_apart(kilter, sharded, tmp_path):
    copy = damaged(sharded[1], tmp_path)
    text = pickle.dumps(pickle.loads((copy / ".metadata").read_bytes()), protocol=2)
    (copy / ".metadata").write_bytes(text.replace(
        b"ctorch.distributed.checkpoint.metadata\nMetadata", b"cbytecheckpoint.checkpointer.meta_type\nMetadata"))
    assert "ByteCheckpoint" in kilter("convert", copy, tmp_path / "x.pt", status=3).err


class Evil:
    def __reduce__(self):
        return (eval, ("1+1",))


def test_scan_judges_the_metadata_and_every_object(kilter, tmp_path):
    folder = tmp_path / "evil"
    import torch.distributed.checkpoint as dcp
    dcp.save({"w": torch.ones(2), "object": Evil()}, checkpoint_id=folder, no_dist=True)
    run = kilter("scan", "--json", folder)
    assert run.status != 0 and run.json["verdict"] == "dangerous"
    assert any("distcp" in file["path"] and file["verdict"] == "dangerous"
               for file in run.json["files"])
    sound = tmp_path / "metadata"
    dcp.save({"w": torch.ones(2)}, checkpoint_id=sound, no_dist=True)
    metadata = pickle.loads((sound / ".metadata").read_bytes())
    metadata.planner_data["x"] = Evil()
    (sound / ".metadata").write_bytes(pickle.dumps(metadata))
    run = kilter("scan", "--json", sound)
    assert run.json["verdict"] == "dangerous"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_metadata_in_every_pickle_protocol(kilter, sharded, tmp_path, protocol):
    copy = damaged(sharded[4], tmp_path)
    metadata = pickle.loads((copy / ".metadata").read_bytes())
    (copy / ".metadata").write_bytes(pickle.dumps(metadata, protocol=protocol))
    ranks.assert_same(converted(kilter, copy, tmp_path),
                      ranks.as_torch_reads(sharded[4], tmp_path / "theirs.pt"))
    kilter("scan", copy, status=0)


def test_older_metadata(kilter, sharded, tmp_path):
    """Names and shapes that earlier versions of torch wrote."""
    copy = damaged(sharded[2], tmp_path)
    raw = pickle.loads((copy / ".metadata").read_bytes())
    theirs = ranks.as_torch_reads(sharded[2], tmp_path / "theirs.pt")
    for entry in raw.state_dict_metadata.values():
        if hasattr(entry, "properties"):
            entry.properties.__class__ = Older
    del raw.storage_meta, raw.version
    text = pickle.dumps(raw, protocol=2)
    text = text.replace(b"cranks_older\nTensorProperties",
                        b"ctorch.distributed._shard.sharded_tensor.metadata\nTensorProperties")
    assert b"sharded_tensor.metadata" in text
    (copy / ".metadata").write_bytes(text)
    ranks.assert_same(converted(kilter, copy, tmp_path), theirs)


from torch.distributed.checkpoint.metadata import TensorProperties  # noqa: E402


class Older(TensorProperties):
    """Five values of state, under the module's older name."""

    def __getstate__(self):
        return super().__getstate__()[:5]


Older.__module__, Older.__qualname__, Older.__name__ = "ranks_older", "TensorProperties", "TensorProperties"
import sys  # noqa: E402
import types  # noqa: E402

sys.modules["ranks_older"] = types.ModuleType("ranks_older")
sys.modules["ranks_older"].TensorProperties = Older
