"""Stage 01: the run's configuration, `01_architecture_config.json`.

What a Job ran is what the archive keeps and what a user can read.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from cascade_operator.api.base import ApiModel
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.errors import SpecError
from cascade_operator.api.groups import NodeGroup, group_of, parse_key
from cascade_operator.api.session import TrainingSessionSpec

MAX_BYTES: Final = 1 << 20
FILE_NAME: Final = "01_architecture_config.json"


class RunConfig(ApiModel):
    """One run, resolved: nothing in it depends on defaults any more."""

    version: Literal[1] = Field(1, description="The file's version.")
    namespace: Annotated[str, Field(max_length=63)] = Field(description="The session's namespace.")
    name: Annotated[str, Field(max_length=253)] = Field(description="The session's name.")
    uid: Annotated[str, Field(max_length=128)] = Field(description="The session's uid.")
    run: int = Field(ge=1, description="The run's number.")
    session_id: Annotated[str, Field(max_length=32, pattern=r"^[0-9]{8}T[0-9]{6}Z$")] = Field(
        description="Names the run's archives."
    )
    spec_hash: Annotated[str, Field(max_length=64)] = Field(description="Hash of what was asked.")
    spec: TrainingSessionSpec = Field(description="The resolved spec.")
    groups: list[Annotated[str, Field(max_length=32)]] = Field(
        min_length=1, max_length=63, description="Keys of the groups to train."
    )

    def node_groups(self) -> tuple[NodeGroup, ...]:
        """Returns the groups in the order of their keys here: small ones first."""
        return tuple(group_of(self.spec.cascade, parse_key(key)) for key in self.groups)

    def group(self, key: str) -> NodeGroup:
        """Returns the group with this key.

        Raises:
            SpecError: The run has no such group.
        """
        for group in self.node_groups():
            if group.key == key:
                return group
        raise SpecError(
            f"the run has no node group {key!r}", mend=f"one of {', '.join(self.groups)}"
        )

    def to_json(self) -> str:
        """Returns the canonical text."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @classmethod
    def from_json(cls, text: str | bytes) -> RunConfig:
        """Reads a configuration, as hostile.

        Raises:
            SpecError: It is too large or invalid.
        """
        if len(text) > MAX_BYTES:
            raise SpecError(
                f"the run's configuration is larger than {MAX_BYTES} bytes",
                mend="shorten instructions in spec.cascade",
            )
        try:
            config = cls.model_validate_json(text)
            config.node_groups()
        except (ValidationError, ValueError, IndexError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else None
            where = ".".join(map(str, first["loc"])) if first else "groups"
            what = first["msg"] if first else str(error)
            raise SpecError(
                f"the run's configuration is invalid at {where}: {what}",
                mend="it is written by the planner; operator and worker must be of one version",
            ) from error
        return config
