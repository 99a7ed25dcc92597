"""How the process ends where it cannot begin: its exit code, and words that mend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.session_api import SessionApi

CASCADE = Path(sys.executable).with_name("cascade")

pytestmark = pytest.mark.process


def start(*flags):
    """Runs an operator to its end; returns its exit code and all it said."""
    theirs = ("KUBE", "CASCADE_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(theirs)}
    ports = ("--health-port=0", "--metrics-port=0", "--log-format=json")
    done = subprocess.run(
        [CASCADE, "operator", *ports, *flags],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    return done.returncode, done.stdout + done.stderr


def messages(said):
    """Every line of its log is an object."""
    return [json.loads(line)["message"] for line in said.splitlines()]


def test_without_the_crd_it_ends_with_1_and_says_how_to_install_it(tmp_path):
    with SessionApi(installed=False) as api:
        code, said = start(f"--kubeconfig={api.kubeconfig(tmp_path)}")
    assert code == 1
    assert "does not serve trainingsessions" in messages(said)[-1]
    assert "kubectl apply -f crds/" in messages(said)[-1]


@pytest.mark.parametrize(
    ("content", "flags", "words"),
    [
        pytest.param(None, (), "kubeconfig", id="no-file"),
        pytest.param("a: [", (), "kubeconfig", id="no-yaml"),
        pytest.param("{}", ("--context=other",), "other", id="no-such-context"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path, content, flags, words):
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    code, said = start(f"--kubeconfig={file}", *flags)
    assert code == 64, said
    assert words in messages(said)[-1]
    assert "to mend: name one with --kubeconfig" in messages(said)[-1]


def test_a_wrong_setting_ends_it_before_anything_is_asked():
    code, said = start("--workers=0")
    assert code == 64
    assert "--workers = 0 cannot be used" in said
