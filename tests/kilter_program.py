"""The built program, run the way a person would."""

import json
import os
import subprocess


class Run:
    """One finished run of the program."""

    def __init__(self, completed):
        self.status = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.status}\n--- out\n{self.out}\n--- err\n{self.err}"


class Program:
    """Runs `kilter` the way a person would: arguments in, status and text out."""

    def __init__(self, path, cache):
        self.path = path
        self.cache = str(cache)  # not the user's own

    def __call__(self, *arguments, status=None, timeout=120, env=None, cwd=None,
                 prefix=()):
        """Runs `PREFIX... kilter ARGUMENTS...`; with `status`, fails unless it exits so."""
        completed = subprocess.run(
            [*prefix, str(self.path), *map(str, arguments)], capture_output=True, text=True,
            errors="surrogateescape", stdin=subprocess.DEVNULL, timeout=timeout, cwd=cwd,
            env={**os.environ, "KILTER_CACHE": self.cache, **(env or {})}, check=False)
        run = Run(completed)
        if status is not None:
            assert run.status == status, run
        return run
