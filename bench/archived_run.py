"""A run for benchmarks of archives: four nodes, thousands of traces, every group trained."""

from __future__ import annotations

import itertools
import json

import numpy as np

from cascade_operator.archive.model import (
    GroupArchive,
    NodeMatrices,
    RunArchive,
    SplitRow,
    TrialRow,
)

NODES = ("agent-00-autogen-bmad", "agent-10-baml-transform", "agent-20-speckit-dspy", "agent-30")
_TRIALS = 40
_CLUSTERS = 60
_WORDS = "choose the function that answers this request and give each argument its value"


def archived_run(traces: int, *, seed: int = 42) -> RunArchive:
    """Returns a run as the final archive Job collects it."""
    draw = np.random.default_rng(seed)
    ids = tuple(f"{number:06d}-{draw.bytes(6).hex()}" for number in range(traces))
    splits = draw.choice(["training", "validation", "heldOut"], traces, p=[0.4, 0.4, 0.2])
    validated = _unit(draw, traces, 256)
    matrices = {
        node: NodeMatrices(
            record_ids=ids,
            in_red=_unit(draw, traces, 64),
            in_raw=_unit(draw, traces, 256),
            out_red=_unit(draw, traces, 64),
            out_raw=_unit(draw, traces, 256),
            validated_raw=validated,
        )
        for node in NODES
    }
    positions = range(len(NODES))
    chosen = [c for size in positions for c in itertools.combinations(positions, size + 1)]
    validation = int((splits == "validation").sum())
    groups = [_group(draw, group, validation) for group in chosen]
    return RunArchive(
        config_json=json.dumps({"name": "bench", "spec": {"seed": seed}}).encode(),
        session_id="20260101T000000Z",
        namespace="bench",
        session="bench",
        progressive=False,
        split=tuple(
            SplitRow(name, draw.bytes(32).hex(), str(split))  # type: ignore[arg-type]
            for name, split in zip(ids, splits, strict=True)
        ),
        candidates_json=json.dumps({node: [_text(draw, 200)] * 8 for node in NODES}).encode(),
        groups={group.key: group for group in groups},
        io_matrices=matrices,
        recipe="bench",
    )


def _group(draw: np.random.Generator, positions: tuple[int, ...], validation: int) -> GroupArchive:
    nodes = tuple(NODES[position] for position in positions)
    trials = tuple(
        TrialRow(
            number=number,
            choice={node: int(draw.integers(8)) for node in nodes},
            score=float(draw.random()),
            kind="whole",
            examples=validation,
            origin="search",
        )
        for number in range(_TRIALS)
    )
    scores = draw.random((_TRIALS, validation)).round(4).tolist()
    return GroupArchive(
        key="_".join(f"{position:02d}" for position in positions),
        nodes=nodes,
        checkpoint_json=json.dumps({"version": 1, "scores": scores}).encode(),
        posterior=1 + draw.random((validation, 2)) * _TRIALS,
        trials=trials,
        program_json=json.dumps({"instructions": _text(draw, 400)}).encode(),
        result={"score": 0.5},
    )


def _unit(draw: np.random.Generator, rows: int, width: int) -> np.ndarray:
    """Clustered unit vectors, as embeddings of texts of a few kinds are."""
    centres = draw.standard_normal((_CLUSTERS, width))
    vectors = centres[draw.integers(_CLUSTERS, size=rows)]
    vectors = vectors + 0.6 * draw.standard_normal((rows, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def _text(draw: np.random.Generator, words: int) -> str:
    known = [
        "choose",
        "the",
        "function",
        "that",
        "answers",
        "this",
        "request",
        "and",
        "give",
        "each",
        "argument",
        "its",
        "value",
    ]
    return " ".join(known[int(place)] for place in draw.integers(len(known), size=words))
