"""Processes that open pictures for Easel, and that can be killed: a hostile file holds up nobody else.

Each is a fresh Python (`python -m bot.pictures.child`), not a fork: it has none of the bot's threads, sockets and
secrets. It is started for the first picture, is used for many, and is replaced after it has been killed. Libraries
that were looked at: concurrent.futures and loky cannot end one task, pebble is under the LGPL, and anyio's and
multiprocessing's processes import the bot's main module, which is Discord and all the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bot.domain.content import Content
from bot.pictures import wire
from bot.pictures.errors import ProcessEnded, TookTooLong

log = logging.getLogger(__name__)

_ROOT = Path(__file__).parent.parent.parent


class _Child:
    """One process, which does one task at a time. Its methods block, except `kill`."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(_ROOT), *filter(None, sys.path)])
        self._connection, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bot.pictures.child"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # One arena of memory instead of one for each thread, so that the limit is what is really used; and
                # what a large picture took goes back to the system.
                env={"PYTHONPATH": path, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1048576"},
                start_new_session=True,  # Ctrl-C in a terminal is for the bot alone
            )
        except OSError:
            self._connection.close()
            raise
        finally:
            theirs.close()

    def exchange(self, head: wire.Head, content: Content) -> wire.Answer:
        """Give it a task and wait for its answer.

        Raises:
            ProcessEnded: it is gone now.
        """
        try:
            wire.send(self._connection, head, content)
            return wire.receive_spooled(self._connection)
        except (OSError, EOFError, ValueError, RecursionError):
            self.end()
            raise ProcessEnded(f"code {self._process.returncode}") from None

    def kill(self) -> None:
        """Have the kernel end it, whatever it is doing."""
        self._process.kill()

    def end(self) -> None:
        """Kill it and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


def _started() -> _Child:
    try:
        return _Child()
    except OSError as error:
        raise ProcessEnded(type(error).__name__) from None


class _Task:
    """A task on its way, which may be aborted at any time."""

    def __init__(self, head: wire.Head, content: Content) -> None:
        self.head = head
        self.content = content
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self.aborted = False

    def begin(self, child: _Child) -> None:
        """It is this process's from now on."""
        with self._lock:
            if self.aborted:
                raise ProcessEnded
            self._child = child

    def end(self) -> None:
        """The process is free for another task."""
        with self._lock:
            self._child = None

    def abort(self) -> None:
        """Kill the process that works on it, or will."""
        with self._lock:
            self.aborted = True
            if self._child is not None:
                self._child.kill()


class Processes:
    """At most `count` processes, each waited for by a thread. Serves any number of event loops."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="pictures")
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._tasks: set[_Task] = set()
        self._closed = False

    def close(self) -> None:
        """Kill every process, and return when they are gone."""
        with self._lock:
            self._closed = True
            tasks, idle = list(self._tasks), list(self._idle)
        for task in tasks:
            task.abort()
        self._threads.shutdown(cancel_futures=True)
        for child in idle:
            child.end()

    async def run(self, head: wire.Head, content: Content, seconds: float) -> wire.Answer:
        """Do a task; the process is killed after so many seconds, or when this coroutine is cancelled.

        Raises:
            TookTooLong: it was killed.
            ProcessEnded: it ended by itself.
        """
        if self._closed:
            raise ProcessEnded
        task = _Task(head, content)
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._work, task)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            log.warning("a picture took more than %.0f s to open; its process was killed", seconds)
            raise TookTooLong from None
        finally:
            if not future.done() or future.cancelled():
                task.abort()

    def _work(self, task: _Task) -> wire.Answer:
        with self._lock:
            if self._closed:
                raise ProcessEnded
            self._tasks.add(task)
            child = self._idle.pop() if self._idle else None
        try:
            child = child or _started()
            try:
                task.begin(child)
            except ProcessEnded:
                self._give_back(child)
                raise
            answer = child.exchange(task.head, task.content)
            task.end()
        except ProcessEnded as ended:
            if not task.aborted:
                log.warning("a picture process ended by itself (%s)", ended)
            raise
        finally:
            with self._lock:
                self._tasks.discard(task)
        self._give_back(child)
        return answer

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                return
        child.end()
