"""Bytes that wait are whole, also where the disk takes no more."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest

from bot.domain.content import DiskFile
from tests.support.world.world import ROOT

RECEIVING = """
import os, resource
from bot.domain.content import DiskFile, Receiver
{before}
parts = [os.urandom(200_000) for _ in range(20)]
receiver = Receiver()
for part in parts:
    receiver.append(part)
content = receiver.content()
whole = content.read() if isinstance(content, DiskFile) else content
print(whole == b"".join(parts), type(content).__name__)
"""


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ("", "DiskFile"),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))", "bytes"),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))", "bytes"),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))", "bytes"),
    ],
    ids=["room", "no room", "room for a part", "no file"],
)
def test_what_was_received_is_whole(before: str, kind: str) -> None:
    code = RECEIVING.format(before=before)
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", kind]


def test_the_rest_of_a_file_is_read_without_a_second_copy() -> None:
    file = DiskFile()
    file.append(bytes(range(256)) * 40_000)
    with file.open() as reader:
        assert reader.seek(256 * 1000) == 256_000
        tracemalloc.start()
        rest = reader.read()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (rest, reader.read(), reader.tell()) == (bytes(range(256)) * 39_000, b"", 10_240_000)
    assert most < 11_000_000
