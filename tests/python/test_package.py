"""The package as a whole: everything public is documented, typed, and its examples run."""

import doctest
import importlib
import inspect
import subprocess
import sys

import pytest

import kilter
import kilter.torch
from kilter import _native

MODULES = ["kilter", "kilter.errors", "kilter._inert", "kilter.tensor", "kilter.checkpoint",
           "kilter.verbs", "kilter.store", "kilter.reports", "kilter.torch", "kilter._into",
           "kilter.resumable", "kilter.saver"]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_the_docstrings_runs(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0 and result.attempted > 0


def public_things():
    for module in (kilter, kilter.torch):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{module.__name__}.{name}", thing


@pytest.mark.parametrize("name, thing", list(public_things()))
def test_every_public_name_is_explained(name, thing):
    assert thing.__doc__ and not thing.__doc__.startswith(f"{thing.__name__}("), name
    if thing.__module__ != "kilter.reports":  # structures: their fields say what they are
        assert ">>>" in thing.__doc__, f"{name} has no example"
    for member, value in vars(thing).items() if inspect.isclass(thing) else ():
        if inspect.isfunction(value) and not member.startswith("_"):
            assert value.__doc__, f"{name}.{member}"


def test_the_stub_names_everything_that_the_engine_has(package):
    stub = (package / "kilter" / "_native.pyi").read_text()
    for name in dir(_native):
        if name.startswith("__"):
            continue
        assert f"class {name}" in stub or f"def {name}(" in stub, name
        thing = getattr(_native, name)
        for member in vars(thing) if inspect.isclass(thing) else ():
            if not member.startswith("_"):
                assert f"def {member}(" in stub, f"{name}.{member}"


def test_the_types_are_sound(package, tmp_path, repository):
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(repository / "pyproject.toml"),
         "--cache-dir", str(tmp_path / "mypy"), "-p", "kilter"],
        cwd=package, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_importing_it_takes_neither_torch_nor_ml_dtypes(environment):
    program = ("import sys; sys.modules['ml_dtypes'] = None; sys.modules['torch'] = None\n"
               "import kilter, numpy\n"
               "kilter.save({'w': numpy.ones(2)}, 'a.safetensors')\n"
               "print(kilter.load('a.safetensors')['w'].sum(), kilter.__version__)")
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True,
                         text=True, check=True)
    assert run.stdout == "2.0 0.1.0\n"
