"""A run that saves into a bucket while the bucket goes away and comes back.

Skipped where the server is not there, as test_s3.py says. KILTER_LONG_TESTS=1: away for 30 seconds.
"""

import os
import re
import subprocess
import time

import pytest

from fault_proxy import FaultProxy
from test_s3 import environment, running_server

AWAY_SECONDS = 30 if os.environ.get("KILTER_LONG_TESTS") else 4


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    with running_server(repository, tmp_path_factory.mktemp("s3-training")) as port:
        yield port


@pytest.fixture
def text(repository, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(p.read_text() for p in sorted((repository / "spec").glob("*.md"))))
    return path


def test_training_goes_on_while_the_bucket_is_away(build_folder, kilter, server, text, tmp_path):
    store = "s3://bucket/run.kilter"
    with FaultProxy(server) as proxy:
        settings = environment(proxy.port, KILTER_CACHE=str(tmp_path / "cache"))
        run = subprocess.Popen([build_folder / "charlm", text, store, "100000", "20"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, **settings})
        seen = []

        def steps_until(condition, seconds=120):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                line = run.stdout.readline()
                assert line, "".join(seen)
                seen.append(line)
                if condition(line):
                    return line
            raise AssertionError("".join(seen))

        for _ in range(4):
            steps_until(lambda line: line.startswith("step "))
        proxy.break_with(lambda request: ("cut-before",))
        time.sleep(AWAY_SECONDS)
        proxy.break_with(lambda request: ("pass",))
        back = len(seen)
        for _ in range(6):
            steps_until(lambda line: line.startswith("step "))
        run.kill()
        run.stdout.close()
        run.wait()
    # Each step was saved in the end, or its loss was told; none was torn.
    told = [line for line in seen if line.startswith("not saved")]
    assert all("127.0.0.1" in line or "s3://" in line for line in told), told
    assert len(seen) > back
    at = environment(server, KILTER_CACHE=str(tmp_path / "cache2"))
    log = kilter("log", store, "--json", status=0, env=at).json["commits"]
    saved = {commit["metadata"]["step"] for commit in log}
    trained = [int(re.match(r"step (\d+)", line).group(1)) for line in seen if line.startswith("step ")]
    assert max(saved) >= trained[-3]  # it saves again
    assert len(set(trained) - saved) <= len(told) + 1  # the last was on its way when the run was killed
    kilter("check", store, "--data", status=0, env=at, timeout=120)
    again = subprocess.run([build_folder / "charlm", text, store, str(max(saved) + 20), "20"], check=True,
                           capture_output=True, text=True, env={**os.environ, **at})
    assert f"continues from step {max(saved)}" in again.stdout
