"""One decoding process for all the tests of this folder."""

import pytest

from cascade_operator.archive.decoder import TableDecoder


@pytest.fixture(scope="session")
def decoder():
    with TableDecoder() as decoder:
        yield decoder
