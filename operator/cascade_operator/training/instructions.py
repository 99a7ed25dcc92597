"""Stage 44: what an instruction proposal is made from, and what is done with the answer.

What comes back is text from a model, so it is bounded and cleaned before anything uses it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from cascade_operator.agents.candidate import Demonstration
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.cascade import CascadeSpec, NodeSpec

MAX_INSTRUCTION = 2000
"""Characters of a proposed instruction; longer ones are cut at a sentence or word."""
MIN_INSTRUCTION = 12
MAX_EXAMPLE = 1500
"""Characters of one example in the proposal's prompt."""
EXAMPLES = 3

_MARKUP = re.compile(
    r"\[\[\s*##(?:.{0,80}?##\s*\]\])?|##\s*\]\]|<\|[^|>]{0,40}\|>|```\w{0,20}", re.DOTALL
)
_BLANKS = re.compile(r"[ \t]+")
_LINES = re.compile(r"\n{3,}")
_LABEL = re.compile(r"^\W{0,4}(proposed |new )?instructions?\W{0,4}:\W{0,4}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InstructionTask:
    """What a proposal is for.

    Attributes:
        node: The node.
        instructions: Its declared instructions.
        demonstrations: Examples of what it reads and writes.
        attempt: From 0; each attempt gives another proposal.
    """

    node: NodeSpec
    instructions: str
    demonstrations: Sequence[Demonstration]
    attempt: int


class InstructionProposer(Protocol):
    """Proposes instructions; each proposal is one model call."""

    def propose(self, task: InstructionTask) -> str | None:
        """Returns the model's raw text; None when its answer could not be read.

        Raises:
            ServiceUnavailable: The model's server failed.
            Terminated: The process was told to stop.
        """
        ...


def describe(spec: CascadeSpec, node: NodeSpec) -> str:
    """Says in words where a node stands in its cascade and what it reads and writes."""
    names = [one.name for one in spec.nodes]
    parsed = node.parsed
    reads = ", ".join(one.name for one in parsed.inputs)
    writes = ", ".join(one.name for one in parsed.outputs)
    place = names.index(node.name) + 1
    text = (
        f"Step {place} of {len(names)} of a chain of agents ({' -> '.join(names)}). "
        f"This step reads {reads} and writes {writes}."
    )
    later = [
        one.name
        for one in spec.nodes[place:]
        if {f.name for f in one.parsed.inputs} & {f.name for f in parsed.outputs}
    ]
    return f"{text} What it writes is read by {', '.join(later)}." if later else text


def usable_instruction(text: str | None, known: Collection[str]) -> str | None:
    """Cleans a proposed instruction.

    Args:
        text: What the model wrote; anything.
        known: Instructions the node has already.

    Returns:
        The instruction, at most 2,000 characters of plain text without a chat template's or an
        adapter's markers; None when nothing usable is left or it repeats a known one.
    """
    if text is None:
        return None
    text = text[: 8 * MAX_INSTRUCTION]
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")
    while _MARKUP.search(text):  # taking one out may join the halves of another
        text = _MARKUP.sub(" ", text)
    text = _LINES.sub("\n\n", _BLANKS.sub(" ", text)).strip()
    text = _cut(_LABEL.sub("", text).strip(" \n\t\"'*`"))
    if len(text) < MIN_INSTRUCTION or not any(c.isalpha() for c in text):
        return None
    return None if _folded(text) in {_folded(one) for one in known} else text


def _cut(text: str) -> str:
    if len(text) <= MAX_INSTRUCTION:
        return text
    kept = text[:MAX_INSTRUCTION]
    end = max(kept.rfind(". "), kept.rfind(".\n"))
    if end < MAX_INSTRUCTION // 2:
        end = kept.rfind(" ")
    return kept[: end + 1].strip() if end > 0 else kept


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def examples(demonstrations: Sequence[Demonstration]) -> str:
    """Writes a few demonstrations as text, each field on its line and shortened."""
    return "\n\n".join(_example(one) for one in demonstrations[:EXAMPLES])


def _example(demonstration: Demonstration) -> str:
    lines = [
        f"{name}: {value if isinstance(value, str) else canonical_json(value)}"
        for name, value in (*demonstration.inputs.items(), *demonstration.outputs.items())
    ]
    share = MAX_EXAMPLE // max(1, len(lines))  # a long input must not hide the outputs
    return "\n".join(line if len(line) <= share else f"{line[:share]} ..." for line in lines)
