"""Small files made byte by byte, with the standard library alone."""

import json
import struct


def safetensors(tensors, data=None, metadata=None):
    """tensors: {name: (dtype, shape, bytes)}, laid out in order; data: zeros unless given."""
    header, offset = ({"__metadata__": metadata} if metadata else {}), 0
    for name, (dtype, shape, count) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + count]}
        offset += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + (bytes(offset) if data is None else data)
