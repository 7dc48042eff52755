"""Errors are exceptions of one family with the fields of the engine's own."""

import pickle

import numpy as np
import pytest

import kilter
from kilter import _native


def test_each_row_of_the_table_of_errors_has_its_class():
    for code, name, _ in _native.error_table():
        kind = getattr(kilter, name)
        assert issubclass(kind, kilter.KilterError)
        assert kind("x").code == code


def test_a_missing_file_is_a_file_not_found_error():
    with pytest.raises(FileNotFoundError) as caught:
        kilter.open("nothing.safetensors")
    error = caught.value
    assert isinstance(error, kilter.NotFoundError)
    assert (error.code, error.path, error.filename) == ("not_found",) + 2 * ("nothing.safetensors",)
    assert str(error).startswith("nothing.safetensors: ")


def test_a_missing_tensor_is_a_key_error_that_names_the_nearest():
    kilter.save({"layer.weight": np.ones(2)}, "a.safetensors")
    with pytest.raises(KeyError, match='did you mean "layer.weight"') as caught:
        kilter.open("a.safetensors")["layer.wieght"]
    assert caught.value.tensor == "layer.wieght"
    assert "layer.wieght" not in kilter.open("a.safetensors")
    assert kilter.open("a.safetensors").get("layer.wieght") is None


def test_a_damaged_file_says_where():
    kilter.save({"w": np.ones(1000)}, "a.safetensors")
    data = open("a.safetensors", "rb").read()
    open("b.safetensors", "wb").write(data[:-100])
    with pytest.raises(ValueError) as caught:
        kilter.open("b.safetensors")
    assert isinstance(caught.value, kilter.KilterError)
    assert caught.value.path == "b.safetensors"
    assert "100 bytes" in str(caught.value)


def test_an_existing_file_is_kept_if_asked():
    kilter.save({"w": np.ones(1)}, "a.safetensors")
    with pytest.raises(FileExistsError):
        kilter.save({"w": np.zeros(1)}, "a.safetensors", force=False)
    assert kilter.load("a.safetensors")["w"] == 1


@pytest.mark.parametrize("error", [
    kilter.CorruptError("bad", path="p", tensor="t", offset_bytes=3, expected="a", found="b",
                        hint="h"),
    kilter.NotFoundError("gone", path="p"), kilter.LimitError("much"),
    kilter.MismatchError("differs", missing=["a"], unexpected=["b"], different=["c"], path="p"),
])
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_unknown_target_is_a_value_error():
    kilter.save({"w": np.ones(1)}, "a.safetensors")
    with pytest.raises(ValueError):
        kilter.convert("a.safetensors", "b.gguf")
