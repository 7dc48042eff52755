"""The examples of docs/python.md run, in order, in one folder."""

import re

import pytest


def examples(repository_file):
    return re.findall(r"^```python\n(.*?)^```", repository_file.read_text(), re.M | re.S)


def test_the_guide_s_examples_run(repository):
    found = examples(repository / "docs" / "python.md")
    assert len(found) >= 6
    for i, example in enumerate(found):
        try:
            exec(compile(example, f"docs/python.md, example {i + 1}", "exec"), {})
        except Exception as error:
            pytest.fail(f"example {i + 1} of docs/python.md: {error!r}\n{example}")
