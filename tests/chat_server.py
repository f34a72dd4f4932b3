"""An OpenAI-compatible server of this machine that answers from a script and fails on demand."""

import json
import math
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
#: What may go wrong with a request instead of an answer: a status with its headers and message (or whole body), or
#: one of these.
CUT, GARBAGE, NO_CHOICES, SLOW, DRIP = "cut", "garbage", "no choices", "slow", "drip"
Fault = str | tuple[int, dict[str, str], str | Body]


def options(body: Body) -> list[str]:
    """The answers that a request allows; yes where it allows any."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    asked = schema.get("properties", {}).get("answer", {})
    if asked.get("type") == "array":
        return ['[{"attribute": "color", "value": "red", "source": "product title"}]']
    return list(asked.get("enum", ["yes"]))


def first_option(body: Body) -> str:
    """The content of an answer: the first that is allowed, in the form asked for."""
    chosen = options(body)[0]
    if "response_format" not in body:
        return chosen
    return f'{{"answer": {chosen if chosen.startswith("[") else json.dumps(chosen)}}}'


class ChatServer(ThreadingHTTPServer):
    """Each request uses up one of `faults` (None: no fault); then it is answered by `say`, `refused` permitting.

    `changed` makes of a completion what is sent. A `silent` server takes no notice of a wish for log-probabilities.
    One that stands `before` another, by its address, passes on what it does not fail.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.say: Callable[[Body], str] = first_option
        self.changed: Callable[[Body], object] = lambda made: made
        self.faults: list[Fault | None] = []
        self.refused: Callable[[Body], str | None] = lambda body: None
        self.read = 100
        self.finish = "stop"
        self.silent = False
        self.before: str | None = None
        self.delay = 0.0
        self.slow = 2.0
        self.bodies: list[Body] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.most_at_a_time = 0
        self.under_way = 0
        self.connected = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reply(self, body: Body) -> bytes:
        """An answer as it is sent."""
        if self.before is not None:
            url = f"{self.before}/chat/completions"
            passed = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(passed, timeout=60) as answer:
                return bytes(answer.read())
        told = {**body, "logprobs": False} if self.silent else body
        return json.dumps(self.changed(completion(self.say(body), told, self.read, self.finish))).encode()

    @property
    def asked(self) -> list[str]:
        """The users' messages, in the order in which they came."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.connected += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.lock:
            self.connected -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed or gave up is no fault of the server's."""


class Handler(BaseHTTPRequestHandler):
    """Chat completions alone."""

    protocol_version = "HTTP/1.1"
    server: ChatServer

    def log_message(self, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.bodies.append(body)
            server.keys.append(self.headers.get("Authorization"))
            server.times.append(time.monotonic())
            fault = server.faults.pop(0) if server.faults else None
            server.under_way += 1
            server.most_at_a_time = max(server.most_at_a_time, server.under_way)
        try:
            time.sleep(server.delay)
            self._answer(body, fault)
        finally:
            with server.lock:
                server.under_way -= 1

    def _answer(self, body: Body, fault: Fault | None) -> None:
        server = self.server
        if self.path != "/v1/chat/completions":
            return self._send(404, {"error": {"message": "no such path"}})
        if isinstance(fault, tuple):
            code, headers, message = fault
            if isinstance(message, dict):
                return self._send(code, message, headers)
            return self._send(code, {"error": {"message": message, "code": headers.pop("code", None)}}, headers)
        if fault == SLOW:
            time.sleep(server.slow)
        if fault == GARBAGE:
            return self._send(200, b"<html>{not json")
        if fault == NO_CHOICES:
            return self._send(200, {"error": "overloaded"})
        refused = server.refused(body)
        if refused is not None:
            return self._send(400, {"error": {"message": refused}})
        reply = server.reply(body)
        if fault in (CUT, DRIP):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            for _ in range(int(server.slow / 0.05) if fault == DRIP else 0):  # blanks, to keep the connection alive
                self.wfile.write(b" ")
                time.sleep(0.05)
            self.wfile.write(reply[: len(reply) // 2])
            self.close_connection = True
            return None
        return self._send(200, reply)

    def _send(self, code: int, what: Body | bytes, headers: dict[str, str] | None = None) -> None:
        said = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


def completion(content: str, body: Body, read: int = 100, finish: str = "stop") -> Body:
    """A chat completion as servers write it, of `read` prompt tokens.

    Where log-probabilities are asked for, a character is a token; in the place of the answer's first one the first
    two allowed answers have .6 and .2, and "Zebra" has the rest.
    """
    choice: Body = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    if body.get("logprobs"):
        allowed = options(body)
        start = content.index(': "') + 3 if content.startswith("{") else 0
        tokens = []
        for place, character in enumerate(content):
            likely = {character: 1.0}
            if place == start:
                likely = {allowed[0][0]: 0.6, allowed[-1 if len(allowed) == 1 else 1][0].upper(): 0.2, "Zebra": 0.2}
            top = [{"token": token, "logprob": math.log(share)} for token, share in likely.items()]
            tokens.append({"token": character, "logprob": 0.0, "top_logprobs": top[: body["top_logprobs"]]})
        choice["logprobs"] = {"content": tokens}
    usage = {"prompt_tokens": read, "completion_tokens": 7, "total_tokens": read + 7}
    made = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
    return {**made, "usage": usage}


@contextmanager
def serving() -> Iterator[ChatServer]:
    """A server that answers until the block ends."""
    made = ChatServer()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def refusing(names: Collection[str], say_which: bool = True) -> Callable[[Body], str | None]:
    """Refuses requests that ask for one of these, saying which or not."""

    def refused(body: Body) -> str | None:
        there = [name for name in names if name in body]
        if not there:
            return None
        return f"Unsupported parameter: '{there[0]}'." if say_which else "Invalid request."

    return refused
