"""docs/first-session.md, typed as it stands: the chart's own Redis and Ollama, real models."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from api.custom_resource import ROOT, delete_crd
from api.rest import ApiError, wait_for
from cascade_operator.api.quantity import parse_quantity
from cascade_operator.archive.reader import read_archive
from chart.helm import CHART
from cluster.images import OLLAMA, OPERATOR, REDIS, WEIGHTS, WORKER
from cluster.reader import Reader
from cluster.sessions import archive_files, assert_verified, sizes_of
from cluster.weights import CHAT, DIMENSIONS, EMBEDDING
from fakes.documents import command_lines

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
IMAGES = {
    OPERATOR: f"registry.example/cascade-operator:{VERSION}",
    WORKER: f"registry.example/cascade-operator-worker:{VERSION}",
    REDIS: f"docker.io/library/redis:{VALUES['redis']['image']['tag']}",
    OLLAMA: f"docker.io/ollama/ollama:{VALUES['ollama']['image']['tag']}",
}
"""What stands in for the images that the page and the chart name."""
SMALLER = {
    "cascade": {
        "tiers": [
            {"name": "speckit", "code": 20, "nodes": [{"name": "agent-20-speckit-dspy"}]},
            {"name": "execution", "code": 30, "nodes": [{"name": "agent-30-dspy-execution"}]},
        ]
    },
    "traces": {"import": "bfcl", "maxRecords": 6, "maxPromptChars": 1300},
    "models": {
        "task": {"maxTokens": 64, "contextLength": 2048, "timeout": "300s"},
        "embedding": {"dimensions": DIMENSIONS},
        "reduction": {"method": "PCA"},
    },
}
"""The page's session with the last two of its agents: three groups, which a test can wait for."""


@pytest.fixture(scope="module")
def reader(bed, tmp_path_factory) -> Iterator[Reader]:
    """Someone at a checkout, with a cluster that has never seen the project."""
    folder = tmp_path_factory.mktemp("checkout")
    programs = (bed.parts.programs[name] for name in ("helm", "kubectl"))
    made = Reader.with_programs(folder, bed.plane.kubeconfig, *programs)
    (folder / "charts").symlink_to(ROOT / "charts")
    _write_session(folder / "examples" / "first-session.yaml")
    _write_models(folder / "models.yaml")
    with suppress(ApiError):
        delete_crd(bed.rest)
    bed.node.load(bed.parts.ollama)
    for image, name in IMAGES.items():
        bed.node.name_image(image, name)
    bed.namespaces += ["cascade-system", "team"]
    yield made
    try:
        for command in command_lines("install.md")[-3:]:
            made.types(command)
    finally:
        bed.delete_namespaces()


def _write_session(file: Path) -> None:
    text = (ROOT / "examples" / file.name).read_text(encoding="utf-8")
    claim, session = yaml.safe_load_all(text)
    session["spec"] |= SMALLER
    file.parent.mkdir()
    file.write_text(yaml.safe_dump_all([claim, session]), encoding="utf-8")


def _write_models(file: Path) -> None:
    """No network: models of the same names are made of weights in the image.

    One thread each: more wait for one another where the workers take the cores, ten times as long.
    """
    names = [model["name"] for model in VALUES["ollama"]["models"]]
    models = [
        {"name": name, "modelfile": f"FROM {WEIGHTS}/{weights}\nPARAMETER num_thread 1\n"}
        for name, weights in zip(names, (CHAT, EMBEDDING), strict=True)
    ]
    file.write_text(yaml.safe_dump({"ollama": {"models": models}}), encoding="utf-8")


def test_a_newcomer_gets_from_the_first_page_to_a_complete_session(bed, reader):
    commands = deque(command_lines("first-session.md"))

    def typed(part: str, more: str = "", *, seconds: float = 120) -> str:
        return reader.types(_next(commands, part) + more, seconds=seconds)

    typed("helm install", " --values=models.yaml")
    for name in ("cascade-operator", "cascade-operator-redis", "cascade-operator-ollama"):
        typed(f"/{name}", seconds=300)
    typed("create namespace")
    assert "first created" in typed("apply -f examples/first-session.yaml")
    with reader.watches(_next(commands, "get ts first -w")) as seen:
        wait_for("the first Job", lambda: "first-r1-prepare" in reader.types(commands[0]))
        commands.popleft()
        typed("wait --for=condition=Complete", seconds=480)
        wait_for("the watch shows the end", lambda: "Complete" in seen.read_text())
    phases = [line.split()[1] for line in seen.read_text().splitlines()[1:]]
    assert list(dict.fromkeys(phases))[-4:] == ["Preparing", "Training", "Archiving", "Complete"]
    describe = _next(commands, "describe ts first")
    wait_for("the events tell of the end", lambda: "RunComplete" in reader.types(describe))
    best = json.loads(typed("jsonpath='{.status.best}'"))
    status = json.loads(reader.types("kubectl -n team get ts first -o json"))["status"]
    _is_whole(status)
    assert best == status["best"]
    _is_archived(archive_files(bed, "team"))
    said = bed.log("cascade-system", "cascade-operator-ollama-0")
    assert said.count('"/api/chat"') >= 20, said[-2000:]
    assert said.count('"/api/embed"') >= 1, said[-2000:]
    _is_published_or_not(reader, _next(commands, "configmap first-program"), status)
    typed("retrain=")
    _wait_for_the_second_run(reader)
    typed("delete ts first")
    wait_for(
        "what the session had is gone",
        lambda: not json.loads(reader.types("kubectl -n team get jobs,pods -o json"))["items"],
    )
    assert not commands, "the page shows more commands"


def _next(commands: deque[str], part: str) -> str:
    command = commands.popleft()
    assert part in command, f"the page's next command is {command}"
    return command


def _is_whole(status) -> None:
    assert status["phase"] == "Complete", status
    groups = {group["name"]: group for group in status["groups"]}
    assert set(groups) == {"00", "01", "00_01"}
    for group in groups.values():
        assert group["phase"] == "Succeeded", group
        assert 0 <= float(group["baseline"]) <= float(group["score"]) <= 1, group
        assert parse_quantity(group["peakMemory"]) > 32 << 20, group
    nodes = [entry["node"] for entry in status["attribution"]]
    assert nodes == ["agent-20-speckit-dspy", "agent-30-dspy-execution"]
    assert status["progress"]["modelCalls"] >= 20, status["progress"]
    assert status["progress"]["tokens"] > 1000, status["progress"]


def _is_archived(files: list[Path]) -> None:
    assert sizes_of(files) == ["01", "02"], files
    assert_verified(files)
    for matrices in read_archive(files[0]).io_matrices.values():
        assert matrices.in_raw.shape == (len(matrices.record_ids), DIMENSIONS)
        assert (abs((matrices.in_raw.astype("f4") ** 2).sum(axis=1) - 1) < 0.01).all()


def _is_published_or_not(reader: Reader, command: str, status) -> None:
    """With so few records the declared program is often as good: then there is no ConfigMap."""
    if status["published"]["reason"] == "Published":
        assert all(isinstance(text, str) for text in json.loads(reader.types(command)).values())
        return
    assert status["published"]["reason"] == "PublishSkipped", status["published"]
    with pytest.raises(AssertionError, match="NotFound"):
        reader.types(command)


def _wait_for_the_second_run(reader: Reader) -> None:
    def look() -> bool:
        run = json.loads(reader.types("kubectl -n team get ts first -o jsonpath='{.status.run}'"))
        return run["number"] == 2 and bool(run.get("warmStartedFrom"))

    wait_for("a second run starts from the archives of the first", look)
