"""The cascade of a session: runs one node, or builds the whole as a program."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import dspy
from dspy.utils.exceptions import AdapterParseError

from cascade_operator.agents.abort import surfaced
from cascade_operator.agents.adapters import make_adapter
from cascade_operator.agents.candidate import Candidate
from cascade_operator.agents.jsonvalues import NotJsonError, plain
from cascade_operator.agents.modules import (
    apply_candidate,
    build_module,
    declared_instructions,
    is_own_module,
)
from cascade_operator.agents.program import CascadeProgram, NodeRuntime
from cascade_operator.agents.signatures import REASONING, node_signature
from cascade_operator.api.cascade import CascadeSpec, NodeSpec
from cascade_operator.api.errors import CascadeError

_LOG = logging.getLogger(__name__)

MAX_BUILT: Final = 1_024
"""Modules kept built, over all nodes and candidates."""


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """What one node answered.

    Attributes:
        outputs: Field name -> JSON value; empty when the answer could not be read.
        parsed: Whether it could.
        reasoning: What a chain-of-thought node wrote before its fields.
        failure: Why it could not be read, shortened; empty otherwise.
    """

    outputs: dict[str, Any]
    parsed: bool
    reasoning: str | None = None
    failure: str = ""


class Cascade:
    """A cascade bound to its models. Safe to use from several threads.

    Args:
        spec: The declared cascade.
        lm_for: Gives each node its model; asked once for each node.

    Raises:
        SpecError: A node's own module cannot be imported.
    """

    def __init__(self, spec: CascadeSpec, lm_for: Callable[[NodeSpec], dspy.LM]) -> None:
        self.spec = spec
        self._runtimes: dict[str, NodeRuntime] = {}
        self._base: dict[str, Candidate] = {}
        for tier, node in _with_tier(spec):
            fields, lm = node_signature(node), lm_for(node)
            adapter = make_adapter(str(node.adapter), structured=lm.supports_response_schema)
            self._runtimes[node.name] = NodeRuntime(node, fields, lm, adapter, tier)
            module = build_module(node, fields)
            self._base[node.name] = Candidate(declared_instructions(module, fields))
        self._built: OrderedDict[tuple[str, str], dspy.Module] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes' names in cascade order."""
        return tuple(self._runtimes)

    @property
    def tiers(self) -> tuple[tuple[str, ...], ...]:
        """The nodes' names by tier: nodes of one tier do not read each other."""
        return tuple(tuple(node.name for node in tier.nodes) for tier in self.spec.tiers)

    def base_candidate(self, name: str) -> Candidate:
        """Returns candidate 0 of a node: what the session declares, without demonstrations."""
        return self._base[name]

    def runtime(self, name: str) -> NodeRuntime:
        """Returns a node's signature, model and adapter (for proposers)."""
        return self._runtimes[name]

    def run_node(self, name: str, candidate: Candidate, fields: Mapping[str, Any]) -> NodeOutcome:
        """Runs one node: one model call, unless the module is the session's own.

        Args:
            name: The node.
            candidate: Its instructions and demonstrations.
            fields: At least the node's input fields; others are ignored.

        Raises:
            DataError: An input field is missing.
            ServiceUnavailable: The model's server failed: no outcome, and never a score.
            Terminated: The Job was told to stop.
        """
        runtime = self._runtimes[name]
        module = self._module(runtime, candidate)
        try:
            inputs = runtime.inputs_from(fields)
            with surfaced(), dspy.context(lm=runtime.lm, adapter=runtime.adapter, trace=None):
                prediction = module(**inputs)
            outputs = runtime.outputs_from(prediction)
        except (AdapterParseError, NotJsonError) as error:
            return NodeOutcome({}, parsed=False, failure=str(error)[:500])
        except CascadeError:
            raise
        except Exception as error:
            # The session's own code may stumble over an answer; ours may not.
            if not is_own_module(runtime.spec):
                raise
            _LOG.warning("node %s: %s: %s", name, type(error).__name__, error)
            return NodeOutcome({}, parsed=False, failure=f"{type(error).__name__}: {error}"[:500])
        return NodeOutcome(outputs, parsed=True, reasoning=_reasoning(prediction))

    def run(self, choice: Mapping[str, Candidate], fields: Mapping[str, Any]) -> NodeOutcome:
        """Runs all nodes for one record; the first unreadable answer ends it.

        Args:
            choice: Node -> candidate; nodes it leaves out run as declared.
            fields: The cascade's initial fields.

        Returns:
            Everything the nodes wrote, or a parse failure.
        """
        values, tier = dict(fields), 0
        written: dict[str, Any] = {}
        for name, runtime in self._runtimes.items():
            if runtime.tier != tier:
                values, tier = values | written, runtime.tier
            outcome = self.run_node(name, choice.get(name, self._base[name]), values)
            if not outcome.parsed:
                return outcome
            written |= outcome.outputs
        return NodeOutcome(written, parsed=True)

    def program(self, choice: Mapping[str, Candidate]) -> CascadeProgram:
        """Builds the whole cascade as one DSPy module of its own.

        Args:
            choice: Node -> candidate; nodes it leaves out are as declared.
        """
        return CascadeProgram(
            (runtime, self._fresh(runtime, choice.get(name, self._base[name])))
            for name, runtime in self._runtimes.items()
        )

    def _module(self, runtime: NodeRuntime, candidate: Candidate) -> dspy.Module:
        key = (runtime.spec.name, candidate.digest)
        with self._lock:
            module = self._built.get(key)
            if module is None:
                module = self._built[key] = self._fresh(runtime, candidate)
                if len(self._built) > MAX_BUILT:
                    self._built.popitem(last=False)
            else:
                self._built.move_to_end(key)
            return module

    @staticmethod
    def _fresh(runtime: NodeRuntime, candidate: Candidate) -> dspy.Module:
        module = build_module(runtime.spec, runtime.fields)
        apply_candidate(module, candidate, runtime.fields)
        return module


def _with_tier(spec: CascadeSpec) -> list[tuple[int, NodeSpec]]:
    return [(place, node) for place, tier in enumerate(spec.tiers) for node in tier.nodes]


def _reasoning(prediction: Any) -> str | None:
    found = prediction.get(REASONING)
    return str(plain(found)) if isinstance(found, str) else None
