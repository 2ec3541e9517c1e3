"""Checkpoint files in the folders of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vitatt.types import UsageError

Name = Literal["best", "last"]

_SAVED = {"best": ("best.ckpt",), "last": ("last.ckpt", "interrupted.ckpt")}


def find_checkpoint(asked: str | Path, runs: Path, *, prefer: Name = "best") -> Path:
    """The checkpoint file that ``--ckpt_path`` names.

    Args:
        asked: A file; the folder of a run, or its ``checkpoints``; or ``best`` or ``last``, for
            that of the run with the latest one.
        runs: Folder of the runs that ``best`` and ``last`` are searched in.
        prefer: Which checkpoint of a folder; ``last`` is the later of ``last.ckpt`` and
            ``interrupted.ckpt``.

    Raises:
        UsageError: If there is no such file.
    """
    path = Path(asked).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = _latest([*_in(path, prefer), *_in(path / "checkpoints", prefer)])
        if found is None:
            raise UsageError(
                f"The folder {path} has no checkpoints/{prefer}.ckpt: it is no run of `vitatt "
                "fit`, or its training ended before the first epoch did."
            )
        return found
    if asked in ("best", "last"):
        name: Name = "best" if asked == "best" else "last"
        found = _latest([file for run in runs.glob("*") for file in _in(run / "checkpoints", name)])
        if found is None:
            raise UsageError(
                f"No run below {runs} has a checkpoints/{asked}.ckpt: name a checkpoint's file, or "
                "the folder of a run."
            )
        return found
    raise UsageError(
        f"The checkpoint {path} does not exist. Name a file, the folder of a run, or `best` or "
        "`last` for that of the latest run."
    )


def _in(folder: Path, name: Name) -> list[Path]:
    return [folder / file for file in _SAVED[name] if (folder / file).is_file()]


def _latest(files: list[Path]) -> Path | None:
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
