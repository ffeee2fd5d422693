"""`python -m bot demo` as somebody starts it: a process of its own, with nothing but a PATH."""

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
PATIENCE = 60.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/#\S+")


class Demo:
    """A running demo; what it prints is collected while it goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self._news = threading.Condition()
        self._readers = [self._collect(process.stdout, self.lines), self._collect(process.stderr, self.complaints)]

    def _collect(self, pipe: IO[str] | None, into: list[str]) -> threading.Thread:
        def read() -> None:
            for line in pipe or ():
                with self._news:
                    into.append(line.rstrip("\n"))
                    self._news.notify_all()

        reader = threading.Thread(target=read)
        reader.start()
        return reader

    def said(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait for something on its standard output."""

        def found() -> re.Match[str] | None:
            return next((hit for line in self.lines if (hit := re.search(pattern, line))), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._process.poll() is not None, PATIENCE)
        hit = found()
        assert hit, "\n".join(["not said:", *self.lines, *self.complaints])
        return hit

    def ended(self, *, by: signal.Signals | None = None) -> int:
        """The exit code, after a signal if one is given."""
        if by is not None:
            self._process.send_signal(by)
        code = self._process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        """However the test went, nothing is left behind."""
        if self._process.poll() is None:
            self._process.kill()
        self.ended()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


@contextmanager
def demo(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Demo]:
    """Start it in `folder`, its output below; the environment holds a PATH and what is given."""
    command = [*COMMAND, "--output", str(folder / "output"), *options]
    held = {"PATH": os.environ["PATH"], **(environment or {})}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=held, stdout=pipe, stderr=pipe, text=True) as process:
        started = Demo(process)
        try:
            yield started
        finally:
            started.kill()
