"""`python -m bot demo` from this tree in a process of its own, with no environment but the paths."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

COMMAND = (
    sys.executable,
    "-W",
    "error",
    "-W",
    "ignore:'audioop' is deprecated:DeprecationWarning",
    "-m",
    "bot",
    "demo",
)
ROOT = Path(__file__).parents[3]
TIMEOUT = 60.0
PAGE_URL = re.compile(r"http://127\.0\.0\.1:(\d+)/#\S+")


class DemoProcess:
    """A running demo. `output` and `errors` are the lines that it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.output: list[str] = []
        self.errors: list[str] = []
        self._printed = threading.Condition()
        self._readers = [self._collect(process.stdout, self.output), self._collect(process.stderr, self.errors)]

    def _collect(self, pipe: IO[str] | None, lines: list[str]) -> threading.Thread:
        def read() -> None:
            for line in pipe or ():
                with self._printed:
                    lines.append(line.rstrip("\n"))
                    self._printed.notify_all()

        reader = threading.Thread(target=read)
        reader.start()
        return reader

    def wait_for(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait for a line on standard output that matches."""

        def search() -> re.Match[str] | None:
            return next((match for line in self.output if (match := re.search(pattern, line))), None)

        with self._printed:
            self._printed.wait_for(lambda: search() or self._process.poll() is not None, TIMEOUT)
        match = search()
        assert match, "\n".join(["not printed:", *self.output, *self.errors])
        return match

    def wait(self) -> int:
        """Wait for the process to end; returns its exit code."""
        code = self._process.wait(TIMEOUT)
        for reader in self._readers:
            reader.join(TIMEOUT)
        return code

    def stop(self, by: signal.Signals) -> int:
        """Send a signal and wait for the process to end; returns its exit code."""
        self._process.send_signal(by)
        return self.wait()

    def kill(self) -> None:
        """Kill the process if it still runs, and close its pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


@contextmanager
def start_demo(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[DemoProcess]:
    """Start the demo in `folder`, with its output in `folder/output`; `environment` is added to the paths."""
    command = [*COMMAND, "--output", str(folder / "output"), *options]
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(environment or {})}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=pipe, stderr=pipe, text=True) as process:
        demo = DemoProcess(process)
        try:
            yield demo
        finally:
            demo.kill()
