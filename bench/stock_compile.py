"""One node group compiled by DSPy's own MIPROv2, in a process of its own.

``python stock_compile.py FILE``: FILE is JSON with ``url``, ``nodes`` (the group's), ``trainset``
and ``valset`` (records as {id, inputs, fields, validated}), ``candidates``, ``trials``,
``demonstrations``, ``seed`` and ``threads``. Prints {node: candidate} of what it found.

From us it has the program, its adapters among it, so that its prompts and schemas are ours; DSPy's
are the model with its caches as they come, the optimiser, and the way to freeze the nodes outside
of the group.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import dspy

from cascade_operator.agents.candidate import Candidate, Demonstration
from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.modules import build_module
from cascade_operator.agents.program import CascadeProgram, NodeRuntime, attribute_names
from cascade_operator.api.default_cascade import DEFAULT_CASCADE
from cascade_operator.training.metric import make_metric


class Frozen(dspy.Module):
    """A module that optimisers leave alone."""

    def __init__(self, inner: dspy.Module) -> None:
        super().__init__()
        self.inner = inner
        self._compiled = True

    def forward(self, **given: Any) -> Any:
        """Runs what is frozen."""
        return self.inner(**given)


def main(task: dict[str, Any]) -> dict[str, Any]:
    lm = dspy.LM(
        # A name that DSPy knows to hold answers to a schema.
        "openai/gpt-4o-mini",
        api_base=f"{task['url']}/v1",
        api_key="none",
        temperature=0.0,
        max_tokens=1024,
    )
    dspy.configure(lm=lm, warn_on_type_mismatch=False)
    cascade = Cascade(DEFAULT_CASCADE, lambda _: lm)
    runtimes = [cascade.runtime(name) for name in cascade.node_names]
    student = CascadeProgram((one, _module(one, task["nodes"])) for one in runtimes)
    metric = make_metric("JSONFields")
    optimiser = dspy.MIPROv2(
        metric=lambda example, found, _trace=None: metric.score(
            example.record, dict(found.items())
        ),
        auto=None,
        num_candidates=task["candidates"],
        max_bootstrapped_demos=task["demonstrations"],
        max_labeled_demos=task["demonstrations"],
        num_threads=task["threads"],
        seed=task["seed"],
    )
    best = optimiser.compile(
        student,
        trainset=[_example(one) for one in task["trainset"]],
        valset=[_example(one) for one in task["valset"]],
        num_trials=task["trials"],
        minibatch=False,
        seed=task["seed"],
    )
    names = attribute_names(cascade.node_names)
    return {
        one.spec.name: _found(one, getattr(best, names[one.spec.name]))
        for one in runtimes
        if one.spec.name in task["nodes"]
    }


def _module(runtime: NodeRuntime, trained: list[str]) -> dspy.Module:
    module = build_module(runtime.spec, runtime.fields)
    return module if runtime.spec.name in trained else Frozen(module)


class Record:
    """What the metric reads of a record."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.record_id, self.outputs = value["id"], {}
        self.validated = value["validated"]


def _example(value: dict[str, Any]) -> dspy.Example:
    # Every node's fields: DSPy's labelled demonstrations are whole examples.
    example = dspy.Example(**value["fields"], record=Record(value))
    return example.with_inputs(*value["inputs"])


def _found(runtime: NodeRuntime, module: Any) -> dict[str, Any]:
    inputs, outputs = runtime.fields.inputs, runtime.fields.outputs
    demonstrations = tuple(
        Demonstration(
            None,
            {name: demo[at] for name, at in inputs.items() if at in demo},
            {name: demo[at] for name, at in outputs.items() if at in demo},
        )
        for demo in module.demos
    )
    return Candidate(module.signature.instructions, demonstrations, "archived").to_json()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    with contextlib.redirect_stdout(sys.stderr):
        found = main(json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(found))
