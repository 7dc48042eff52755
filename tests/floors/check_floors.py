#!/usr/bin/env python3
"""Reads every #include line and says which ones look up instead of down.

Usage: check_floors.py [REPOSITORY]

The order (docs/architecture.md): a floor includes itself and what stands below
it. A public header (include/kilter/) names its floor in its first line, may be
included by that floor and those above, and includes only other public headers,
because private ones are not installed. Examples see only public headers.
"""

import re
import sys
from pathlib import Path

# What each floor may include besides itself.
BELOW = {
    "base": [],
    "io": ["base"],
    "tensor": ["base"],
    "flow": ["io", "tensor", "base"],
    "formats": ["flow", "io", "tensor", "base"],
    "model": ["formats", "flow", "io", "tensor", "base"],
    "ops": ["model", "formats", "flow", "io", "tensor", "base"],
    "store": ["ops", "model", "formats", "flow", "io", "tensor", "base"],
    "train": ["store", "ops", "model", "formats", "flow", "io", "tensor", "base"],
    "cli": ["train", "store", "ops", "model", "formats", "flow", "io", "tensor", "base"],
}
SOURCE_SUFFIXES = {".h", ".cc", ".c", ".inc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
OWNER = re.compile(r"^// .*Owned by the floor `([a-z]+)`\.")


class Repository:
    """The folders that hold sources, and what each #include in them means."""

    def __init__(self, root):
        self.root = Path(root)
        self.faults = []

    def check(self):
        public = self.root / "include" / "kilter"
        for header in sources_under(public):
            floor = self.public_owner(header)
            if floor:
                self.check_file(header, floor, only_public=True)
        for folder in sorted(p for p in (self.root / "src").iterdir() if p.is_dir()):
            if folder.name not in BELOW:
                self.fault(folder, 0, f"src/{folder.name} is not a floor this check knows")
                continue
            for source in sources_under(folder):
                self.check_file(source, folder.name, only_public=False)
        for source in sources_under(self.root / "apps" / "cli"):
            self.check_file(source, "cli", only_public=False)
        for source in sources_under(self.root / "examples"):
            self.check_file(source, "cli", only_public=True)
        return self.faults

    def fault(self, path, line_number, text):
        where = path.relative_to(self.root)
        self.faults.append(f"{where}:{line_number}: {text}" if line_number else f"{where}: {text}")

    def public_owner(self, header):
        first_line = header.read_text(encoding="utf-8").split("\n", 1)[0]
        match = OWNER.match(first_line)
        if not match or match.group(1) not in BELOW:
            self.fault(header, 1, "the first line does not say \"Owned by the floor `x`.\"")
            return None
        return match.group(1)

    def check_file(self, source, floor, only_public):
        lines = source.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quoted, name = match.group(1) == '"', match.group(2)
            if not quoted and not name.startswith("kilter/"):
                continue
            self.check_include(source, number, floor, name, only_public)

    def check_include(self, source, number, floor, name, only_public):
        target = self.resolve(source, name)
        if target is None:
            self.fault(source, number, f'"{name}" is no file of this repository')
            return
        part = target.relative_to(self.root).parts
        if part[0] == "include":
            owner = self.public_owner_quietly(target)
            if owner and owner != floor and owner not in BELOW[floor]:
                self.fault(source, number,
                           f'"{name}" belongs to the floor {owner}, above {floor}')
            return
        if part[0] == "examples" and target.parent == source.parent:
            return  # an example's own header
        if only_public:
            self.fault(source, number, f'"{name}" is private and not installed')
            return
        owner = "cli" if part[0] == "apps" else part[1]
        if owner != floor and owner not in BELOW[floor]:
            self.fault(source, number, f'"{name}" lies on the floor {owner}, not below {floor}')

    def public_owner_quietly(self, header):
        match = OWNER.match(header.read_text(encoding="utf-8").split("\n", 1)[0])
        return match.group(1) if match else None

    def resolve(self, source, name):
        for folder in (source.parent, self.root / "src", self.root / "include",
                       self.root / "apps"):
            candidate = (folder / name).resolve()
            if candidate.is_file() and candidate.is_relative_to(self.root.resolve()):
                return self.root / candidate.relative_to(self.root.resolve())
        return None


def sources_under(folder):
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.rglob("*") if p.suffix in SOURCE_SUFFIXES and p.is_file())


def main(arguments):
    root = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).resolve().parents[2]
    repository = Repository(root)
    faults = repository.check()
    for fault in faults:
        print(fault)
    print(f"floors: {len(faults)} fault(s)")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
