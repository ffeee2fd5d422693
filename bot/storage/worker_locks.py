"""Which workers' processes are alive: each holds a lock on a file of its own beside the database.

The operating system gives the lock back when the process ends, however it ends. All processes that can use one
SQLite database see each other's locks, since its log in shared memory ties it to one machine.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)


class WorkerLocks:
    """The locks beside one database. Worker names must be unique and usable in a file's name."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._held: dict[str, int] = {}

    def hold(self, worker: str) -> None:
        """Hold this worker's lock until `close`, or until the process ends."""
        file = os.open(self._path(worker), os.O_CREAT | os.O_RDWR, 0o600)
        self._held[worker] = file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            log.warning(
                "%s cannot be locked (%s): after a crash, jobs wait for their lease", self._path(worker), error
            )

    def ended(self, workers: Iterable[str]) -> set[str]:
        """Those of the workers whose process has ended; their files are removed."""
        return {worker for worker in workers if worker not in self._held and self._has_ended(worker)}

    def _has_ended(self, worker: str) -> bool:
        try:
            file = os.open(self._path(worker), os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            # Shared, so that two processes that ask at once do not take each other for the holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(file)
        self._path(worker).unlink(missing_ok=True)
        return True

    def close(self) -> None:
        """Give back every lock, and remove its file."""
        for worker, file in self._held.items():
            self._path(worker).unlink(missing_ok=True)
            os.close(file)
        self._held.clear()

    def _path(self, worker: str) -> Path:
        return self._database.with_name(f"{self._database.name}-{worker}.lock")
