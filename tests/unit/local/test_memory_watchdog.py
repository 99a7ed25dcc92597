from __future__ import annotations

import asyncio
import os

from cascade_operator.local.memory_watchdog import resident_bytes, watch_memory

PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(proc, pid, name, session, pages):
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    fields = ["S", "1", "1", str(session), *["0"] * 17, str(pages), *["0"] * 28]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")


def test_memory_is_summed_by_session_whatever_the_name_of_a_process(tmp_path):
    _stat(tmp_path, 10, "python", 10, 100)
    _stat(tmp_path, 11, "a) S 1 (b", 10, 50)
    _stat(tmp_path, 12, "other", 12, 7)
    (tmp_path / "self").mkdir()
    (tmp_path / "13").mkdir()  # ended between listing and reading
    assert resident_bytes(tmp_path) == {10: 150 * PAGE, 12: 7 * PAGE}


def test_this_process_is_found_in_the_real_table():
    assert resident_bytes()[os.getsid(0)] > 1024**2


def test_only_what_is_over_its_limit_is_killed():
    killed = []

    async def watch():
        task = asyncio.create_task(
            watch_memory(
                lambda: {1: 100, 2: 100, 3: 0, 4: 100},
                killed.append,
                poll_seconds=0,
                measure=lambda: {1: 101, 2: 100, 3: 999},
            )
        )
        while not killed:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(watch())
    assert set(killed) == {1}


def test_nothing_is_measured_while_nothing_is_limited():
    looks = []

    async def watch():
        polls = []

        def limits():
            polls.append(1)
            return {}

        task = asyncio.create_task(
            watch_memory(limits, looks.append, poll_seconds=0, measure=lambda: looks.append(1))
        )
        while len(polls) < 3:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(watch())
    assert looks == []
