"""Every command line on the pages names commands, options and targets that there are."""

import re
import shlex

import pytest
import typer

from cascade_operator.cli import app, kubectl
from fakes.documents import PAGES, ROOT, command_lines, without_blocks

TREES = {
    "cascade": typer.main.get_command(app.app),
    "kubectl cascade": typer.main.get_command(kubectl.app),
}
_ENDS = {"|", ">", "&&", "||", ";", "<"}


def lines_of(page):
    """The command lines of a page: whole ones of its blocks, and what its prose quotes."""
    whole = command_lines(page)
    quoted = re.findall(r"`([^`\n]+)`", without_blocks(page))
    found = [(line, True) for line in whole] + [(line, False) for line in quoted]
    # The program may stand behind a pod's `--`.
    return [(re.sub(r"^.* -- (?=cascade )", "", line), complete) for line, complete in found]


CASES = [
    pytest.param(line, complete, id=f"{page}: {line}")
    for page in [*PAGES, "../README.md"]
    for line, complete in dict.fromkeys(lines_of(page))
    if re.match(r"(kubectl )?cascade( |$)", line)
]


def words_of(line):
    words = []
    for word in shlex.split(line, comments=True):
        if word in _ENDS:
            break
        words.append(word)
    return words


def problem_of(line, complete):
    words = words_of(line)
    taken = 2 if words[0] == "kubectl" else 1
    command, rest = TREES[" ".join(words[:taken])], words[taken:]
    options = {"--help", "-h"}
    positional = []
    while rest:
        word = rest.pop(0)
        inner = getattr(command, "commands", {})
        known = {name: one for one in command.params for name in [*one.opts, *one.secondary_opts]}
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            if name not in known and name not in options:
                return f"{name} is no option"
            option = known.get(name)
            if option is not None and not option.is_flag and not value and rest:
                rest.pop(0)
        elif inner:
            if word == "...":
                return ""
            if word not in inner:
                return f"{word} is no command"
            command = inner[word]
        elif word != "...":
            positional.append(word)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if len(positional) > len(arguments) and not any(one.nargs == -1 for one in arguments):
        return f"{positional[len(arguments) :]} is too much"
    missing = [one.name for one in arguments if one.required][len(positional) :]
    if complete and missing and not getattr(command, "commands", {}):
        return f"{missing} is missing"
    return ""


@pytest.mark.parametrize(("line", "complete"), CASES)
def test_a_command_line_can_be_typed(line, complete):
    assert problem_of(line, complete) == ""


def test_command_lines_are_found():
    pages = {case.id.split(":")[0] for case in CASES}
    assert pages >= {"install.md", "traces.md", "archives.md", "../README.md"}
    assert len(CASES) > 60


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cascade traind session.yaml", "traind is no command"),
        ("cascade run --retrian session.yaml", "--retrian is no option"),
        ("cascade run one.yaml two.yaml", "['two.yaml'] is too much"),
        ("cascade archive verify", "['files'] is missing"),
        ("kubectl cascade run session.yaml", "run is no command"),
        ("cascade archive program FILE --group 00_02 > program.json", ""),
        ("cascade --debug run session.yaml", ""),
    ],
)
def test_a_wrong_line_would_be_seen(line, problem):
    assert problem_of(line, True) == problem


def test_every_target_that_the_pages_make_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set()
    for page in PAGES:
        named |= {line.split()[1] for line, _ in lines_of(page) if re.match(r"make [a-z-]+$", line)}
    assert named <= targets
    assert named
