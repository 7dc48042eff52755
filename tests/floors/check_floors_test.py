#!/usr/bin/env python3
"""Shows that check_floors.py finds what it is there to find."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_floors import Repository  # noqa: E402

PUBLIC_BASE = "// Errors. Owned by the floor `base`.\n#pragma once\n"
PUBLIC_OPS = "// Verbs. Owned by the floor `ops`.\n#pragma once\n"


class CheckFloors(unittest.TestCase):
    def faults(self, files):
        """The faults of a repository made of `files` (path to text)."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for path in ("src/base", "src/io", "src/tensor", "include/kilter"):
                (root / path).mkdir(parents=True)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            return Repository(root).check()

    def test_accepts_looking_down(self):
        self.assertEqual([], self.faults({
            "include/kilter/error.h": PUBLIC_BASE,
            "include/kilter/verbs.h": PUBLIC_OPS + '#include "kilter/error.h"\n',
            "src/base/text.h": '#include "kilter/error.h"\n#include <string>\n',
            "src/io/file.cc": '#include "io/file.h"\n#include "base/text.h"\n',
            "src/io/file.h": "#include <vector>\n",
            "src/formats/zip/zip.cc": '#include "zip.h"\n#include "io/file.h"\n',
            "src/formats/zip/zip.h": "",
            "apps/cli/main.cc": '#include <kilter/verbs.h>\n#include "base/text.h"\n',
            "examples/read.cc": "#include <kilter/verbs.h>\n",
        }))

    def assert_one_fault(self, files, text):
        faults = self.faults(files)
        self.assertEqual(1, len(faults), faults)
        self.assertIn(text, faults[0])

    def test_refuses_looking_up(self):
        self.assert_one_fault({"src/io/file.h": "", "src/base/text.cc": '#include "io/file.h"\n'},
                              "src/base/text.cc:1")

    def test_refuses_looking_sideways(self):
        self.assert_one_fault({"src/tensor/view.h": "", "src/io/a.cc": '#include "tensor/view.h"'},
                              "floor tensor, not below io")

    def test_refuses_reaching_a_higher_floor_by_relative_path(self):
        self.assert_one_fault({"src/io/file.h": "", "src/base/a.cc": '#include "../io/file.h"'},
                              "floor io")

    def test_refuses_a_public_header_of_a_higher_floor(self):
        self.assert_one_fault({"include/kilter/verbs.h": PUBLIC_OPS,
                               "src/io/file.cc": "#  include <kilter/verbs.h>\n"},
                              "belongs to the floor ops")

    def test_refuses_a_public_header_without_owner(self):
        self.assert_one_fault({"include/kilter/error.h": "#pragma once\n"}, "Owned by the floor")

    def test_refuses_a_private_header_in_a_public_one(self):
        self.assert_one_fault({"src/base/text.h": "",
                               "include/kilter/error.h": PUBLIC_BASE + '#include "base/text.h"\n'},
                              "not installed")

    def test_refuses_a_private_header_in_an_example(self):
        self.assert_one_fault({"src/base/text.h": "", "examples/a.cc": '#include "base/text.h"\n'},
                              "not installed")

    def test_refuses_an_unknown_floor(self):
        self.assert_one_fault({"src/attic/a.cc": ""}, "not a floor")

    def test_refuses_a_name_that_is_no_file(self):
        self.assert_one_fault({"src/base/a.cc": '#include "base/gone.h"\n'}, "no file")


if __name__ == "__main__":
    unittest.main()
