"""What seeds of JSON documents share."""

import json


def changed(right, *path, to):
    """The document with the value that keys and positions lead to replaced, as bytes."""
    value = json.loads(json.dumps(right))
    at = value
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return json.dumps(value).encode()
