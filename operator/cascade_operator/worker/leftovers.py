"""Stage 83: what stands in Redis or an archive must fit the run before a Job builds on it.

Bytes can be intact and still not belong here: a result of other candidates, a posterior of other
records. Whatever prepare meets of that kind it removes, since a Job that finds it ends with 66 and
would find it again after the next prepare.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cascade_operator.api.errors import RunDataGone
from cascade_operator.api.groups import NodeGroup
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.space import ProgramSpace
from cascade_operator.training.state import check_trial
from cascade_operator.worker.run_data import RunData


def check_outcome(
    outcome: GroupOutcome, group: NodeGroup, pool: CandidatePool, validation: int
) -> None:
    """Checks that a result can be that of this run's group.

    Args:
        outcome: The result.
        group: The group it stands for.
        pool: The run's candidates.
        validation: Records of the validation split.

    Raises:
        ValueError: It cannot.
    """
    if outcome.group != group:
        raise ValueError(f"it is of the group {outcome.group.key} of other nodes or positions")
    if len(outcome.record_ids) != validation:
        raise ValueError(f"it is on {len(outcome.record_ids)} validation records")
    space = ProgramSpace.of(group.nodes, pool.counts)
    if set(outcome.choice) != set(group.nodes) or space.program(outcome.choice) is None:
        raise ValueError("it chooses candidates that do not exist")
    for trial in outcome.trials:
        check_trial(trial, space, validation)


def fitting_outcome(
    data: RunData, group: NodeGroup, pool: CandidatePool, validation: int
) -> GroupOutcome | None:
    """Returns a group's result from Redis; None while it has none.

    Raises:
        RunDataGone: It is damaged, or cannot be that of this run's group.
    """
    finished = data.outcome(group.key)
    if finished is None:
        return None
    with data.unfit_result(group.key):
        check_outcome(finished[0], group, pool, validation)
    return finished[0]


def remove_unfit(
    data: RunData,
    groups: Sequence[NodeGroup],
    pool: CandidatePool,
    validation: int,
    *,
    keep: Collection[str],
    same_pool: bool,
) -> tuple[str, ...]:
    """Removes what earlier attempts left that no Job could use.

    Args:
        data: The run's data.
        groups: The run's groups.
        pool: The candidates the run goes on with.
        validation: Records of the validation split.
        keep: Keys of groups whose results were put there just now.
        same_pool: Whether the earlier attempts had these candidates. If not, results choose
            others by the same number; a finished search's checkpoint knows its own and gives
            the result again without a call.

    Returns:
        What was removed, a line each, for a reader.
    """
    notes = []
    for group in groups:
        try:
            outcome = fitting_outcome(data, group, pool, validation)
            if outcome is not None and not same_pool and group.key not in keep:
                data.drop_result(group.key)
        except RunDataGone as error:
            data.drop_result(group.key)
            notes.append(f"the result of group {group.key} is left out: {error}")
        try:
            data.start(group.key, validation=validation)
        except RunDataGone as error:
            data.drop_start(group.key)
            notes.append(f"the start of group {group.key} is left out: {error}")
    return tuple(notes)
