"""ZeRO checkpoints as the models they are parts of.

data/ was written by DeepSpeed itself (make_checkpoints.py); the other folders are made here after its
documented layout, with ranks, sizes and paddings that two processes cannot show.
"""

import pathlib
import shutil
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file

DATA = pathlib.Path(__file__).parent / "data"
TAG = "global_step3"


def convert(kilter, source, tmp_path, *options):
    target = tmp_path / "out.safetensors"
    kilter("convert", source, target, "--force", *options, status=0)
    return load_file(target)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


def assert_equal(found, wanted):
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if not same(found[name], wanted[name])] == []


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
@pytest.mark.parametrize("address", ["", TAG])
def test_weights_are_those_of_zero_to_fp32(kilter, tmp_path, stage, address):
    found = convert(kilter, DATA / stage / address, tmp_path, "--part", "weights")
    wanted = load_file(DATA / "expected" / f"{stage}.safetensors")
    if stage == "stage1":  # DeepSpeed's script forgets frozen parameters there
        assert found.pop("frozen.weight").shape == (6, 6)
        assert found.pop("frozen.bias").shape == (6,)
    if stage == "stage3":
        assert found["table"].dtype == torch.float32  # stored as bf16
    assert_equal(found, wanted)


@pytest.mark.parametrize("stage", ["stage1", "stage3"])
def test_optimizer_state_is_what_deepspeed_extracts(kilter, tmp_path, stage):
    found = convert(kilter, DATA / stage, tmp_path, "--part", "optimizer")
    universal = DATA / f"universal_{stage}" / TAG / "zero"
    seen = 0
    for file in universal.glob("*/exp_avg*.pt"):
        value = torch.load(file, weights_only=True)
        value = value["param"] if isinstance(value, dict) else value
        own = found.pop(f"{file.parent.name}.{file.stem}")
        assert torch.equal(own.flatten(), value.flatten())
        seen += 1
    assert seen == 12
    assert {name.rsplit(".", 1)[1] for name in found} == {"step"}
    assert all(value == 3 for value in found.values())


@pytest.mark.parametrize("stage", ["stage1", "stage3"])
def test_universal_checkpoints_hold_the_same(kilter, tmp_path, stage):
    found = convert(kilter, DATA / f"universal_{stage}", tmp_path, "--part", "weights")
    zero = convert(kilter, DATA / stage, tmp_path, "--part", "weights")
    names = [name for name in found if name != "head.weight" and not name.startswith("frozen")]
    assert len(names) >= 6
    assert_equal({name: found[name] for name in names}, {name: zero[name].float() for name in names})
    state = convert(kilter, DATA / f"universal_{stage}", tmp_path, "--part", "optimizer")
    assert state["mid.weight.exp_avg"].shape == (7, 6)


def test_the_whole_state_comes_along(kilter, tmp_path):
    kilter("convert", DATA / "stage2", tmp_path / "out.pt", status=0)
    state = torch.load(tmp_path / "out.pt", weights_only=True)
    assert state["note"] == "hello"
    assert state["global_steps"] == 3
    assert state["optimizer"]["param_groups"][0]["lr"] == 0.01
    assert state["optimizer"]["state"]["mid.bias"]["exp_avg"].shape == (7,)
    head, embed = state["module"]["head.weight"], state["module"]["embed.weight"]
    assert head.data_ptr() == embed.data_ptr()


def test_experts_of_all_ranks_are_numbered_through(kilter, tmp_path):
    found = convert(kilter, DATA / "moe", tmp_path, "--part", "weights")
    experts = sorted((DATA / "moe" / TAG).glob("layer_0_expert_*"))
    assert len(experts) == 4
    for file in experts:
        for name, rounded in torch.load(file, weights_only=True).items():
            assert found[name].dtype == torch.float32
            assert torch.equal(found[name].to(torch.bfloat16), rounded)


def test_without_masters_experts_come_from_their_own_files(kilter, tmp_path):
    shutil.copytree(DATA / "moe", tmp_path / "moe")
    for file in (tmp_path / "moe").rglob("*_optim_states.pt"):
        file.unlink()
    found = convert(kilter, tmp_path / "moe", tmp_path)
    name = "moe.deepspeed_moe.experts.deepspeed_experts.3.weight"
    assert found[name].dtype == torch.bfloat16
    assert "mid.weight" in found


# Folders made after the documented layout.


def zero_tensors(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(13, 7), (1,), (), (5, 3, 2), (64,), (31, 11), (3,), (100, 9)]
    return OrderedDict((f"layer.{i}.weight", torch.randn(shape, generator=generator))
                       for i, shape in enumerate(shapes))


def write_zero3(folder, tensors, ranks, groups=3, change=None):
    tag = folder / "step7"
    tag.mkdir(parents=True)
    (folder / "latest").write_text("step7\n")
    shapes = OrderedDict((name, value.shape) for name, value in tensors.items())
    for rank in range(ranks):
        parts = []
        for value in tensors.values():
            flat = value.flatten()
            size = -(-flat.numel() // ranks)
            own = flat[rank * size:(rank + 1) * size]
            parts.append(torch.nn.functional.pad(own, (0, size - own.numel()), value=float("nan")))
        flat = list(torch.cat(parts).tensor_split(groups))
        state = {"zero_stage": 3, "partition_count": ranks, "fp32_flat_groups": [f.clone() for f in flat],
                 "optimizer_state_dict": {"state": {i: {"exp_avg": f * 2, "step": 5} for i, f in enumerate(flat)},
                                          "param_groups": [{"lr": 0.5, "params": [0]}]}}
        model = {"module": OrderedDict(), "buffer_names": [], "param_shapes": [shapes], "shared_params": {}}
        if change:
            change(rank, state, model)
        torch.save({"optimizer_state_dict": state}, tag / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
        torch.save(model, tag / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
    return folder


def write_zero2(folder, tensors, ranks, change=None):
    tag = folder / "step7"
    tag.mkdir(parents=True)
    (folder / "latest").write_text("step7")
    names = list(tensors)
    groups = [names[:3], names[3:]]
    flats = []
    for group in groups:
        flat = torch.cat([tensors[name].flatten() for name in group])
        pad = -flat.numel() % (2 * ranks)
        flats.append((torch.nn.functional.pad(flat, (0, pad)), flat.numel()))
    for rank in range(ranks):
        parts, full, paddings = [], [], []
        for flat, used in flats:
            size = flat.numel() // ranks
            full.append(flat[rank * size:(rank + 1) * size].clone())
            parts.append(flat[rank * size:min((rank + 1) * size, max(used, rank * size))].clone())
            paddings.append(size - parts[-1].numel())
        state = {"zero_stage": 2, "partition_count": [ranks] * 2, "single_partition_of_fp32_groups": parts,
                 "group_paddings": paddings,
                 "base_optimizer_state": {"state": {i: {"exp_avg": f * 2} for i, f in enumerate(full)},
                                          "param_groups": []}}
        if change:
            change(rank, state)
        torch.save({"optimizer_state_dict": state}, tag / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    torch.save({"module": OrderedDict(), "buffer_names": [], "shared_params": {},
                "param_shapes": [OrderedDict((n, tensors[n].shape) for n in group) for group in groups]},
               tag / "mp_rank_00_model_states.pt")
    return folder


@pytest.mark.parametrize("writer", [write_zero2, write_zero3])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 12])
def test_any_number_of_ranks(kilter, tmp_path, writer, ranks):
    tensors = zero_tensors(ranks)
    folder = writer(tmp_path / "zero", tensors, ranks)
    assert_equal(convert(kilter, folder, tmp_path, "--part", "weights"), tensors)
    state = convert(kilter, folder, tmp_path, "--part", "optimizer")
    for name, value in tensors.items():
        assert torch.equal(state[f"{name}.exp_avg"], value * 2)


def refused(kilter, folder):
    run = kilter("inspect", folder)
    assert run.status != 0
    return run.err


def test_a_missing_rank_is_told(kilter, tmp_path):
    folder = write_zero3(tmp_path / "zero", zero_tensors(1), 4)
    (folder / "step7" / "zero_pp_rank_2_mp_rank_00_optim_states.pt").unlink()
    assert "expected 4 files *_optim_states.pt, found 3" in refused(kilter, folder)


def test_partitions_of_other_sizes_are_told(kilter, tmp_path):
    def shorten(rank, state, *_):
        key = "fp32_flat_groups" if "fp32_flat_groups" in state else "single_partition_of_fp32_groups"
        if rank == 1:
            state[key][1] = state[key][1][:-1].clone()

    three = write_zero3(tmp_path / "three", zero_tensors(1), 4, change=shorten)
    assert "zero_pp_rank_1_mp_rank_00_optim_states.pt" in refused(kilter, three)
    two = write_zero2(tmp_path / "two", zero_tensors(1), 4, change=shorten)
    assert "does not fit those of other ranks" in refused(kilter, two)


def test_shapes_that_need_more_or_less_are_told(kilter, tmp_path):
    def more(rank, state, model):
        model["param_shapes"][0]["layer.7.weight"] = torch.Size([500, 9])

    def less(rank, state, model):
        model["param_shapes"][0].pop("layer.7.weight", None)

    grown = write_zero3(tmp_path / "more", zero_tensors(1), 2, change=more)
    err = refused(kilter, grown)
    assert "layer.7.weight" in err and "end before the parameter does" in err
    assert "hold more than the parameters" in refused(kilter, write_zero3(tmp_path / "less", zero_tensors(1), 2, change=less))


def test_shapes_in_one_dictionary_as_early_versions_wrote_them(kilter, tmp_path):
    def flatten(rank, state, model):
        model["param_shapes"] = model["param_shapes"][0]

    folder = write_zero3(tmp_path / "zero", zero_tensors(1), 2, change=flatten)
    assert_equal(convert(kilter, folder, tmp_path, "--part", "weights"), zero_tensors(1))


def test_paddings_between_parameters_are_skipped(kilter, tmp_path):
    values = [torch.arange(3.0), torch.arange(5.0) + 10]
    folder = tmp_path / "zero" / "t"
    folder.mkdir(parents=True)
    flat = torch.cat([values[0], torch.full((1,), float("nan")), values[1], torch.full((3,), float("nan"))])
    for rank in range(2):
        torch.save({"optimizer_state_dict": {
            "zero_stage": 1, "partition_count": 2, "single_partition_of_fp32_groups": [flat[rank * 6:rank * 6 + 6].clone()],
            "param_alignment_paddings": [[1, 3]], "base_optimizer_state": {"state": {}, "param_groups": []}}},
            folder / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    torch.save({"module": {}, "buffer_names": [], "shared_params": {},
                "param_shapes": [OrderedDict(a=(3,), b=(5,))]}, folder / "mp_rank_00_model_states.pt")
    assert_equal(convert(kilter, tmp_path / "zero", tmp_path), {"a": values[0], "b": values[1]})


def test_model_parallel_ranks_keep_their_slices_apart(kilter, tmp_path):
    folder = write_zero2(tmp_path / "zero", zero_tensors(1), 2)
    other = write_zero2(tmp_path / "other", zero_tensors(2), 2)
    for file in (other / "step7").iterdir():
        shutil.copy(file, folder / "step7" / file.name.replace("mp_rank_00", "mp_rank_01"))
    found = convert(kilter, folder, tmp_path, "--only", "mp_rank_0?.layer.*")
    wanted = {f"mp_rank_0{i}.{name}": value for i in (0, 1) for name, value in zero_tensors(i + 1).items()}
    assert_equal(found, wanted)


def test_several_tags_need_latest(kilter, tmp_path):
    folder = write_zero3(tmp_path / "zero", zero_tensors(1), 2)
    shutil.copytree(folder / "step7", folder / "step8")
    assert convert(kilter, folder, tmp_path)
    (folder / "latest").unlink()
    assert "latest" in refused(kilter, folder)
    assert convert(kilter, folder / "step8", tmp_path)


def test_verify_names_the_file_whose_bit_flipped(kilter, tmp_path):
    assert kilter("verify", DATA / "stage3", "--json", status=0).json["sound"]
    tensors = zero_tensors(1)
    folder = write_zero3(tmp_path / "zero", tensors, 2)
    file = folder / "step7" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    raw = bytearray(file.read_bytes())
    at = raw.index(tensors["layer.7.weight"].flatten()[-4:].numpy().tobytes())
    raw[at] ^= 1
    file.write_bytes(raw)
    report = kilter("verify", folder, "--json").json
    assert not report["sound"]
    assert {f["rule"] for f in report["findings"]} == {"torch.storage-corrupt"}
    assert {pathlib.Path(f["path"].split("!")[0]).name for f in report["findings"]} == {file.name}


@pytest.mark.parametrize("name", ["stage1", "stage3", "moe", "universal_stage1"])
def test_scan_calls_them_safe(kilter, name):
    assert kilter("scan", DATA / name, "--json", status=0).json["verdict"] == "safe"
