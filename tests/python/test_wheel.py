"""The wheel in a clean environment, with numpy alone beside it."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy
import pytest

SMOKE = """
import sys
import numpy, kilter
assert "torch" not in sys.modules
kilter.save({"model": {"w": numpy.arange(4.0)}, "step": 3}, "smoke.pt")
store = kilter.Store("smoke.kilter")
store.save("smoke.pt", metadata={"step": 3})
assert kilter.open("smoke.kilter@step:3")["model.w"].numpy().tolist() == [0, 1, 2, 3]
assert kilter.scan("smoke.pt")["verdict"] == "safe"
try:
    kilter.open("nothing")
except FileNotFoundError as error:
    assert error.code == "not_found"
print("kilter", kilter.__version__, kilter.__file__)
"""


@pytest.fixture
def wheel(repository):
    found = sorted((repository / "build" / "wheels").glob("kilter-*.whl"))
    assert len(found) == 1, "run `make wheel`"
    return found[0]


def test_it_works_where_nothing_else_is_installed(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"],
                               capture_output=True, text=True, check=True).stdout.strip())
    origin = Path(numpy.__file__).parent
    for name in ("numpy", "numpy.libs"):
        if (origin.parent / name).exists():
            (site / name).symlink_to(origin.parent / name)
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet",
                    "--disable-pip-version-check", "--no-index", "--no-deps", wheel],
                   check=True, env=clean)
    run = subprocess.run([python, "-I", "-c", SMOKE], cwd=tmp_path, capture_output=True, text=True,
                         env=clean, check=False)
    assert run.returncode == 0, run.stderr
    assert str(site) in run.stdout


def test_it_holds_the_package_and_nothing_else(wheel):
    import zipfile
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} <= {"kilter", f"kilter-{wheel.name.split('-')[1]}.dist-info"}
    assert {"kilter/py.typed", "kilter/_native.pyi", "kilter/__init__.py"} <= set(names)
    assert not [name for name in names if name.endswith((".h", ".a", ".cc"))]


def test_its_libraries_are_those_of_the_documentation(package, repository):
    native = next((package / "kilter").glob("_native*.so"))
    listed = subprocess.run(["ldd", native], capture_output=True, text=True, check=True).stdout
    known = (repository / "docs" / "python.md").read_text()
    for line in listed.splitlines():
        name = line.split()[0].split("/")[-1]
        system = ("linux-vdso", "libc.so", "libm.so", "libstdc++", "libgcc_s", "ld-linux")
        assert name.startswith(system) or f"`{name}`" in known, f"docs/python.md does not name {name}"
