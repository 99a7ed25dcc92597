"""What all files of a run hold: encoded once, read once, and never all in memory."""

import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from cascade_operator.archive.decoder import TableDecoder
from cascade_operator.archive.encoding import RunMembers, encode
from cascade_operator.archive.errors import ArchiveError
from cascade_operator.archive.model import combine
from cascade_operator.archive.reader import read_archive, verify_archive
from cascade_operator.archive.tables import TableKind
from cascade_operator.archive.writer import write_archives
from fakes.archives import NODES, make_matrices, make_run


class CountingDecoder(TableDecoder):
    """A decoder that says what it decoded."""

    def __init__(self):
        super().__init__()
        self.kinds = []

    def decode(self, kind, data, limits):
        self.kinds.append(kind)
        return super().decode(kind, data, limits)


class Loaded(Mapping):
    """Matrices made when they are asked for; counts how many are alive at once."""

    def __init__(self, nodes, ids):
        self._nodes, self._ids = nodes, ids
        self._refs = []
        self.asked, self.most = 0, 0

    def __getitem__(self, node):
        self.asked += 1
        matrices = make_matrices(self._ids, self._nodes.index(node))
        self._refs.append(weakref.ref(matrices.in_raw))
        self.most = max(self.most, sum(ref() is not None for ref in self._refs))
        return matrices

    def __iter__(self):
        return iter(self._nodes)

    def __len__(self):
        return len(self._nodes)


def test_files_of_a_run_share_one_encoding_and_one_reading_back(tmp_path):
    run = make_run(["00", "10", "00_10"])
    ids = [row.record_id for row in run.split]
    lazy = Loaded(list(run.io_matrices), ids)
    with CountingDecoder() as decoder:
        files = write_archives(make_run(io_matrices=lazy), tmp_path, decoder=decoder)
        assert len(files) == 2
        assert lazy.asked == len(lazy)
        # One node's, and the one before until its name is bound anew.
        assert lazy.most <= 2
        assert decoder.kinds.count(TableKind.MATRICES) == len(lazy)
        for file in files:
            assert verify_archive(tmp_path / file.path, decoder=decoder).ok


def test_files_of_a_run_are_restored_with_one_reading_of_their_matrices(tmp_path):
    run = make_run(["00", "10", "00_10"])
    with CountingDecoder() as decoder:
        files = write_archives(run, tmp_path, decoder=decoder)
        decoder.kinds.clear()
        known = {}
        parts = [read_archive(tmp_path / f.path, decoder=decoder, known=known) for f in files]
        assert decoder.kinds.count(TableKind.MATRICES) == len(run.io_matrices)
    for node, matrices in run.io_matrices.items():
        assert parts[0].io_matrices[node] is parts[1].io_matrices[node]
        np.testing.assert_array_equal(parts[0].io_matrices[node].in_raw, matrices.in_raw)
    assert encode(combine(parts)) == encode(run)


def test_only_the_matrices_asked_for_are_decoded(tmp_path, decoder):
    run = make_run(["00"])
    (file,) = write_archives(run, tmp_path, decoder=decoder)
    assert list(run.io_matrices) == list(NODES[:2])
    back = read_archive(tmp_path / file.path, decoder=decoder, nodes=[NODES[1]])
    assert list(back.io_matrices) == [NODES[1]]
    assert not read_archive(tmp_path / file.path, decoder=decoder, nodes=()).io_matrices


def test_a_digest_seen_before_is_not_trusted_for_other_bytes(tmp_path, decoder):
    run = make_run(["00"])
    (file,) = write_archives(run, tmp_path, decoder=decoder)
    verified, path = set(), tmp_path / file.path
    assert verify_archive(path, decoder=decoder, verified=verified).ok
    assert len(verified) == 2
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert not verify_archive(path, decoder=decoder, verified=verified).ok


def test_the_waiting_file_has_no_name_and_goes_with_the_run(tmp_path):
    run = make_run(["00"])
    with RunMembers(run, tmp_path) as shared:
        assert not list(tmp_path.iterdir())
        whole = {name: b"".join(d) for name, d in shared.contents.items() if "54_io" in name}
        assert whole == {name: data for name, data in encode(run).items() if "54_io" in name}
    with pytest.raises(ValueError, match="closed"):
        list(next(d for name, d in shared.contents.items() if "54_io" in name))


def test_a_waiting_file_that_was_cut_is_an_error_and_not_a_short_archive(tmp_path):
    with RunMembers(make_run(["00"]), tmp_path) as shared:
        part = next(d for name, d in shared.contents.items() if "54_io" in name)
        shared._files[0].truncate(3)
        with pytest.raises(OSError, match="ended early"):
            b"".join(part)


def test_matrices_that_do_not_fit_name_the_archive(tmp_path, decoder):
    run = make_run(["00"])
    ids = [row.record_id for row in run.split]
    odd = make_matrices([*ids, "one-more"])
    spoiled = type(odd)(tuple(ids), odd.in_red, odd.in_raw, odd.out_red, odd.out_raw)
    with pytest.raises(ArchiveError, match=r"size01.tar.zst: in_red has shape"):
        write_archives(make_run(["00"], io_matrices={NODES[0]: spoiled}), tmp_path, decoder=decoder)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list(Path(tempfile.gettempdir()).glob("*.partial"))
