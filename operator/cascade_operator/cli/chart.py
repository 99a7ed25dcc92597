"""``cascade chart``: writes the parts of the Helm chart that are made from something else."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from cascade_operator.api.errors import SpecError
from cascade_operator.cli.crd import crd_text
from cascade_operator.cli.generated import compare, write

_NAME: Final = "  name: trainingsessions.cascade-operator.dev\n"
_METADATA: Final = """\
  labels:
    {{- include "cascade-operator.labels" (list . "crd") | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    # An uninstalled chart takes no session along.
    helm.sh/resource-policy: keep
  {{- end }}
"""
_FULLNAME: Final = '{{ include "cascade-operator.fullname" . }}'
_MARK: Final = "<!-- values -->\n"
_README: Final = (
    "<!-- Made by `cascade chart` (make generate) from README.md.in and values.yaml. "
    "Do not edit. -->\n"
)


def chart(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 1 when a file differs.")
    ] = False,
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="The chart.", file_okay=False)
    ] = Path("charts/cascade-operator"),
) -> None:
    """Write what the chart takes from elsewhere.

    The CRD and the roles' rules come from the code, the schema of the values and the README's
    table from the comments of values.yaml.

    Example: `cascade chart --check`
    """
    differ = False
    for name, text in chart_files(folder).items():
        if not check:
            write(folder / name, text, "name another folder with --output")
            continue
        try:
            compare(folder / name, text, "its source")
        except typer.Exit:
            differ = True
    if differ:
        raise typer.Exit(1)


def chart_files(folder: Path) -> dict[str, str]:
    """Returns the generated files' texts by their name in the chart.

    Raises:
        SpecError: The chart's own sources cannot be read.
    """
    from cascade_operator.cli.chart_values import read_values, values_schema, values_table

    values = read_values(_source(folder / "values.yaml"))
    readme = _source(folder / "README.md.in")
    schema = json.dumps(values_schema(values), indent=2, ensure_ascii=False)
    return {
        "templates/crd-trainingsessions.yaml": _crd(),
        "templates/_rules.tpl": _rules(),
        "values.schema.json": f"{schema}\n",
        "README.md": _README + readme.replace(_MARK, values_table(values)),
    }


def _source(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(
            f"{file} cannot be read: {error.strerror}", mend="name the chart with --output"
        ) from error


def _crd() -> str:
    # What looks like a template in a description would be rendered.
    text = crd_text().replace("{{", '{{ "{{" }}').replace(_NAME, _NAME + _METADATA, 1)
    return "{{- if .Values.crds.enabled }}\n" + text + "{{- end }}\n"


def _rules() -> str:
    from cascade_operator.cli.rbac import rules_text
    from cascade_operator.control.manifests import rbac

    rules = {
        "workRules": rbac.WORK_RULES,
        "claimRules": rbac.CLAIM_RULES,
        "yieldRules": rbac.YIELD_RULES,
        "leaseRules": rbac.lease_rules(_FULLNAME),
        "viewRules": rbac.VIEW_RULES,
        "editRules": rbac.EDIT_RULES,
    }
    text = (
        "{{/* Made by `cascade chart` (make generate) from control/manifests/rbac.py. "
        "Do not edit. */}}\n"
    )
    for name, found in rules.items():
        text += f'\n{{{{- define "cascade-operator.{name}" -}}}}\n{rules_text(found)}'
        text += "{{- end }}\n"
    return text
