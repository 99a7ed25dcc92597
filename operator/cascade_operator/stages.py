"""The stage registry: every stage's two-digit code, in one place.

The decade says where a stage's code lives (00-39 agents and, from 10, training data; 40-49
training; 50-59 archives; 60-69 monitoring; 70-79 resources; 80-89 infrastructure; 90-99
utilities). The code stands in logs, events, metrics and file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        code: 0 to 99.
        name: A slug, stable: logs and metrics carry it.
        does: What happens in it, for a reader.
        package: The package below ``cascade_operator`` that holds it.
    """

    code: int
    name: str
    does: str
    package: str

    @property
    def label(self) -> str:
        """The form used in logs and events: ``44 candidates``."""
        return f"{self.code:02d} {self.name}"


_REGISTRY: Final = (
    Stage(0, "agent-tier-0", "turns the request into a brief", "agents"),
    Stage(1, "architecture-config", "fixes what a run trains, as its Jobs read it", "api"),
    Stage(2, "namespace", "names groups, objects, keys and files", "api"),
    Stage(10, "agent-tier-1", "turns the brief into a typed requirement", "agents"),
    Stage(11, "split", "assigns records to training, validation and held-out", "traces"),
    Stage(12, "embed", "embeds each distinct text once", "traces"),
    Stage(13, "reduce", "reduces 256 dimensions to 64 in one batch", "traces"),
    Stage(14, "reducer", "saves and restores the fitted reducer", "traces"),
    Stage(15, "trace-store", "writes the binary chunks to Redis", "traces"),
    Stage(16, "mapping", "maps records to rows and back", "traces"),
    Stage(17, "io-matrix", "reads the matrices of a node group", "traces"),
    Stage(18, "validate-traces", "puts bad rows aside, with the reason", "traces"),
    Stage(19, "deduplicate", "drops records that repeat another", "traces"),
    Stage(20, "agent-tier-2", "turns the requirement into a specification", "agents"),
    Stage(30, "agent-tier-3", "turns the specification into the final call", "agents"),
    Stage(40, "model-calls", "sends prompts through the shared cache", "training"),
    Stage(41, "search", "searches the programs of one node group", "training"),
    Stage(42, "lattice", "starts a group from what its subsets found", "training"),
    Stage(43, "evaluate", "scores a program over a split", "training"),
    Stage(44, "candidates", "proposes instructions and demonstrations", "training"),
    Stage(45, "metric", "scores one output against the validated one", "training"),
    Stage(46, "sampling", "draws a minibatch by the posterior", "training"),
    Stage(47, "prior", "carries posteriors over from the last run", "training"),
    Stage(48, "posterior", "updates the posterior over traces", "training"),
    Stage(49, "checkpoint", "saves the search after each trial", "training"),
    Stage(50, "archive", "writes the archives of a run", "archive"),
    Stage(51, "container", "reads and writes one archive file", "archive"),
    Stage(52, "verify", "checks an archive against its manifest", "archive"),
    Stage(53, "archive-posterior", "stores a group's posterior", "archive"),
    Stage(54, "archive-io-matrix", "stores a node's matrices", "archive"),
    Stage(55, "restore", "reads archives back", "archive"),
    Stage(56, "impute", "fills in what an older archive lacks", "archive"),
    Stage(57, "archive-trials", "stores a group's trials", "archive"),
    Stage(58, "archive-program", "stores a group's best program", "archive"),
    Stage(59, "node-chain-mapping", "stores the names behind a group's positions", "archive"),
    Stage(60, "progress", "publishes a Job's live figures", "monitoring"),
    Stage(61, "result", "hands a Job's final figures to the operator", "monitoring"),
    Stage(62, "stage-metrics", "counts and times the stages", "monitoring"),
    Stage(63, "attribution", "says what each node's training was worth", "training"),
    Stage(64, "summary", "sums a run up for a reader", "monitoring"),
    Stage(65, "estimate", "says beforehand what a run will take", "training"),
    Stage(66, "report", "draws a run's report", "report"),
    Stage(70, "memory", "reads the container's memory", "resources"),
    Stage(73, "memory-gate", "leaves before the kernel kills", "resources"),
    Stage(74, "peak-memory", "tracks the highest use", "resources"),
    Stage(75, "escalation", "raises a group's limit for its next attempt", "control"),
    Stage(80, "plan", "decides the next step of a session", "control"),
    Stage(81, "admission", "keeps Jobs within parallelism and memory budget", "control"),
    Stage(82, "session", "runs one training session", "control"),
    Stage(83, "warm-start", "takes over what earlier archives hold", "worker"),
    Stage(84, "load-traces", "opens the trace file", "traces"),
    Stage(85, "latest-traces", "the trace file's default name", "traces"),
    Stage(86, "cleanup", "removes the run's keys after its last archive", "worker"),
    Stage(87, "leadership", "lets one of several replicas work", "control"),
    Stage(88, "watches", "hears of changes in the cluster", "control"),
    Stage(89, "operator", "starts and ends the operator's process", "control"),
    Stage(90, "local-cluster", "runs Jobs as processes on one machine", "local"),
    Stage(91, "volumes", "folders that stand for persistent volumes", "local"),
    Stage(92, "import-traces", "makes traces from a public data set", "traces"),
    Stage(93, "embedded-servers", "starts Redis, model and embeddings here", "local"),
    Stage(94, "command-line", "the cascade command", "cli"),
)

STAGES: Final[Mapping[int, Stage]] = MappingProxyType({s.code: s for s in _REGISTRY})


def agent_stage(code: int) -> int:
    """Returns the registered stage of a tier's code: tiers may bear any code from 00 to 39."""
    return min(code, 39) // 10 * 10


def stage(code: int) -> Stage:
    """Returns the stage with this code.

    Raises:
        KeyError: No stage has it.
    """
    return STAGES[code]
