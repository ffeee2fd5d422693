"""Easel's speed and memory, measured: `python -m benchmarks`.

Easel ("easel") is loaded beside the barest bot that can paint ("floor"). Each bot is a process of its own, between
its own stand-ins for Discord and fal. The bots take turns in every burst, so that a busy machine slows them alike.

`--against DIR` adds a third bot, "before": the Easel of another checkout, such as one of the commit before a
change (`git worktree add DIR COMMIT`). It is started as `python -m bot run` with DIR's modules, this interpreter
and its installed packages, and between the stand-ins of this tree. The table has its column and the ratio
easel/before.

The results are written to `bench-output/latest.json`, the log of each bot and its stand-ins beside it.
"""
