"""A node's DSPy module: Predict, ChainOfThought, or a class of the session's image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dspy

from cascade_operator.agents.candidate import Candidate
from cascade_operator.agents.entrypoint import EntrypointError, import_entrypoint
from cascade_operator.agents.signatures import REASONING, NodeSignature
from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.errors import SpecError


def is_own_module(node: NodeSpec) -> bool:
    """Whether the node names a module of the image (``package:attr``)."""
    return ":" in node.module


def build_module(node: NodeSpec, fields: NodeSignature) -> dspy.Module:
    """Builds a node's module with its declared instructions and no demonstrations.

    Raises:
        SpecError: The node's own module cannot be imported, or is none.
    """
    if node.module == "Predict":
        return dspy.Predict(fields.signature)
    if node.module == "ChainOfThought":
        return dspy.ChainOfThought(fields.signature)
    factory = _import(node)
    try:
        module = factory(fields.signature)
    except Exception as error:
        raise _spec_error(node, f"raised {type(error).__name__}: {error}") from error
    if not isinstance(module, dspy.Module):
        raise _spec_error(node, f"made a {type(module).__name__}, no dspy.Module")
    return module


def apply_candidate(module: dspy.Module, candidate: Candidate, fields: NodeSignature) -> None:
    """Puts a candidate's instructions and demonstrations into the module's main predictor.

    The main predictor is the first that writes all of the node's outputs. A module without one
    (plain code) runs unchanged, whatever the candidate.
    """
    predictor = _main_predictor(module, fields.outputs.values())
    if predictor is None:
        return
    if candidate.instructions:
        predictor.signature = predictor.signature.with_instructions(candidate.instructions)
    predictor.demos = [
        _renamed(demo.inputs, fields.inputs) | _renamed(demo.outputs, fields.outputs)
        for demo in candidate.demonstrations
    ]


def declared_instructions(module: dspy.Module, fields: NodeSignature) -> str:
    """Returns the instructions the module was built with: candidate 0's."""
    predictor = _main_predictor(module, fields.outputs.values())
    return str((predictor or fields).signature.instructions)


def _main_predictor(module: dspy.Module, outputs: Iterable[str]) -> Any:
    wanted = set(outputs)
    for _, predictor in module.named_predictors():
        if wanted <= set(predictor.signature.output_fields):
            return predictor
    return None


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    known = {names[name]: value for name, value in values.items() if name in names}
    if REASONING in values and REASONING not in names:
        known[REASONING] = values[REASONING]
    return known


def _import(node: NodeSpec) -> Any:
    try:
        found = import_entrypoint(node.module)
    except EntrypointError as error:
        raise _spec_error(node, str(error)) from error
    if not callable(found):
        raise _spec_error(node, "is neither a class nor a function")
    return found


def _spec_error(node: NodeSpec, what: str) -> SpecError:
    return SpecError(
        f"node {node.name}: module {node.module} {what}",
        mend="Use an image that holds the module, as a dspy.Module class or a function that takes "
        "the signature and returns one.",
    )
