"""Makes the bundles of data/ with TensorFlow itself. Run by hand, where TensorFlow is installed:

    python tests/tensorflow/make_bundles.py

TensorFlow is too large for the test environment (270 MB beside torch's 2.5 GB), so what it writes
lies in git: a few KiB. data/expected*.npz and .json hold what it wrote, and what it reads in the real
files of KILTER_REAL_DATA.
Made with tensorflow-cpu 2.21.0.
"""

import hashlib
import json
import os
import pathlib
import shutil
import sys

import numpy as np
import tensorflow as tf

DATA = pathlib.Path(__file__).parent / "data"
NUMERIC = """float32 float64 int32 uint8 int16 int8 complex64 int64 bool bfloat16 uint16 complex128
float16 uint32 uint64 qint8 quint8 qint32 qint16 quint16 float8_e5m2 float8_e4m3fn float8_e4m3fnuz
float8_e4m3b11fnuz float8_e5m2fnuz int4 uint4""".split()


def values(dtype, shape):
    """Every bit pattern from a fixed sequence, as a tensor of this dtype."""
    kind = tf.as_dtype(dtype)
    count = int(np.prod(shape))
    numpy = np.dtype(kind.as_numpy_dtype)
    base = kind.real_dtype if not kind.is_quantized else kind
    if dtype == "bool":
        array = np.arange(count) % 3 == 0
    elif dtype in ("int4", "uint4"):
        array = np.arange(count).astype(np.int8).__mod__(7).astype(numpy)
    elif kind.is_quantized:
        array = np.arange(count).astype(numpy)
        return tf.bitcast(tf.constant(np.arange(count).reshape(shape).astype(
            {"qint8": "i1", "quint8": "u1", "qint32": "i4", "qint16": "i2", "quint16": "u2"}[dtype])),
            kind)
    elif kind.is_complex:
        array = (np.arange(count) - 1j * np.arange(count)[::-1] / 4).astype(numpy)
    else:
        array = ((np.arange(count) - (0 if base.is_unsigned else 3)) * 3).astype(numpy)
    return tf.constant(array.reshape(shape), kind)


def save(prefix, named):
    """named: {name: tensor} or {name: [(slice text, tensor), ...]}."""
    names, slices, tensors = [], [], []
    for name, value in named.items():
        for part, tensor in value if isinstance(value, list) else [("", value)]:
            names.append(name)
            slices.append(part)
            tensors.append(tensor)
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=slices, tensors=tensors)


def raw(tensor):
    array = tensor.numpy()
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def real_digests():
    """SHA-256 of each tensor of other people's bundles, as TensorFlow reads it."""
    root = pathlib.Path(os.environ.get("KILTER_REAL_DATA", DATA.parents[3] / "shared" / "data"))
    out = {}
    for name in ("basic_pitch_nmp", "saved_model_counter", "saved_model_half_plus_two_mkl"):
        prefix = f"tf_ckpt/{name}/variables/variables"
        if not (root / f"{prefix}.index").exists():
            sys.exit(f"no {root / prefix}: set KILTER_REAL_DATA")
        reader = tf.train.load_checkpoint(str(root / prefix))
        out[f"tf_ckpt/{name}"] = {
            key: hashlib.sha256(np.ascontiguousarray(reader.get_tensor(key)).tobytes()).hexdigest()
            for key, dtype in sorted(reader.get_variable_to_dtype_map().items()) if dtype != tf.string}
    return out


def main():
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    expected, strings = {}, {}

    every = {dtype: values(dtype, (2, 3)) for dtype in NUMERIC}
    every["scalar"] = tf.constant(2.5)
    every["empty"] = tf.zeros((0, 4), tf.int16)
    save(DATA / "dtypes", every)
    for name, tensor in every.items():
        expected[f"dtypes/{name}"] = raw(tensor)

    text = {
        "scalar": tf.constant(b"one"),
        "list": tf.constant([b"", b"\0\xff", "zwölf".encode(), b"x" * 300]),
        "grid": tf.constant([[b"a", b"b"], [b"c", b"d"], [b"e", b"f"]]),
        "none": tf.constant([], tf.string),
        "number": tf.constant([1, 2]),
    }
    save(DATA / "strings", text)
    for name in ("scalar", "list", "grid", "none"):
        strings[name] = np.vectorize(lambda b: b.hex(), otypes=[object])(text[name].numpy()).tolist()

    # Partitioned variables, as tf.compat.v1.get_variable(partitioner=…) saves them: one name, a
    # slice a part. Negative and large starts do not occur, but long ones do.
    table = tf.reshape(tf.range(7 * 5, dtype=tf.float32), (7, 5))
    wide = tf.range(100_0, dtype=tf.int32)
    pieces = {
        "table": [("7 5 0,3:-", table[:3]), ("7 5 3,4:-", table[3:])],
        "grid": [("7 5 0,3:0,2", table[:3, :2]), ("7 5 0,3:2,3", table[:3, 2:]),
                 ("7 5 3,4:0,2", table[3:, :2]), ("7 5 3,4:2,3", table[3:, 2:])],
        "wide": [("1000 0,60", wide[:60]), ("1000 60,64", wide[60:124]),
                 ("1000 124,876", wide[124:])],
        "plain": tf.constant([1.0, 2.0]),
    }
    save(DATA / "partitioned", pieces)
    expected["partitioned/table"] = expected["partitioned/grid"] = raw(table)
    expected["partitioned/wide"] = raw(wide)
    expected["partitioned/plain"] = raw(tf.constant([1.0, 2.0]))

    # Two shards made one, and an object graph with an optimizer's slots.
    work = DATA / "work"
    save(work / "a", {"left": tf.constant([1.0, 2.0])})
    save(work / "b", {"right": tf.constant([3, 4], tf.int64), "word": tf.constant(b"two shards")})
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[str(work / "a"), str(work / "b")],
                                  destination_prefix=str(DATA / "two_shards"))
    shutil.rmtree(work, ignore_errors=True)  # the merge removes it where it can
    expected["two_shards/left"] = raw(tf.constant([1.0, 2.0]))
    expected["two_shards/right"] = raw(tf.constant([3, 4], tf.int64))

    layer = tf.Module(name="layer")
    layer.kernel = tf.Variable([[1.0, 2.0]], name="kernel")
    layer.bias = tf.Variable([0.5], name="bias")
    optimizer = tf.keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build([layer.kernel, layer.bias])
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(layer=layer, optimizer=optimizer), str(DATA / "training"), max_to_keep=2)
    for number in (1, 2, 3):
        layer.bias.assign([number / 2])
        manager.save(number)
    expected["training/ckpt-3/layer/kernel"] = raw(layer.kernel)
    expected["training/ckpt-3/layer/bias"] = raw(layer.bias)

    np.savez(DATA / "expected.npz", **expected)
    (DATA / "expected_real.json").write_text(json.dumps(real_digests(), indent=1) + "\n")
    (DATA / "expected_strings.json").write_text(json.dumps(strings, indent=1) + "\n")


if __name__ == "__main__":
    main()
