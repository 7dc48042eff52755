"""No harmful pickle is ever called safe, and no harmless one is flagged."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Rows of the manifest: (path, label, what)."""
    folder = tmp_path_factory.mktemp("attacks")
    subprocess.run([sys.executable, HERE / "make_pickles.py", folder], check=True,
                   stdout=subprocess.DEVNULL)
    rows = (folder / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    return [(folder / path, label, what) for path, label, what in (r.split("\t") for r in rows)]


@pytest.fixture(scope="module")
def verdicts(kilter, samples):
    """What one run over all of them says, by path."""
    run = kilter("scan", "--format", "json", *[path for path, _, _ in samples], status=1)
    return {Path(file["path"]): file for file in run.json["files"]}


def said(file):
    return "; ".join(f"{f['severity']} {f['rule']}: {f['message']}" for f in file["findings"])


def test_every_file_has_a_verdict(samples, verdicts):
    assert {path for path, _, _ in samples} == set(verdicts)
    known = {"safe", "suspicious", "dangerous", "malformed", "unknown"}
    assert {file["verdict"] for file in verdicts.values()} <= known


def test_no_harmful_file_is_safe(samples, verdicts):
    harmful = [(path, what) for path, label, what in samples if label == "harmful"]
    assert len(harmful) >= 150
    missed = [f"{path.name}: {what}" for path, what in harmful
              if verdicts[path]["verdict"] == "safe"]
    assert not missed


def test_no_harmless_file_is_flagged(samples, verdicts):
    harmless = [path for path, label, _ in samples if label == "harmless"]
    assert len(harmless) >= 100
    flagged = [f"{path.name}: {said(verdicts[path])}" for path in harmless
               if verdicts[path]["verdict"] != "safe"]
    assert not flagged


def test_commands_are_called_dangerous_with_their_call(samples, verdicts):
    """Bare pickles that call os.system in any way the machine can follow."""
    for path, _, what in samples:
        if not path.name.startswith("gadget_000_os.system"):
            continue
        findings = [f for f in verdicts[path]["findings"] if f["severity"] == "dangerous"]
        assert findings, what
        assert "os.system('echo kilter-test')" in findings[0]["evidence"]
        assert isinstance(findings[0]["offset"], int)
