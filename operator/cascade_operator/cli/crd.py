"""``cascade crd``: writes the custom resource definition, or says that it is out of date."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cascade_operator.cli.generated import compare, write

FILE_NAME = "cascade-operator.dev_trainingsessions.yaml"
_HEADER = "# Made by `cascade crd` (make generate) from cascade_operator/api. Do not edit.\n"


def crd(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 1 when the file differs.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the file.", file_okay=False)
    ] = Path("crds"),
) -> None:
    """Write the CRD of `TrainingSession`, made from the models that validate it.

    Example: `cascade crd --output crds && kubectl apply --server-side -f crds`
    """
    file = output / FILE_NAME
    text = crd_text()
    if check:
        compare(file, text, "the models")
    else:
        write(file, text, "name another folder with --output")


def crd_text() -> str:
    """Returns the file's text: YAML in the order of the models' fields."""
    import yaml

    from cascade_operator.api.crd import build_crd

    dumper = type("_NoAliases", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    body = yaml.dump(build_crd(), Dumper=dumper, sort_keys=False, width=100, allow_unicode=True)
    return _HEADER + str(body)
