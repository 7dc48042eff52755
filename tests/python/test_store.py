"""Stores from Python: everything the commands do."""

from datetime import datetime, timezone

import numpy as np
import pytest

import kilter


def save_step(store, step, loss, value=1.0, **more):
    kilter.save({"w": np.full(5000, value), "same": np.arange(5000)}, "model.safetensors")
    return store.save("model.safetensors", metadata={"step": step, "loss": loss}, **more)


@pytest.fixture
def store():
    return kilter.Store("runs.kilter")


def test_what_was_saved_comes_back(store):
    first = save_step(store, 100, 2.0, 1.0, message="first", tags=["v1"])
    second = save_step(store, 200, 1.0, 2.0)
    assert first.tensor_count == 2 and second.new_bytes < first.new_bytes
    log = store.log()
    assert [commit.step for commit in log] == [200, 100]
    assert store.find("v1").digest == first.commit and store.find("").digest == second.commit
    assert store.find("best:loss").step == 200
    assert [commit.step for commit in store.log(where="loss>1.5")] == [100]
    assert store.show("v1").info.message == "first" and store.show("v1").format == "safetensors"
    np.testing.assert_array_equal(store.open("v1")["w"].numpy(), np.ones(5000))
    np.testing.assert_array_equal(kilter.open("runs.kilter@step:200")["w"], np.full(5000, 2.0))
    assert [file.path for file in store.files("v1")] == ["model.safetensors"]
    assert {tensor.name for tensor in store.tensors("v1")} == {"w", "same"}


def test_times_are_utc(store):
    time = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=timezone.utc)
    save_step(store, 1, 1.0, time=time)
    assert store.find().time == time
    with pytest.raises(kilter.ArgumentError):
        save_step(store, 2, 1.0, time=datetime(2026, 1, 2))


def test_metadata_keeps_its_types(store):
    kilter.save({"w": np.ones(2)}, "m.safetensors")
    stated = {"step": 3, "loss": 0.5, "ok": True, "none": None, "list": [1, {"a": 2}], "name": "x"}
    store.save("m.safetensors", metadata=stated)
    found = store.find().metadata
    assert {key: found[key] for key in stated} == stated
    assert type(found["ok"]) is bool and type(found["step"]) is int


def test_restore_and_read_file_give_the_same_bytes(store):
    save_step(store, 1, 1.0)
    data = open("model.safetensors", "rb").read()
    store.restore("", "back.safetensors")
    assert open("back.safetensors", "rb").read() == data == store.read_file("", "model.safetensors")
    store.restore("", "some.npz", only=["w"], as_format="npz")
    assert list(np.load("some.npz")) == ["w"]
    with pytest.raises(FileExistsError):
        store.restore("", "back.safetensors")


def test_branches_tags_and_differences(store):
    save_step(store, 1, 1.0, 1.0)
    save_step(store, 2, 0.5, 3.0, branch="try", parent="main")
    store.set_tag("good", "try")
    assert [(ref.kind, ref.name) for ref in store.refs()] == [
        ("branch", "main"), ("branch", "try"), ("tag", "good")]
    diff = store.diff("main", "try")
    assert {c.name: c.change for c in diff.tensors} == {"w": "changed", "same": "same"}
    assert {(c.key, c.before, c.after) for c in diff.metadata} == {("step", 1, 2), ("loss", 1.0, 0.5)}
    store.remove_tag("good")
    store.remove_branch("try")
    with pytest.raises(kilter.NotFoundError):
        store.find("good")


def test_upkeep(store):
    for step in range(1, 6):
        save_step(store, step, 10 - step if step != 2 else 0.1, float(step))
    report = store.retain(last=1, best=["loss"], dry_run=True)
    assert {commit.step for commit, _ in report.kept} == {5, 2}
    assert len(store.retain(last=1, best="loss").retired) == 3
    store.collect()
    store.compact()
    check = store.check(data=True)
    assert check.sound and check.commit_count == 5
    assert store.stats().retired_count == 3
    with pytest.raises(kilter.NotFoundError):
        store.open("step:1")


def test_push_and_pull(store):
    save_step(store, 1, 1.0)
    pushed = store.push("copy.kilter")
    assert pushed.commit_count == 1 and [ref.name for ref in pushed.moved] == ["main"]
    other = kilter.Store("other.kilter")
    assert other.pull("copy.kilter").commit_count == 1
    assert other.find().digest == store.find().digest
    assert store.diff("main", "main", other=other).same


def test_damage_is_a_report(store):
    save_step(store, 1, 1.0)
    import pathlib
    pack = max(pathlib.Path("runs.kilter").rglob("*"), key=lambda p: p.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    report = store.check(data=True)
    assert not report.sound
    assert isinstance(report.faults[0].error, kilter.KilterError)
    assert report.faults[0].affected[0].step == "1"


def test_modes_and_missing_stores():
    with pytest.raises(kilter.NotFoundError):
        kilter.Store("none.kilter", mode="open")
    kilter.Store("new.kilter", mode="create")
    with pytest.raises(kilter.AlreadyExistsError):
        kilter.Store("new.kilter", mode="create")
    with pytest.raises(kilter.ArgumentError):
        kilter.Store("new.kilter", mode="x")
