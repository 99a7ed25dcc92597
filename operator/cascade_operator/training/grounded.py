"""Stage 44: instruction proposals with the prompt of MIPROv2's grounded proposer.

One call per proposal. DSPy's own proposer would summarise data and program by further calls; what
those would say about a node's place in the cascade stands in the session and is written down.
"""

from __future__ import annotations

import random
from typing import Any

import dspy
from dspy.propose.grounded_proposer import TIPS, generate_instruction_class
from dspy.utils.exceptions import AdapterParseError

from cascade_operator.agents.abort import surfaced
from cascade_operator.agents.adapters import make_adapter
from cascade_operator.api.cascade import CascadeSpec
from cascade_operator.training.instructions import InstructionTask, describe, examples


class GroundedProposer:
    """Asks a model for instructions (MIPRO: Opsahl-Ong et al., 2024, section 3).

    Args:
        spec: The cascade, described to the model.
        lm: The session's prompt model.
        seed: Of tips and rollouts: the same proposals for the same answers.
    """

    def __init__(self, spec: CascadeSpec, lm: dspy.LM, *, seed: int) -> None:
        self._spec = spec
        self._lm = lm
        self._seed = seed

    def propose(self, task: InstructionTask) -> str | None:
        """Returns the model's raw text; None when its answer could not be read.

        Raises:
            ServiceUnavailable: The model's server failed.
            Terminated: The process was told to stop.
        """
        tip = self._tip(task)
        generator = random.Random(f"{self._seed}:{task.node.name}:{task.attempt}")
        ask = generate_instruction_class(
            program_aware=False, use_instruct_history=False, use_tip=bool(tip)
        )
        lm = self._lm.copy(rollout_id=generator.randint(1, 10**9), temperature=1.0)
        asked: dict[str, Any] = {"tip": tip} if tip else {}
        # The adapters of the nodes: one call each, and by schema where the server can, since small
        # models lose DSPy's field markers.
        adapter = make_adapter("Chat", structured=lm.supports_response_schema)
        try:
            with surfaced(), dspy.context(lm=lm, adapter=adapter, trace=None):
                answer = ask(
                    dataset_description=describe(self._spec, task.node),
                    task_demos=examples(task.demonstrations) or "No task demos provided.",
                    basic_instruction=task.instructions,
                    **asked,
                )
        except AdapterParseError:
            return None
        text = answer.get("proposed_instruction")
        return text if isinstance(text, str) else None

    def _tip(self, task: InstructionTask) -> str:
        """Returns one of MIPROv2's tips; a node's attempts take them in turn."""
        order = sorted(TIPS)
        random.Random(f"{self._seed}:{task.node.name}").shuffle(order)
        return str(TIPS[order[task.attempt % len(order)]])
