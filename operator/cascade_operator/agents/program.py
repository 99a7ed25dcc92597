"""The cascade as one DSPy program, one attribute for each node."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError
from dspy.utils.saving import get_dependency_versions

from cascade_operator.agents.jsonvalues import NotJsonError, plain
from cascade_operator.agents.signatures import REASONING, NodeSignature
from cascade_operator.api.cascade import NodeSpec
from cascade_operator.api.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class NodeRuntime:
    """What a node runs on, shared by all programs of a process.

    Attributes:
        spec: The node as declared.
        fields: Its DSPy signature and the names on both sides.
        lm: Its model.
        adapter: Its adapter.
        tier: The tier's place; nodes of one tier do not read each other.
    """

    spec: NodeSpec
    fields: NodeSignature
    lm: dspy.LM
    adapter: dspy.Adapter
    tier: int

    def __deepcopy__(self, _memo: Any) -> NodeRuntime:
        # DSPy copies programs freely; connections and caches behind the model stay one.
        return self

    def inputs_from(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Picks this node's inputs, under the signature's names.

        Raises:
            DataError: A field that is not optional is missing.
        """
        picked: dict[str, Any] = {}
        for name, safe in self.fields.inputs.items():
            if name in values:
                picked[safe] = plain(values[name])
            elif name in self.fields.optional:
                picked[safe] = None
            else:
                raise DataError(
                    f"node {self.spec.name} reads the field {name}, which nobody wrote",
                    mend="Give it in agent_chain_inputs of the first tier, or let an earlier "
                    "node write it.",
                )
        return picked

    def outputs_from(self, prediction: Any) -> dict[str, Any]:
        """Returns the node's outputs as plain JSON values under the session's names.

        Raises:
            NotJsonError: The prediction lacks one, or holds what JSON cannot.
        """
        if not isinstance(prediction, dspy.Example):
            raise NotJsonError(f"the module returned a {type(prediction).__name__}, no Prediction")
        found = dict(prediction.items())
        missing = [name for name, safe in self.fields.outputs.items() if safe not in found]
        if missing:
            raise NotJsonError(f"the answer lacks {', '.join(missing)}")
        return {name: plain(found[safe]) for name, safe in self.fields.outputs.items()}


class CascadeProgram(dspy.Module):
    """All nodes in order; each reads by name what was given and what earlier nodes wrote.

    ``program(request=..., functions=...)`` returns a Prediction with every field of every node.
    ``dump_state()`` is plain JSON, ready to be written to a file for ``load``.
    """

    def __init__(self, nodes: Iterable[tuple[NodeRuntime, dspy.Module]]) -> None:
        super().__init__()
        nodes = tuple(nodes)
        names = attribute_names([runtime.spec.name for runtime, _ in nodes])
        self._runtimes = tuple((names[runtime.spec.name], runtime) for runtime, _ in nodes)
        for runtime, module in nodes:
            setattr(self, names[runtime.spec.name], module)

    def forward(self, **given: Any) -> dspy.Prediction:
        """Runs the nodes end to end.

        Raises:
            AdapterParseError: A node's answer could not be read; later nodes were not called.
            CallAborted: A server failed, or the Job was told to stop.
        """
        values, tier = dict(given), 0
        written: dict[str, Any] = {}
        for attribute, runtime in self._runtimes:
            if runtime.tier != tier:
                values, tier = values | written, runtime.tier
            with dspy.context(lm=_with_rollout(runtime.lm), adapter=runtime.adapter):
                prediction = getattr(self, attribute)(**runtime.inputs_from(values))
            try:
                written |= runtime.outputs_from(prediction)
            except NotJsonError as error:
                raise AdapterParseError(
                    adapter_name=type(runtime.adapter).__name__,
                    signature=runtime.fields.signature,
                    lm_response="",
                    message=f"node {runtime.spec.name}: {error}",
                ) from error
        return dspy.Prediction(**written)

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Returns instructions and demonstrations of every node, with DSPy's version stamp."""
        state: dict[str, Any] = super().dump_state(json_mode=json_mode)
        return {**state, "metadata": {"dependency_versions": get_dependency_versions()}}


def attribute_names(nodes: Iterable[str]) -> dict[str, str]:
    """Returns node name -> attribute of the program: a Python name, free and stable."""
    reserved = set(dir(CascadeProgram)) | {"callbacks", "history", REASONING}
    taken = set(reserved)
    names: dict[str, str] = {}
    for node in nodes:
        base = re.sub(r"\W", "_", node, flags=re.ASCII)
        if not base.isidentifier() or keyword.iskeyword(base) or base in reserved:
            base = f"node_{base}"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names[node] = name
    return names


def _with_rollout(lm: dspy.LM) -> dspy.LM:
    # DSPy's bootstrapping varies the ambient model from round to round (rollout_id,
    # temperature 1); the nodes' own models have to follow, or every round answers the same.
    ambient = getattr(dspy.settings.lm, "kwargs", None) or {}
    rollout = ambient.get("rollout_id")
    if rollout is None:
        return lm
    return lm.copy(rollout_id=rollout, temperature=ambient.get("temperature", 1.0))
