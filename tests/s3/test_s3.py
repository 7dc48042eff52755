"""The S3 client against a real server (versitygw on a folder), straight and through faults.

Every fault must end in success, by trying again, or in an honest error: never in wrong data.
Skipped where the server is not there: `scripts/setup --python` installs it where Go is present.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest

from fault_proxy import FaultProxy, xml_error

KEYS = {"AWS_ACCESS_KEY_ID": "kilter-test", "AWS_SECRET_ACCESS_KEY": "kilter-test-secret"}
BIG = 11 << 20  # three parts
SMALL = 5000


def server_program(repository):
    own = repository / ".cache" / "bin" / "versitygw"
    return str(own) if own.is_file() else shutil.which("versitygw")


def wait_for(port, process):
    for _ in range(200):
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


@contextlib.contextmanager
def running_server(repository, data, *options):
    """versitygw on a free port over an empty bucket; the port."""
    program = server_program(repository)
    if program is None:
        pytest.skip("no versitygw: run `scripts/setup --python` where Go is installed")
    (data / "root" / "bucket").mkdir(parents=True)
    (data / "meta").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A sidecar, because not every file system has extended attributes.
    process = subprocess.Popen(
        [program, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive", *options,
         "--access", KEYS["AWS_ACCESS_KEY_ID"], "--secret", KEYS["AWS_SECRET_ACCESS_KEY"], "posix", "--sidecar", str(data / "meta"),
         str(data / "root")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    with running_server(repository, tmp_path_factory.mktemp("s3")) as port:
        yield port


@pytest.fixture(scope="module")
def proxy(server):
    with FaultProxy(server) as running:
        yield running


def environment(port, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "KILTER_S3"))
             and not k.lower().endswith("_proxy")}
    return {**clean, **KEYS, "HOME": "/nonexistent",
            "KILTER_S3_ENDPOINT": f"http://127.0.0.1:{port}", **more}


@pytest.fixture(scope="module")
def driver(build_folder):
    path = build_folder / "tests" / "s3_driver"
    assert path.is_file(), f"{path} is not built: run `make build`"

    def run(port, *arguments, bucket="bucket", timeout=120, **more):
        done = subprocess.run(
            [str(path), f"s3://{bucket}/runs.kilter", *map(str, arguments)], capture_output=True,
            text=True, timeout=timeout, env=environment(port, **more), check=False)
        assert done.returncode == 0, done.stderr
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
        return done.stdout.strip()

    return run


def first(count, *what, method=None):
    """The first `count` requests (of one method) break, later ones pass."""
    seen = [0]

    def plan(request):
        if method is not None and request.method != method:
            return ("pass",)
        seen[0] += 1
        return what if seen[0] <= count else ("pass",)

    return plan


def test_conformance_suite(build_folder, server):
    done = subprocess.run(
        [str(build_folder / "io_test"), "--gtest_filter=All/ObjectStores.*/S3"],
        capture_output=True, text=True, timeout=300, check=False,
        env=environment(server, KILTER_S3_TEST_ADDRESS="s3://bucket/suite"))
    assert done.returncode == 0, done.stdout[-4000:]
    assert "SKIPPED" not in done.stdout


REPEATABLE = [
    ("cut-before",), ("cut-after",), ("delay", 0.2),
    ("answer", xml_error(500, "InternalError")), ("answer", xml_error(502, "")),
    ("answer", xml_error(503, "SlowDown")), ("answer", xml_error(503, "ServiceUnavailable")),
    ("answer", xml_error(429, "TooManyRequests", b"Retry-After: 1\r\n")),
    ("answer", xml_error(400, "RequestTimeout")),
]


@pytest.mark.parametrize("fault", REPEATABLE, ids=lambda f: repr(f)[:48])
def test_faults_are_survived(driver, proxy, fault):
    proxy.break_with(first(2, *fault))
    assert driver(proxy.port, "put", "big", BIG, 1).startswith("ok")
    proxy.break_with(first(2, *fault))
    assert driver(proxy.port, "get", "big", BIG, 1) == "ok"
    proxy.break_with(first(2, *fault))
    assert driver(proxy.port, "put", "small", SMALL, 2).startswith("ok")
    proxy.break_with(first(2, *fault))
    assert driver(proxy.port, "text", "small", SMALL, 2).startswith("ok")
    proxy.break_with(first(2, *fault))
    assert " small:5000" in driver(proxy.port, "list")


@pytest.mark.parametrize("fault", [("truncate",), ("stall", 4), ("shorten",)], ids=str)
def test_answers_that_end_early_are_read_again(driver, proxy, fault):
    proxy.break_with(first(0))
    driver(proxy.port, "put", "big", BIG, 3)
    driver(proxy.port, "put", "small", SMALL, 4)
    for arguments in (("get", "big", BIG, 3), ("range", "big", BIG, 3, 100, 5 << 20),
                      ("text", "small", SMALL, 4)):
        proxy.break_with(first(1, *fault))
        assert driver(proxy.port, *arguments).startswith("ok")


def test_bytes_changed_on_the_way_are_noticed(driver, proxy):
    proxy.break_with(first(1, "flip-request"))
    assert driver(proxy.port, "put", "flipped", SMALL, 5).startswith("ok")
    proxy.break_with(first(1, "flip-request", method="PUT"))
    assert driver(proxy.port, "put", "flipped-big", BIG, 5).startswith("ok")
    proxy.break_with(first(0))
    assert driver(proxy.port, "text", "flipped", SMALL, 5).startswith("ok")
    assert driver(proxy.port, "get", "flipped-big", BIG, 5) == "ok"
    proxy.break_with(first(1, "flip-answer"))
    assert driver(proxy.port, "text", "flipped", SMALL, 5).startswith("ok")
    assert len(proxy.requests) == 2
    proxy.break_with(lambda request: ("flip-answer",))
    assert driver(proxy.port, "text", "flipped", SMALL, 5).startswith("error io")


def test_flipped_listings_never_crash(driver, proxy):
    proxy.break_with(lambda request: ("flip-answer",))
    answer = driver(proxy.port, "list")
    assert answer.startswith(("ok", "error"))


def test_lasting_faults_end_in_an_honest_error(driver, proxy):
    proxy.break_with(lambda request: ("answer", xml_error(403, "AccessDenied")))
    assert driver(proxy.port, "put", "x", SMALL, 1).startswith("error permission")
    assert len(proxy.requests) == 1
    proxy.break_with(lambda request: ("answer", xml_error(503, "SlowDown")))
    answer = driver(proxy.port, "list")
    assert answer.startswith("error io") and "SlowDown" in answer and "attempt 8" in answer


def test_redirects_name_the_region(driver, proxy):
    proxy.break_with(lambda request: ("answer", xml_error(
        301, "PermanentRedirect", b"x-amz-bucket-region: eu-west-1\r\n"
        b"Location: http://127.0.0.1:1/elsewhere\r\n")))
    assert "AWS_REGION=eu-west-1" in driver(proxy.port, "list")
    assert len(proxy.requests) == 1


def test_a_reference_is_written_once_though_its_answer_is_lost(driver, proxy):
    proxy.break_with(first(1, "cut-after"))
    name = "refs/heads/lost"
    assert driver(proxy.port, "put", name, 100, 1, "absent").startswith("ok")
    etag = driver(proxy.port, "text", name, 100, 1).split(" ")[1]
    proxy.break_with(first(1, "cut-after"))
    assert driver(proxy.port, "put", name, 100, 2, etag).startswith("ok")
    assert driver(proxy.port, "put", name, 100, 3, etag).startswith("error already_exists")
    assert driver(proxy.port, "text", name, 100, 2).startswith("ok")


def test_a_completed_upload_whose_answer_is_lost_is_found(driver, proxy):
    seen = [0]

    def plan(request):
        if request.method != "POST" or "uploadId" not in request.path:
            return ("pass",)
        seen[0] += 1
        return ("cut-after",) if seen[0] == 1 else ("pass",)

    for condition in ((), ("absent",)):
        seen[0] = 0
        proxy.break_with(plan)
        name = f"completed-{len(condition)}"
        assert driver(proxy.port, "put", name, BIG, 7, *condition).startswith("ok")
        assert driver(proxy.port, "get", name, BIG, 7) == "ok"


def test_failed_uploads_leave_nothing(driver, proxy):
    def plan(request):
        if "partNumber=2" in request.path:
            return ("answer", xml_error(403, "AccessDenied"))
        return ("pass",)

    proxy.break_with(first(0))
    driver(proxy.port, "stale", 3600)  # what lost answers to CreateMultipartUpload left
    proxy.break_with(plan)
    assert driver(proxy.port, "put", "failed", BIG, 8).startswith("error permission")
    assert any(request.method == "DELETE" for request in proxy.requests)
    proxy.break_with(first(0))
    assert driver(proxy.port, "stale", 3600) == "ok 0"


def test_left_uploads_are_removed(driver, proxy):
    def plan(request):
        if "partNumber" in request.path or request.method == "DELETE":
            return ("answer", xml_error(403, "AccessDenied"))
        return ("pass",)

    proxy.break_with(plan)
    answer = driver(proxy.port, "put", "left", BIG, 8)
    assert answer.startswith("error permission") and "unfinished upload" in answer
    proxy.break_with(first(0))
    assert driver(proxy.port, "stale", 3600) == "ok 1"
    assert driver(proxy.port, "stale", 3600) == "ok 0"


def test_cancelling_ends_soon(driver, proxy):
    proxy.break_with(lambda request: ("delay", 30))
    begin = time.monotonic()
    answer = driver(proxy.port, "list", KILTER_S3_TEST_CANCEL_MS="300")
    assert answer.startswith("error cancelled")
    assert time.monotonic() - begin < 5


def test_wrong_keys_and_buckets_are_explained(driver, server):
    answer = driver(server, "list", AWS_SECRET_ACCESS_KEY="wrong")
    assert answer.startswith("error permission") and "AWS_SECRET_ACCESS_KEY" in answer
    answer = driver(server, "list", bucket="no-such-bucket")
    assert answer.startswith("error not_found") and "NoSuchBucket" in answer
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = driver(free.getsockname()[1], "list")
    assert answer.startswith("error io") and "check the network" in answer


def test_certificates_are_checked(repository, driver, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(certificate)],
                   check=True, capture_output=True)
    with running_server(repository, tmp_path, "--cert", str(certificate),
                        "--key", str(key)) as port:
        there = {"KILTER_S3_ENDPOINT": f"https://127.0.0.1:{port}"}
        answer = driver(port, "list", **there)
        assert answer.startswith("error io") and "AWS_CA_BUNDLE" in answer
        there["AWS_CA_BUNDLE"] = str(certificate)
        assert driver(port, "put", "big", BIG, 1, **there).startswith("ok")
        assert driver(port, "get", "big", BIG, 1, **there) == "ok"


def test_without_libcurl_the_package_is_named(driver, tmp_path):
    for name in ("libcurl.so.4", "libcurl-gnutls.so.4"):
        (tmp_path / name).write_bytes(b"")  # found first, and no library
    answer = driver(1, "list", LD_LIBRARY_PATH=str(tmp_path))
    assert answer.startswith("error unsupported") and "libcurl4" in answer


def test_the_program_does_not_link_libcurl(build_folder):
    listed = subprocess.run(["ldd", str(build_folder / "tests" / "s3_driver")],
                            capture_output=True, text=True, check=True).stdout
    assert "libcurl" not in listed
