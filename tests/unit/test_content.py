"""Bytes that wait are whole, also where the disk takes no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
