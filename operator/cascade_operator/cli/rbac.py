"""``cascade rbac``: writes the operator's account and roles, or says that they are out of date."""

# ruff: noqa: PLC0415 - heavy modules load only when their command runs

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cascade_operator.cli.generated import compare, write

if TYPE_CHECKING:
    from cascade_operator.control.manifests.rbac import Rule

_HEADER = """\
# Made by `cascade rbac` (make generate) from control/manifests/rbac.py. Do not edit.
"""
_WIDTH = 100


def rbac(
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace",
            "-n",
            help="Serve this namespace only, by a Role; give it again for more. Without it: the "
            "whole cluster, by a ClusterRole.",
        ),
    ] = None,
    operator_namespace: Annotated[
        str, typer.Option("--operator-namespace", help="Where the operator and its Lease are.")
    ] = "cascade-system",
    lease_name: Annotated[
        str, typer.Option("--lease-name", help="As `cascade operator` is given it.")
    ] = "cascade-operator",
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 1 when the file differs.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file; `-` is standard output.")
    ] = Path("deploy/rbac.yaml"),
) -> None:
    """Write the operator's service account, its roles and their bindings.

    The namespaces have to exist. `cascade operator` says which rights it lacks.

    For some namespaces: `cascade rbac -n ml -n vision --lease-name cascade-ml -o -`

    Example: `cascade rbac -o - | kubectl apply -f -`
    """
    text = rbac_text(namespace or (), operator_namespace, lease_name)
    if str(output) == "-" and not check:
        typer.echo(text, nl=False)
        return
    if check:
        compare(output, text, "its source")
    else:
        write(output, text, "name another file with --output")


def rbac_text(namespaces: Sequence[str], operator_namespace: str, lease_name: str) -> str:
    """Returns the file's text: YAML, each rule with a comment that says why.

    Raises:
        SpecError: A name cannot be one.
    """
    from cascade_operator.control.manifests.rbac import build_rbac
    from cascade_operator.control.runtime.flags import split_names
    from cascade_operator.control.runtime.settings import LeaseSettings, Settings

    # The operator's own checks: what it would not take is not written for it.
    served = Settings(
        namespaces=split_names(namespaces),
        lease=LeaseSettings(name=lease_name, namespace=operator_namespace),
    ).namespaces
    parts = []
    for one in build_rbac(
        namespaces=served, operator_namespace=operator_namespace, lease=lease_name
    ):
        text = _dump(one.manifest)
        if one.rules:
            text += "rules:\n" + textwrap.indent(rules_text(one.rules), "  ")
        parts.append(text)
    return _HEADER + "---\n".join(parts)


def rules_text(rules: Sequence[Rule]) -> str:
    """Returns rules as the YAML of a list, each below a comment that says why."""
    text = ""
    for rule in rules:
        text += textwrap.fill(rule.why, _WIDTH - 2, initial_indent="# ", subsequent_indent="# ")
        text += "\n" + _dump([rule.manifest()])
    return text


def _dump(value: Any) -> str:
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, width=_WIDTH, default_flow_style=None))
