"""A proxy between the client and an S3 server that breaks what it is told to break.

Faults count requests: each is a function of the request's number, method and path that says what
to do with it. It passes bytes on as they are, so signatures stay good. Standard library only.
"""

import asyncio
import threading

HEAD_BYTES_MAX = 1 << 16


class Request:
    def __init__(self, number, head, body):
        self.number = number
        self.head = head
        self.body = body
        self.method, self.path = head.split(b"\r\n", 1)[0].decode().split(" ")[:2]


def pass_on(_request):
    return ("pass",)


async def read_message(reader, has_body=True):
    """Head and body of one HTTP message with a length; the body of a HEAD's answer is absent."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = await reader.readexactly(length) if has_body and length else b""
    return head, body


def xml_error(status, code, extra=b""):
    body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    return (f"HTTP/1.1 {status} Injected\r\nContent-Length: {len(body)}\r\n".encode()
            + extra + b"\r\n" + body)


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:]


class FaultProxy:
    """Listens on a free loopback port; runs in a thread of its own."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.port = None
        self.plan = pass_on
        self.requests = []
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(10)

    def break_with(self, plan):
        with self._lock:
            self.plan = plan
            self.requests = []

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda *_: None)  # broken connections are its purpose
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES_MAX))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(
            asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        self._loop.close()

    def _stop(self):
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.stop()

    async def _serve(self, reader, writer):
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _exchange(self, reader, writer):
        """One request and its answer; false when the connection is to be closed."""
        head, body = await read_message(reader)
        with self._lock:
            request = Request(len(self.requests), head, body)
            self.requests.append(request)
            what, *arguments = self.plan(request)
        if what == "cut-before":       # the server never sees it
            return False
        if what == "answer":           # the proxy answers by itself
            writer.write(arguments[0])
            await writer.drain()
            return True
        if what == "delay":
            await asyncio.sleep(arguments[0])
        if what == "flip-request":
            request.body = flip(request.body, len(request.body) // 2)
        answer_head, answer_body = await self._ask(request)
        if what == "cut-after":        # the server did it, the answer is lost
            return False
        if what == "truncate":         # half of the body, then a hang-up
            writer.write(answer_head + answer_body[:len(answer_body) // 2])
            await writer.drain()
            return False
        if what == "stall":            # half of the body, then silence
            writer.write(answer_head + answer_body[:len(answer_body) // 2])
            await writer.drain()
            await asyncio.sleep(arguments[0])
            return False
        if what == "shorten":          # a consistent message, but less than there is
            shorter = answer_body[:len(answer_body) // 2]
            answer_head = answer_head.replace(b"Content-Length: %d" % len(answer_body),
                                              b"Content-Length: %d" % len(shorter))
            answer_body = shorter
        if what == "flip-answer" and answer_body:
            answer_body = flip(answer_body, len(answer_body) // 2)
        writer.write(answer_head + answer_body)
        await writer.drain()
        return True

    async def _ask(self, request):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.server_port, limit=HEAD_BYTES_MAX)
        try:
            writer.write(request.head + request.body)
            await writer.drain()
            return await read_message(reader, has_body=request.method != "HEAD")
        finally:
            writer.transport.abort()
