"""Every command that takes a file, given what is no such file: told what, and what to do."""

from __future__ import annotations

import gzip
import json

import pytest
from typer.testing import CliRunner

from cascade_operator.cli.app import app
from fakes.archives import compress, entries_of, manifest_of, small_members, tar_bytes, tar_entry
from fakes.ticket_runs import ticket_rows, ticket_session, write_session

NOWHERE = "http://127.0.0.1:9"


def cascade(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), prog_name="cascade")


def assert_told(result, code, *words):
    shown = " ".join((result.stdout + result.stderr).split())
    assert result.exit_code == code, shown
    assert "internal error" not in shown
    assert "Traceback" not in shown
    assert "to mend:" in shown or code == 2
    for word in words:
        assert word in shown


@pytest.fixture
def good(tmp_path):
    """A valid session with its traces, and a program of no use."""
    file = write_session(tmp_path / "good", ticket_session(NOWHERE))
    (tmp_path / "good" / "program.json").write_text("{}")
    return file


def _missing(path):
    pass


def _folder(path):
    path.mkdir()


def _empty(path):
    path.write_bytes(b"")


def _binary(path):
    path.write_bytes(bytes(range(255, -1, -1)) * 20)


def _picture(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))


def _packed(path):
    path.write_bytes(gzip.compress(b"{}" * 50))


def _broken_link(path):
    path.symlink_to(path.with_name("gone"))


def _loop(path):
    path.symlink_to(path)


WRONG = [_missing, _folder, _empty, _binary, _picture, _packed, _broken_link, _loop]
SESSION_COMMANDS = [["validate"], ["run", "--state", "STATE"], ["plan"]]
TRACE_COMMANDS = [["traces", "validate"], ["traces", "show", "FILE", "r1"]]
ARCHIVE_COMMANDS = [["archive", "show"], ["archive", "verify"], ["archive", "program"]]


def call(command, file, state):
    words = [{"STATE": state, "FILE": file}.get(word, word) for word in command]
    return cascade(*words, *([] if "FILE" in command else [file]))


def _named(command):
    return "-".join(word for word in command if word.islower() and not word.startswith("-"))


@pytest.mark.parametrize("make", WRONG, ids=lambda make: make.__name__.strip("_"))
@pytest.mark.parametrize(
    ("command", "code"),
    [
        *((command, 64) for command in SESSION_COMMANDS),
        *((command, 65) for command in TRACE_COMMANDS),
        *((command, 65) for command in ARCHIVE_COMMANDS),
    ],
    ids=lambda value: _named(value) if isinstance(value, list) else None,
)
def test_a_file_that_is_none_is_named_with_what_to_do(tmp_path, command, code, make):
    file = tmp_path / "given"
    make(file)
    assert_told(call(command, file, tmp_path / "state"), code, str(file))
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("make", WRONG, ids=lambda make: make.__name__.strip("_"))
@pytest.mark.parametrize("which", ["session", "program", "traces"])
def test_evaluate_names_the_file_that_is_wrong(tmp_path, good, which, make):
    file = tmp_path / "given"
    make(file)
    files = {
        "session": good,
        "program": good.with_name("program.json"),
        "traces": good.with_name("tickets.jsonl"),
    } | {which: file}
    result = cascade(
        "evaluate", files["program"], files["traces"], "--session", files["session"],
        "--state", tmp_path / "state",
    )  # fmt: skip
    if which == "traces":  # the program is looked at first, and is of no use
        assert_told(result, 65)
    else:
        assert_told(result, 64 if which == "session" else 65, str(file))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["traces", "import", "bfcl", "FOLDER", "--max-records", "3"], ["cannot be written"]),
        (["traces", "import", "bfcl", "FILE/x.parquet", "--max-records", "3"], ["cannot be"]),
        (["crd", "--output", "FILE/x"], ["cannot be written", "--output"]),
    ],
    ids=["a-folder-for-a-file", "a-file-for-a-folder", "crd"],
)
def test_what_cannot_be_written_ends_with_73(tmp_path, arguments, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    places = {"FOLDER": str(tmp_path / "folder"), "FILE": str(tmp_path / "file")}
    filled = []
    for word in arguments:
        for name, place in places.items():
            word = word.replace(name, place)  # noqa: PLW2901
        filled.append(word)
    assert_told(cascade(*filled), 73, *words)
    assert (tmp_path / "file").read_text() == "mine"
    assert not list((tmp_path / "folder").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["traces", "import", "bfcl", "x.parquet", "--max-records", "1"],
        ["traces", "import", "bfcl", "x.parquet", "--seed", "-1"],
        ["traces", "import", "elsewhere"],
        ["evaluate", "p", "t", "--session", "s", "--split", "test"],
        ["validate", "x", "--output", "xml"],
        ["archive", "verify"],
        ["stages", "9999"],
        ["run", "a.yaml", "b.yaml"],
    ],
    ids=lambda arguments: "-".join(arguments[:3]),
)
def test_a_wrong_value_ends_with_2(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert_told(cascade(*arguments), 2, "Usage: cascade")


@pytest.mark.parametrize("name", ["", ".", "a name\nof two lines.jsonl", "x" * 250, "-", "ü.jsonl"])
def test_any_name_of_a_trace_file_is_taken_as_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert_told(cascade("traces", "validate", "--", name), 65)


def test_traces_without_a_usable_record_say_why(tmp_path, good):
    file = tmp_path / "t.jsonl"
    rows = [row | {"validated_json": "nothing"} for row in ticket_rows()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cascade("traces", "validate", file, "--session", good)
    assert_told(result, 65, f"{len(rows)} of {len(rows)} rows are bad", "validated_json is not")


def _archive(entries=None, **changes):
    members = small_members()
    manifest = manifest_of(members, **changes)
    return compress(tar_bytes(entries or entries_of(members, manifest)))


MEMBERS = small_members()
HOSTILE = {
    "truncated": (_archive()[:-30], "truncated"),
    "trailing-bytes": (_archive() + b"more", "goes on after its zstd frame"),
    "parent-folder": (_archive([tar_entry("../manifest.json", b"{}")]), "no archive has a member"),
    "absolute": (_archive([tar_entry("/etc/passwd", b"x")]), "no archive has a member"),
    "symbolic-link": (
        _archive([tar_entry("manifest.json", type=b"2", linkname="/etc/passwd")]),
        "is a symbolic link",
    ),
    "hard-link": (_archive([tar_entry("manifest.json", type=b"1", linkname="x")]), "hard link"),
    "device": (_archive([tar_entry("manifest.json", type=b"3")]), "a character device"),
    "wrong-digest": (
        _archive(entries_of({**MEMBERS, "44_candidates.json": b"{} "}, manifest_of(MEMBERS))),
        "44_candidates.json",
    ),
    "twice": (
        _archive([*entries_of(MEMBERS), tar_entry("44_candidates.json", b"{}")]),
        "stands in the archive twice",
    ),
    "another-group-size": (_archive(groupSize=2, sizes=[2]), "in an archive of groups of 2"),
    "no-member-list": (_archive(members={}), "is not in the manifest"),
    "another-version": (_archive(version=99), "has format version 99"),
    "a-bomb": (compress(bytes(64 << 20)), "manifest.json"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_hostile_archive_is_told_by_its_name(tmp_path, command, data, said):
    file = tmp_path / "given.tar.zst"
    file.write_bytes(data)
    assert_told(cascade("archive", command, file), 65, file.name, said)
    assert list(tmp_path.iterdir()) == [file]
