"""Archives on a volume: found by their names, whole or progressive, removed with care."""

from pathlib import Path

import pytest

from cascade_operator.api.archive_spec import Compression
from cascade_operator.archive.catalog import (
    ArchivedRun,
    CatalogFile,
    SessionFolder,
    excess_files,
    find_run,
    latest_run,
    list_runs,
    list_sessions,
    remove_files,
    report_path,
)
from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.writer import write_archive, write_archives
from fakes.archives import make_run

FOLDER = SessionFolder("team-a", "support")
DAYS = [f"202601{day:02d}T000000Z" for day in range(1, 7)]


def entry(session_id, *sizes, complete=True, superseded=()):
    def file(size):
        return CatalogFile(Path(f"/v/{session_id}_size{size:02d}.tar.zst"), session_id, size, 1)

    return ArchivedRun(
        FOLDER,
        session_id,
        tuple(file(size) for size in sizes),
        complete,
        tuple(file(size) for size in superseded),
    )


@pytest.fixture
def write(decoder):
    def write(root, day, keys=("00", "10", "00_10"), **changes):
        form = changes.pop("form", Compression.ZSTD)
        run = make_run(keys, session_id=DAYS[day], **changes)
        return write_archives(run, root, form, decoder=decoder)

    return write


def test_sessions_and_runs_are_found_oldest_first(tmp_path, write):
    write(tmp_path, 1)
    write(tmp_path, 0)
    write(tmp_path, 0, namespace="team-b", session="other")
    assert list_sessions(tmp_path) == (FOLDER, SessionFolder("team-b", "other"))
    runs = list_runs(tmp_path, FOLDER)
    assert [run.session_id for run in runs] == DAYS[:2]
    assert [file.group_size for file in runs[0].files] == [1, 2]
    assert all(run.complete and not run.problems for run in runs)
    assert runs[0].files[0].bytes == runs[0].files[0].path.stat().st_size


def test_what_is_not_ours_is_not_listed(tmp_path, write):
    write(tmp_path, 0, ["00"])
    folder = tmp_path / "team-a" / "support"
    real = next(folder.iterdir())
    for name in ("notes.txt", "backup_size01.tar.zst", f"{DAYS[1]}_size99.tar.zst", "x.partial"):
        (folder / name).write_bytes(b"x")
    (folder / f"{DAYS[2]}_size01.tar.zst").symlink_to(real)
    (folder / f"{DAYS[3]}_size01.tar.zst").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "team-a")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "empty").mkdir()
    assert list_sessions(tmp_path) == (FOLDER,)
    assert [run.session_id for run in list_runs(tmp_path, FOLDER)] == [DAYS[0]]


@pytest.mark.parametrize(
    "folder",
    [SessionFolder("team-a", "unknown"), SessionFolder("..", "team-a"), SessionFolder("a", "b/c")],
    ids=str,
)
def test_a_session_without_a_folder_has_no_runs(tmp_path, write, folder):
    write(tmp_path, 0, ["00"])
    assert list_runs(tmp_path, folder) == ()


def test_a_root_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(ArchiveError, match="no such file"):
        list_sessions(tmp_path / "gone")


def test_a_set_is_complete_when_each_of_its_sizes_is_final(tmp_path, decoder):
    run = make_run(session_id=DAYS[0], progressive=True)
    write_archives(run, tmp_path, decoder=decoder)
    assert not list_runs(tmp_path, FOLDER)[0].complete
    final = make_run(session_id=DAYS[0])
    write_archive(final.of_size(1, [1, 2]), tmp_path, Compression.ZSTD, decoder=decoder)
    assert not list_runs(tmp_path, FOLDER)[0].complete
    write_archive(final.of_size(2, [1, 2]), tmp_path, Compression.ZSTD, decoder=decoder)
    assert list_runs(tmp_path, FOLDER)[0].complete


def test_a_set_that_lacks_a_size_is_not_complete(tmp_path, write):
    files = write(tmp_path, 0)
    (tmp_path / files[1].path).unlink()
    assert not list_runs(tmp_path, FOLDER)[0].complete


def test_the_file_without_groups_is_superseded_by_any_with_groups(tmp_path, write):
    write(tmp_path, 0, [], progressive=True)
    (run,) = list_runs(tmp_path, FOLDER)
    assert [file.group_size for file in run.files] == [0]
    write(tmp_path, 0, ["00"])
    (run,) = list_runs(tmp_path, FOLDER)
    assert [file.group_size for file in run.files] == [1]
    assert [file.group_size for file in run.superseded] == [0]
    assert run.complete


def test_a_final_file_beats_a_progressive_one_of_another_form(tmp_path, write):
    write(tmp_path, 0, ["00"], progressive=True, form=Compression.GZIP)
    folder = tmp_path / "team-a" / "support"
    (old,) = folder.iterdir()
    kept = old.read_bytes()
    write(tmp_path, 0, ["00"])
    old.write_bytes(kept)  # as if the writer had been killed before it removed the other form
    (run,) = list_runs(tmp_path, FOLDER)
    assert run.complete
    assert [file.path.suffix for file in run.files] == [".zst"]
    assert [file.path for file in run.superseded] == [old]


@pytest.mark.parametrize("damage", ["truncated", "renamed"])
def test_a_file_that_cannot_be_read_is_told_and_left_alone(tmp_path, write, damage):
    write(tmp_path, 0, ["00"])
    folder = tmp_path / "team-a" / "support"
    (path,) = folder.iterdir()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:50])
    else:
        path = path.rename(folder / f"{DAYS[1]}_size01.tar.zst")
    (run,) = list_runs(tmp_path, FOLDER)
    assert run.files == ()
    assert str(path) in run.problems[0]
    assert latest_run([run]) is None
    assert find_run([run], run.session_id) is None
    assert excess_files([run, *(entry(day, 1) for day in DAYS)], 1) == tuple(
        entry(day, 1).files[0].path for day in DAYS[:-1]
    )


RUNS = [entry(DAYS[0], 1, 2), entry(DAYS[1], 1, 2), entry(DAYS[2], 1, complete=False)]


def test_the_latest_run_may_have_to_be_complete():
    assert latest_run(RUNS) is RUNS[2]
    assert latest_run(RUNS[::-1], complete=True) is RUNS[1]
    assert latest_run([]) is None
    assert latest_run(RUNS[2:], complete=True) is None


@pytest.mark.parametrize(
    "name",
    [
        DAYS[1],
        f"{DAYS[1]}_size02.tar.zst",
        f"team-a/support/{DAYS[1]}_size01.tar.zst",
        f"{DAYS[1]}_size01.tar.gz",
    ],
)
def test_a_run_is_found_by_any_of_its_names(name):
    assert find_run(RUNS, name) is RUNS[1]


@pytest.mark.parametrize("name", ["", "latest", "20250101T000000Z", f"{DAYS[1]}_size77.tar.zst"])
def test_an_unknown_name_finds_nothing(name):
    assert find_run(RUNS, name) is None


def paths(*runs):
    return tuple(sorted(file.path for run in runs for file in run.files))


whole = [entry(day, 1, 2) for day in DAYS]
partial = [entry(day, 1, complete=False) for day in DAYS]
EXCESS = {
    "fewer than kept": (whole[:2], 3, (), ()),
    "as many as kept": (whole[:3], 3, (), ()),
    "the oldest go": (whole, 4, (), paths(*whole[:2])),
    "order does not matter": (whole[::-1], 4, (), paths(*whole[:2])),
    "a protected run stays": (whole, 1, (DAYS[2],), paths(*whole[:2], *whole[3:5])),
    "the newest complete run stays": (
        [whole[0], whole[1], *partial[2:]],
        2,
        (),
        paths(whole[0], *partial[2:4]),
    ),
    "superseded files go first": (
        [entry(DAYS[0], 1, superseded=(0,))],
        5,
        (),
        (Path(f"/v/{DAYS[0]}_size00.tar.zst"),),
    ),
    "none there": ([], 1, (), ()),
}


@pytest.mark.parametrize(("runs", "retain", "protect", "gone"), EXCESS.values(), ids=EXCESS.keys())
def test_files_beyond_what_is_retained(runs, retain, protect, gone):
    assert excess_files(runs, retain, protect=protect) == gone


def test_a_report_goes_with_its_run(tmp_path, write):
    for day in (0, 1):
        write(tmp_path, day, ["00"])
        (tmp_path / report_path("team-a", "support", DAYS[day])).write_text("page")
    # One that no archive stands beside, and a link, are somebody else's.
    (tmp_path / report_path("team-a", "support", DAYS[2])).write_text("page")
    write(tmp_path, 3, ["00"])
    linked = tmp_path / report_path("team-a", "support", DAYS[3])
    linked.symlink_to(tmp_path / report_path("team-a", "support", DAYS[2]))
    runs = list_runs(tmp_path, FOLDER)
    assert [run.session_id for run in runs] == [DAYS[0], DAYS[1], DAYS[3]]
    assert [run.report and run.report.name for run in runs] == [
        f"{DAYS[0]}_report.html",
        f"{DAYS[1]}_report.html",
        None,
    ]
    gone = excess_files(runs, 1, protect=[DAYS[1]])
    assert [path.name for path in gone] == [f"{DAYS[0]}_report.html", f"{DAYS[0]}_size01.tar.zst"]
    assert remove_files(gone) == ()


def test_retaining_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        excess_files(RUNS, 0)


def test_removing_tells_what_stayed(tmp_path):
    gone, stuck = tmp_path / "a", tmp_path / "b"
    gone.write_bytes(b"x")
    stuck.mkdir()
    (problem,) = remove_files([gone, stuck, tmp_path / "never-there"])
    assert not gone.exists()
    assert problem.startswith(f"{stuck}: ")
