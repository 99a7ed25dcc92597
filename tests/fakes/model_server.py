"""A model server for tests: both wire forms, each answer a pure function of its request.

It knows the right value of every field of every record (the answer key) and gives it with a
chance that the prompt decides: words of SKILL_WORDS in the instructions and demonstrations raise
it, a doubtful input lowers it. The dice are hashes of record, field and prompt, so the same
request is answered the same in any order, process and thread.

In a test: ``with FakeModelServer(answers) as server: ... server.url``.
As a process (with ``tests`` on PYTHONPATH): ``python -m fakes.model_server --port 0 --answers F``,
which prints its URL; ``GET /_fake/stats`` counts, ``POST /_fake/fail`` breaks it.
"""

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fakes.model_answers import AnswerKey, Skill, answer_chat, embed_text, load_answers
from fakes.model_failures import BODIES, FAILURES, Failure


@dataclass
class Recorded:
    """One request as it came in."""

    path: str
    headers: dict
    body: dict = field(default_factory=dict)


@dataclass
class Hold:
    """Requests that are kept back."""

    wanted: Callable[[Recorded], bool]
    held: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class FakeModelServer:
    """Serves in threads between ``with`` and its end."""

    def __init__(
        self,
        answers=(),
        *,
        skill=None,
        host="127.0.0.1",
        port=0,
        delay=0.0,
        dimensions=768,
        obeys_schema=True,
    ):
        self.key = answers if isinstance(answers, AnswerKey) else AnswerKey(answers)
        self.skill = skill or Skill()
        self.delay = delay
        self.dimensions = dimensions
        self.obeys_schema = obeys_schema
        self.requests = deque(maxlen=5_000)
        self.counts = Counter()
        self.tokens = 0
        self.closing = threading.Event()
        self._failures = deque()
        self._hold = None
        self._lock = threading.Lock()
        self._http = _Http((host, port), _Handler)
        self._http.fake = self
        self.url = f"http://{host}:{self._http.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def chats(self):
        """Chat requests that arrived, those that were made to fail included."""
        with self._lock:
            return sum(n for path, n in self.counts.items() if "chat" in path)

    @property
    def bodies(self):
        """Bodies of the chat requests, in order of arrival."""
        with self._lock:
            return [r.body for r in self.requests if "chat" in r.path]

    def fail(self, kind, times=1, **options):
        """Makes the next requests fail; times -1 means from now on."""
        if kind not in FAILURES:
            raise ValueError(f"no such failure: {kind}")
        with self._lock:
            self._failures.append(Failure(kind, times, **options))

    def recover(self):
        """Forgets the failures that are left."""
        with self._lock:
            self._failures.clear()

    @contextlib.contextmanager
    def hold(self, wanted):
        """Keeps requests back until the block ends; yields what is set once one is held.

        Args:
            wanted: Says of a recorded request whether it is kept back.
        """
        hold = Hold(wanted)
        self._hold = hold
        try:
            yield hold.held
        finally:
            self._hold = None
            hold.released.set()

    def held_back(self, recorded):
        """Waits while a request is kept back."""
        hold = self._hold
        if hold is not None and hold.wanted(recorded):
            hold.held.set()
            hold.released.wait()

    def record(self, recorded):
        with self._lock:
            self.requests.append(recorded)
            self.counts[recorded.path] += 1

    def used(self, tokens):
        with self._lock:
            self.tokens += tokens

    def next_failure(self, body):
        with self._lock:
            if not self._failures or not self._failures[0].wanted(body):
                return None
            failure = self._failures[0]
            if failure.times > 0:
                failure.times -= 1
                if failure.times == 0:
                    self._failures.popleft()
            return failure

    def stats(self):
        with self._lock:
            return {
                "chats": sum(n for p, n in self.counts.items() if "chat" in p),
                "tokens": self.tokens,
                "embeds": sum(n for p, n in self.counts.items() if "embed" in p),
                "paths": dict(self.counts),
            }


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Clients that went away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def fake(self):
        return self.server.fake

    def log_message(self, *_):
        pass

    def do_GET(self):
        gets = {
            "/_fake/stats": self.fake.stats,
            "/health": lambda: {"status": "ok"},
            "/v1/models": lambda: {"object": "list", "data": [{"id": "fake", "object": "model"}]},
            "/api/tags": lambda: {"models": [{"name": "fake:latest", "model": "fake:latest"}]},
            "/api/version": lambda: {"version": "0.0.0-fake"},
            "/api/ps": lambda: {"models": []},
        }
        make = gets.get(self.path)
        if make is None:
            self._reply(404, {"error": "not found"})
        else:
            self._reply(200, make())

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.loads(raw or b"{}")
        if self.path == "/_fake/fail":
            self.fake.fail(**body)
            return self._reply(200, {})
        if self.path == "/_fake/recover":
            self.fake.recover()
            return self._reply(200, {})
        headers = {k.lower(): v for k, v in self.headers.items()}
        recorded = Recorded(self.path, headers, body)
        self.fake.record(recorded)
        self.fake.held_back(recorded)
        failure = self.fake.next_failure(body)
        if failure is not None:
            return self._fail(failure, body)
        routes = {
            "/v1/chat/completions": self._openai_chat,
            "/api/chat": self._ollama_chat,
            "/api/embed": self._ollama_embed,
            "/v1/embeddings": self._openai_embed,
        }
        route = routes.get(self.path)
        if route is None:
            return self._reply(404, {"error": "404 page not found"})
        if self.fake.delay:
            self.fake.closing.wait(self.fake.delay)
        return self._reply(200, route(body))

    def _openai_chat(self, body):
        schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
        said, finish, usage = self._answer(body, schema, body.get("max_tokens"), body.get("seed"))
        return {
            "id": "fake",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    "message": {"role": "assistant", "content": said},
                }
            ],
            "usage": {
                "prompt_tokens": usage[0],
                "completion_tokens": usage[1],
                "total_tokens": sum(usage),
            },
        }

    def _ollama_chat(self, body):
        options = body.get("options", {})
        said, finish, usage = self._answer(
            body, body.get("format"), options.get("num_predict"), options.get("seed")
        )
        return {
            "model": body["model"],
            "message": {"role": "assistant", "content": said},
            "done": True,
            "done_reason": finish,
            "prompt_eval_count": usage[0],
            "eval_count": usage[1],
        }

    def _answer(self, body, schema, limit, seed):
        messages = [(m["role"], m["content"]) for m in body["messages"]]
        said = answer_chat(
            messages,
            schema if self.fake.obeys_schema else None,
            key=self.fake.key,
            skill=self.fake.skill,
            seed=seed if _temperature(body) > 0 else None,
        )
        finish = "stop"
        if limit and len(said) > limit * 4:
            said, finish = said[: limit * 4], "length"
        usage = (sum(len(text) for _, text in messages) // 4, max(1, len(said) // 4))
        self.fake.used(sum(usage))
        return said, finish, usage

    def _ollama_embed(self, body):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        size = body.get("dimensions") or self.fake.dimensions
        return {"model": body["model"], "embeddings": [embed_text(t, size) for t in texts]}

    def _openai_embed(self, body):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        size = body.get("dimensions") or self.fake.dimensions
        data = [
            {"object": "embedding", "index": i, "embedding": embed_text(t, size)}
            for i, t in enumerate(texts)
        ]
        return {"object": "list", "model": body["model"], "data": data, "usage": {}}

    def _fail(self, failure, body):
        if failure.kind == "refuse":
            self.close_connection = True
        elif failure.kind == "hang":
            self.fake.closing.wait(failure.seconds)
            self.close_connection = True
        elif failure.kind == "drip":
            self._send(200, b"{", {"Content-Length": "1000000"})
            with contextlib.suppress(OSError):
                while not self.fake.closing.wait(0.05):
                    self.wfile.write(b" ")
            self.close_connection = True
        elif failure.kind == "half":
            self._send(200, b'{"choices": [', {"Content-Length": "4096"})
            self.close_connection = True
        else:
            status, data = BODIES[failure.kind]
            model = body.get("model", "?").encode()
            headers = {"Retry-After": failure.retry_after} if status == 429 else {}
            if status == 307:
                headers["Location"] = "http://127.0.0.1:9/elsewhere"
            self._send(status, data.replace(b"MODEL", model), headers)

    def _reply(self, status, payload, headers=()):
        self._send(status, json.dumps(payload).encode(), dict(headers))

    def _send(self, status, data, headers):
        headers.setdefault("Content-Length", str(len(data)))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _temperature(body):
    return body.get("temperature", body.get("options", {}).get("temperature", 1.0)) or 0.0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--answers", type=Path, help="JSON list of {field: value}, or JSONL traces")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--dimensions", type=int, default=768)
    options = parser.parse_args()
    answers = load_answers(options.answers) if options.answers else []
    parent = os.getppid()
    with FakeModelServer(
        answers, port=options.port, delay=options.delay, dimensions=options.dimensions
    ) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            while os.getppid() == parent:  # a test that is killed leaves no server behind
                time.sleep(0.5)


if __name__ == "__main__":
    main()
