"""Runs of real frameworks in processes that can be killed."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


class Started:
    """One run, in a process of its own."""

    def __init__(self, forks, pid, folder):
        self._forks = forks
        self.pid = pid
        self.folder = folder

    def kill(self, how=signal.SIGKILL):
        os.kill(self.pid, how)

    def status(self):
        """Waits; 0 if it went well, -9 if it was killed."""
        return self._forks.ask(wait=self.pid)["status"]

    @property
    def log(self):
        return (self.folder / "log.txt").read_text(errors="replace")


class Forks:
    """A process that has imported a module of runs."""

    def __init__(self, module, environment):
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "forks.py"), module], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
            env={**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}:{HERE}",
                 "PYTHONWARNINGS": "ignore,default::UserWarning",
                 "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})

    def ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return json.loads(answer)

    def start(self, run, folder, **arguments):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pid = self.ask(run=run, folder=str(folder), arguments=arguments)["pid"]
        return Started(self, pid, folder)

    def __call__(self, run, folder, **arguments):
        """Runs to the end, which must be a good one. Seconds that it took."""
        begun = time.monotonic()
        started = self.start(run, folder, **arguments)
        assert started.status() == 0, started.log
        return time.monotonic() - begun

    def until_done(self, run, folder, seconds, kills=3, **arguments):
        """Starts a run again and again; kills it at random moments of `seconds`, then lets it end.
        Returns the moments."""
        moments = []
        for _ in range(kills):
            started = self.start(run, folder, **arguments)
            moments.append(random.uniform(0, 0.9 * seconds))
            time.sleep(moments[-1])
            started.kill()
            assert started.status() in (-signal.SIGKILL, 0), started.log
        last = self.start(run, folder, **arguments)
        assert last.status() == 0, last.log
        print(f"killed after {', '.join(f'{moment:.2f} s' for moment in moments)}")
        return moments

    def close(self):
        self._process.stdin.close()
        self._process.wait(30)


@pytest.fixture(scope="module")
def forks(request, environment):
    """Runs of the module that a test module calls RUNS."""
    made = Forks(request.module.RUNS, environment)
    made.ask()  # ready: what is timed from here on is runs
    yield made
    made.close()


@pytest.fixture(scope="session")
def guide():
    """The examples of a section of docs/guide/training.md."""
    text = (HERE.parents[2] / "docs" / "guide" / "training.md").read_text()
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))

    def examples(title):
        found = re.findall(r"^```python\n(.*?)^```", sections[title], re.M | re.S)
        assert found
        return found

    return examples
