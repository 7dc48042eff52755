"""Pickle opcodes as bytes. Source: Lib/pickletools.py."""

import struct

STOP = b"."
MARK = b"("
TUPLE = b"t"
EMPTY_TUPLE = b")"
TUPLE1 = b"\x85"
TUPLE2 = b"\x86"
REDUCE = b"R"
BUILD = b"b"
NEWOBJ = b"\x81"
NEWOBJ_EX = b"\x92"
STACK_GLOBAL = b"\x93"
MEMOIZE = b"\x94"
POP = b"0"
POP_MARK = b"1"
DUP = b"2"
NONE = b"N"
EMPTY_DICT = b"}"
EMPTY_LIST = b"]"
OBJ = b"o"
SETITEM = b"s"
SETITEMS = b"u"
APPEND = b"a"
APPENDS = b"e"

COMMAND = "echo kilter-test"


def proto(number):
    return b"\x80" + bytes([number])


def frame(body):
    return b"\x95" + struct.pack("<Q", len(body)) + body


def text0(value):
    return b"V" + value.encode("raw_unicode_escape") + b"\n"


def string0(value):
    return b"S'" + value.encode() + b"'\n"


def text2(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def text4(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes([len(data)]) + data


def bytes3(data):
    return b"B" + struct.pack("<I", len(data)) + data


def integer(value):
    return b"J" + struct.pack("<i", value)


def name(module, attribute):
    """GLOBAL: two lines of text."""
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def stack_name(module, attribute):
    return text4(module) + text4(attribute) + STACK_GLOBAL


def inst(module, attribute, arguments=b""):
    return MARK + arguments + b"i" + module.encode() + b"\n" + attribute.encode() + b"\n"


def put(index):
    return b"q" + bytes([index])


def get(index):
    return b"h" + bytes([index])


def value(thing):
    """A plain Python value, by opcodes that protocol 0 to 5 share (BINUNICODE and the like)."""
    if isinstance(thing, bytes):
        return thing  # already opcodes
    if thing is None:
        return NONE
    if isinstance(thing, bool):
        return b"\x88" if thing else b"\x89"
    if isinstance(thing, int):
        return integer(thing)
    if isinstance(thing, str):
        return text2(thing)
    if isinstance(thing, tuple):
        return MARK + b"".join(value(item) for item in thing) + TUPLE
    if isinstance(thing, list):
        return EMPTY_LIST + MARK + b"".join(value(item) for item in thing) + APPENDS
    if isinstance(thing, dict):
        pairs = b"".join(value(key) + value(item) for key, item in thing.items())
        return EMPTY_DICT + MARK + pairs + SETITEMS
    raise TypeError(thing)


def call(module, attribute, arguments):
    """GLOBAL, arguments, REDUCE; no PROTO and no STOP."""
    return name(module, attribute) + value(tuple(arguments)) + REDUCE


def call4(module, attribute, arguments):
    return stack_name(module, attribute) + value(tuple(arguments)) + REDUCE


SYSTEM = call("os", "system", [COMMAND])
