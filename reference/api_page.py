"""`docs/reference/api.md`: every field of a TrainingSession, from the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cascade_operator.api.cel_rules import CEL_RULES
from cascade_operator.api.crd import WithFactories, build_crd
from cascade_operator.api.models_spec import ModelSpec
from cascade_operator.api.session import TrainingSessionSpec
from cascade_operator.api.status import TrainingSessionStatus
from reference.field_types import type_words
from reference.markdown import code, header, prose, table

_INTRO: Final = """\
# API reference

`apiVersion: cascade-operator.dev/v1alpha1`, `kind: TrainingSession`, short name `ts`, in the
categories `all` and `cascade`. The models in `cascade_operator/api` are the source of the CRD, of
what `cascade validate` checks, and of this page.

A field whose default is *absent* stays out of the object until someone writes it. The CRD writes no
default into an item of a list, nor for `spec.cascade.tiers` and `spec.image`: they are filled in
when a run starts, and stand in the run's ConfigMap. Durations are written as `90s`, `24h` or
`1h30m`, quantities as `512Mi` or `2Gi`, scores as text with four decimals.

`cascade validate session.yaml` says more than the API server can: a field that a node reads and
nothing writes, or a group of unknown nodes, each with what to do.
"""


@dataclass
class _Page:
    """What has been described so far: one class, one place."""

    parts: list[str] = field(default_factory=list)
    # Nodes may have a model of their own too, but a reader looks for it here.
    place_by_model: dict[type[BaseModel], str] = field(
        default_factory=lambda: {ModelSpec: "spec.models.task"}
    )

    def describe(self, model: type[BaseModel], path: str) -> None:
        """Adds the section of a model that stands at a path, then those of what it holds."""
        self.place_by_model[model] = path
        schema = model.model_json_schema(by_alias=True, schema_generator=WithFactories)
        definitions = schema.get("$defs", {})
        rows, inner = [], []
        for info in model.model_fields.values():
            alias = str(info.alias)
            child, within = _model_in(info.annotation), f"{path}.{alias}"
            words = type_words(schema["properties"][alias], definitions)
            if child is not None:
                within += "[]" if "list of" in words else ""
                known = self.place_by_model.get(child)
                place = known or within
                words += f", see [`{place}`](#{_anchor(place)})"
                inner += [] if place != within else [(child, within)]
                self.place_by_model.setdefault(child, within)
            # A field with a section of its own is found there.
            name = code(alias) if child else f"`{alias}`{{ #{_anchor(f'{path}.{alias}')} }}"
            rows.append((name, words, _default(info), prose(info.description or "")))
        summary = prose((model.__doc__ or "").split("\n\n")[0])
        titles = ("field", "type and bounds", "default", "meaning")
        # A rule may be of the list or of each of its items.
        places = dict.fromkeys((path.removesuffix("[]"), path))
        rules = [rule for place in places for rule in CEL_RULES.get(place, ())]
        body = f"{_rules(rules)}\n" if rules else ""
        self.parts.append(
            f"## `{path}` {{ #{_anchor(path)} }}\n\n{summary}\n\n{table(titles, rows)}{body}"
        )
        for child, within in inner:
            self.describe(child, within)


@cache
def api_page() -> str:
    """Returns the page."""
    page = _Page()
    page.describe(TrainingSessionSpec, "spec")
    page.describe(TrainingSessionStatus, "status")
    return "\n".join([header("cascade_operator/api") + _INTRO, *page.parts, _columns()]).replace(
        "\n\n\n", "\n\n"
    )


def _anchor(path: str) -> str:
    return path.replace("[]", "").replace(".", "-").lower()


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        written = value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return ", ".join(code(f"{name}: {one}") for name, one in written.items())
    if value is None:
        return "absent"
    return "empty" if value in ("", [], {}) else code(_plain(value))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rules(rules: Sequence[tuple[str, str]]) -> str:
    lines = ["\nRules that the API server checks here:\n"]
    lines += [f"- {prose(message)}" for _, message in rules]
    lines += ["", '??? note "as CEL"', "", "    ```"]
    lines += [f"    {rule}" for rule, _ in rules]
    return "\n".join([*lines, "    ```", ""])


def _columns() -> str:
    version: Mapping[str, Any] = build_crd()["spec"]["versions"][0]
    columns: Sequence[Mapping[str, Any]] = version["additionalPrinterColumns"]
    rows = [
        (
            one["name"].upper(),
            "with `-o wide`" if one.get("priority") else "always",
            code(one["jsonPath"].lstrip(".")),
            prose(one["description"]),
        )
        for one in columns
    ]
    titles = ("column", "shown", "field", "meaning")
    return f"## Columns of `kubectl get ts` {{ #columns }}\n\n{table(titles, rows)}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((one for one in found if one is not None), None)
