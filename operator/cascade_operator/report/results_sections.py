"""The sections on what was found: scores, lattice, learning curves, attribution."""

from __future__ import annotations

from functools import partial

from cascade_operator.report import wording
from cascade_operator.report.model import GroupView, Interval, ReportData
from cascade_operator.report.plots.attribution import draw_attribution
from cascade_operator.report.plots.curves import draw_curves
from cascade_operator.report.plots.lattice import draw_lattice
from cascade_operator.report.plots.scores import draw_scores
from cascade_operator.report.section import Picture, Section, Table


def scores_section(data: ReportData) -> Section:
    """Score by group, with baseline and spread."""
    scored = [group for group in data.groups if group.best is not None]
    if not scored:
        return Section("scores", "Score by group", ("No group has been scored.",))
    lead = [_best_sentence(data)]
    if (held_out := _held_out_sentence(data)) is not None:
        lead.append(held_out)
    title = "Score of each node group"
    return Section(
        "scores",
        "Score by group",
        tuple(lead),
        Picture(
            "scores",
            title,
            f"{len(scored)} of {len(data.groups)} groups with the best program's validation and "
            f"held-out score beside the declared program's. {lead[0]}",
            partial(draw_scores, data.groups, data.nodes),
        ),
        (_score_table(data),),
        (
            "Bars are 95\xa0% percentile bootstrap intervals of the mean over records. "
            "The best program was chosen on the validation records, so its score there is on the "
            "high side; held-out records were scored once, after the choice.",
        ),
    )


def lattice_section(data: ReportData) -> Section:
    """The lattice of subsets."""
    known = [group for group in data.groups if group.gain is not None]
    if not known:
        return Section("lattice", "Lattice of subsets", ("No gain is known.",))
    best = max(known, key=lambda group: _value(group.gain))
    worst = min(known, key=lambda group: _value(group.gain))
    lead = (
        f"Gains over the declared program run from {wording.gain(worst.gain)} ({worst.letters}) "
        f"to {wording.gain(best.gain)} ({best.letters})."
    )
    key = "" if data.best is None else data.best.key
    return Section(
        "lattice",
        "Lattice of subsets",
        (lead,),
        Picture(
            "lattice",
            "Gain of each subset of the nodes",
            f"{len(data.groups)} groups in columns by size; a line joins a group to each group "
            f"with one node more. {lead}",
            partial(draw_lattice, data.groups, best=key),
        ),
        (
            Table(
                "Gain by group, on validation records",
                ("group", "nodes", "gain", "95\xa0% interval", "started from"),
                tuple(
                    (
                        group.letters,
                        node_names(data, group),
                        wording.gain(group.gain),
                        wording.interval(group.gain, sign=True),
                        ", ".join(group.parents) or wording.NONE,
                    )
                    for group in data.groups
                ),
                frozenset({0, 1, 4}),
            ),
        ),
        (
            "Blue is better than the declared program, orange worse; the framed group is the best. "
            "The number is the gain in validation score.",
        ),
    )


def curves_section(data: ReportData) -> Section:
    """Learning curves."""
    drawn = [group for group in data.groups if group.curve]
    if not drawn:
        return Section("curves", "Learning curves", ("No trial on the whole split is at hand.",))
    trials = sum(group.trials for group in data.groups)
    late = max(drawn, key=_last_gain)
    lead = (
        f"{trials:,} trials in {wording.many(len(drawn), 'group')}; the latest improvement came in "
        f"trial {_last_gain(late)} of group {late.letters}."
    )
    return Section(
        "curves",
        "Learning curves",
        (lead,),
        Picture(
            "curves",
            "Best score so far by trial",
            f"One panel a group size, one line a group, the best group of each size named. {lead}",
            partial(draw_curves, drawn),
        ),
        (
            Table(
                "Trials by group",
                ("group", "trials", "on the whole split", "last improvement", "unread", "ended"),
                tuple(
                    (
                        group.letters,
                        wording.thousands(group.trials),
                        wording.thousands(group.whole),
                        str(_last_gain(group)) if group.curve else wording.NONE,
                        wording.thousands(group.parse_failures),
                        group.ended,
                    )
                    for group in data.groups
                ),
                frozenset({0, 5}),
            ),
        ),
        (
            "Only trials on the whole validation split count; a minibatch is an estimate. Unread "
            "answers could not be parsed and score 0.",
        ),
    )


def attribution_section(data: ReportData) -> Section:
    """What training each node was worth."""
    title = "What training each node was worth"
    if not data.attribution:
        return Section(
            "attribution",
            title,
            ("Not known: it needs every subset of the nodes, scored on held-out records.",),
        )
    shown = [one for one in data.attribution if one.worth.evidence]
    said = [f"{one.node.short} {wording.gain(one.worth)}" for one in shown]
    lead = (
        f"There is evidence of an effect for {' and '.join(said)}."
        if said
        else "There is no evidence of an effect for any node: each interval spans 0."
    )
    return Section(
        "attribution",
        title,
        (lead,),
        Picture("attribution", title, lead, partial(draw_attribution, data.attribution)),
        (
            Table(
                "Shapley values of the held-out scores",
                ("node", "name", "worth", "95\xa0% interval", "evidence"),
                tuple(
                    (
                        one.node.letter,
                        one.node.name,
                        wording.gain(one.worth),
                        wording.interval(one.worth, sign=True),
                        "yes" if one.worth.evidence else "no evidence",
                    )
                    for one in data.attribution
                ),
                frozenset({0, 1, 4}),
            ),
        ),
        (
            "Shapley values split the whole group's held-out gain among the nodes; a paired "
            "bootstrap over records gives the interval. Where it spans 0 there is no evidence.",
        ),
    )


def node_names(data: ReportData, group: GroupView) -> str:
    """Returns a group's nodes by their short names."""
    short = {node.letter: node.short for node in data.nodes}
    return "+".join(short.get(letter, letter) for letter in group.letters)


def _best_sentence(data: ReportData) -> str:
    best = data.best
    if best is None or best.best is None:
        return "No group has a result."
    return (
        f"The best group is {best.letters} ({node_names(data, best)}): validation score "
        f"{wording.mean(best.best)} against {wording.mean(best.baseline)} of the declared program "
        f"({_with_interval(best.gain)})"
        + (
            f", over {wording.many(data.records.validation, 'record')}."
            if data.records.validation
            else "."
        )
    )


def _held_out_sentence(data: ReportData) -> str | None:
    best = data.best
    if best is None or best.held_out is None:
        return None
    verdict = (
        ""
        if best.held_out_gain is None or best.held_out_gain.low is None
        else ""
        if best.held_out_gain.evidence
        else ", no evidence of a difference"
    )
    return (
        f"On held-out records it scores {wording.mean(best.held_out)} against "
        f"{wording.mean(best.baseline_held_out)} ({_with_interval(best.held_out_gain)}{verdict})"
        + (
            f", over {wording.many(data.records.held_out, 'record')}."
            if data.records.held_out
            else "."
        )
    )


def _with_interval(one: Interval | None) -> str:
    ends = wording.interval(one, sign=True)
    return wording.gain(one) + ("" if ends == wording.NONE else f", 95\xa0% interval {ends}")


def _score_table(data: ReportData) -> Table:
    best = "" if data.best is None else data.best.key
    return Table(
        "Scores by group",
        (
            "group",
            "nodes",
            "ended",
            "declared",
            "best",
            "95\xa0% interval",
            "gain",
            "held-out declared",
            "held-out best",
            "held-out interval",
            "former best today",
        ),
        tuple(
            (
                group.letters + (" (best)" if group.key == best else ""),
                node_names(data, group),
                group.ended + (f": {group.message}" if group.message else ""),
                wording.mean(group.baseline),
                wording.mean(group.best),
                wording.interval(group.best),
                wording.gain(group.gain),
                wording.mean(group.baseline_held_out),
                wording.mean(group.held_out),
                wording.interval(group.held_out),
                wording.score(group.previous_best),
            )
            for group in data.groups
        ),
        frozenset({0, 1, 2}),
    )


def _value(one: Interval | None) -> float:
    return 0.0 if one is None else one.value


def _last_gain(group: GroupView) -> int:
    """The trial that found the best score."""
    if not group.curve:
        return 0
    best = group.curve[-1].best
    return next(point.trial for point in group.curve if point.best >= best)
