"""A bot that has handled large pictures goes back to its usual size."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.world.world import ROOT

LARGE_AND_LASTING = """
import psutil
from bot.__main__ import _return_large_memory
_return_large_memory()
lasting = []
for _ in range(3):
    large = []
    for _ in range(10):
        large.append(b"x" * 20_000_000)
        lasting.append(b"x" * 100_000)
    del large
print(psutil.Process().memory_info().rss // 1024**2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has this option: run it there")
def test_the_memory_of_large_pictures_goes_back_to_the_system() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LARGE_AND_LASTING], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 150  # 220 where the blocks stay in the process
