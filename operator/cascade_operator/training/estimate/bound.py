"""How many model calls a run cannot exceed: counted, not simulated.

A node is called once for each distinct prompt. Its prompt depends on the record, and on the
candidates of the nodes whose outputs reach it, its own among them. Of those it can meet no more
than there are, and no more than the groups try; the declared program is common to all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cascade_operator.api.groups import NodeGroup
from cascade_operator.training.estimate.flow import NodeFlow
from cascade_operator.training.space import Program
from cascade_operator.training.strategy import SearchSettings

HELD_OUT_PROGRAMS = 2
"""The declared program and the best one."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One group's search, as far as it can be known before it runs.

    Attributes:
        group: The group.
        settings: How it is searched.
        last: Position of the last node that runs.
        archived: What a warm start gives it to score whole; None without one.
    """

    group: NodeGroup
    settings: SearchSettings
    last: int
    archived: Program | None = None


def at_most_by_node(
    flows: Sequence[NodeFlow],
    counts: Mapping[str, int],
    searches: Sequence[Searched],
    *,
    validation: int,
    held_out: int,
) -> tuple[int, ...]:
    """Returns each node's model calls in the groups' searches together, at most.

    Args:
        flows: The nodes.
        counts: Node name -> candidates.
        searches: Groups that are searched; a single one for what it takes alone.
        validation: Records of the validation split.
        held_out: Records of the held-out split.
    """
    return tuple(
        _of_node(place, flows, counts, searches, validation=validation, held_out=held_out)
        for place in range(len(flows))
    )


def _of_node(
    place: int,
    flows: Sequence[NodeFlow],
    counts: Mapping[str, int],
    searches: Sequence[Searched],
    *,
    validation: int,
    held_out: int,
) -> int:
    running = [one for one in searches if one.last >= place]
    if not running:
        return 0
    beyond: dict[frozenset[int], int] = {}  # non-base programs times records, by nodes that vary
    finals: dict[frozenset[int], int] = {}
    for one in running:
        varied = frozenset(flows[place].closure) & frozenset(one.group.positions)
        choices = math.prod(counts[flows[at].name] for at in varied) - 1
        pairs = min(_scored(one, flows, counts, validation), choices * validation)
        beyond[varied] = min(beyond.get(varied, 0) + pairs, choices * validation)
        final = min(HELD_OUT_PROGRAMS - 1, choices)
        finals[varied] = min(finals.get(varied, 0) + final, choices)
    everything = math.prod(counts[flows[at].name] for at in frozenset[int]().union(*beyond)) - 1
    selected = min(sum(beyond.values()), everything * validation)
    reported = min(sum(finals.values()), everything) * held_out
    # Every search scores the declared program: on all validation records, then on the held-out.
    return validation + selected + held_out + reported


def _scored(
    one: Searched, flows: Sequence[NodeFlow], counts: Mapping[str, int], validation: int
) -> int:
    """Distinct pairs of another program than the declared one and a record, at most."""
    settings = one.settings
    programs = math.prod(counts[flows[at].name] for at in one.group.positions)
    others = min(settings.trials, programs) - 1
    size = settings.minibatch(validation)
    if size is None or programs <= settings.trials:
        return _within_share(one, others * validation, validation)
    trials = settings.trials
    whole = 1 + (one.archived is not None) + (trials - 1) // max(1, settings.full_evaluation_every)
    whole = min(others, whole)
    return _within_share(one, whole * validation + (others - whole) * size, validation)


def _within_share(one: Searched, pairs: int, validation: int) -> int:
    share = one.settings.max_calls
    if share is None:
        return pairs
    scored = share // max(1, one.settings.calls_per_record)
    return min(pairs, max(0, scored - validation))
