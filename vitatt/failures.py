"""Report a failed command in one line, with traceback and versions in a file."""

from __future__ import annotations

import errno
import platform
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from vitatt.types import UsageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a disk that takes no more."""

_VERSIONS = ("vitatt", "torch", "lightning", "timm", "torchmetrics", "wandb", "polars", "numpy")


def report_failure(error: Exception, words: Sequence[str], *, debug: bool) -> int:
    """Print an error to the error output, and return the exit status of the command.

    Args:
        error: The error that ended the command.
        words: The command and its options.
        debug: Whether to print the traceback as well.

    Returns:
        2 for an error that the user can correct, including a full disk; 3 for any other.
    """
    if debug:
        traceback.print_exception(error)
    if isinstance(error, UsageError | MisconfigurationException):
        print(f"error: {error}", file=sys.stderr)
        return 2
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in FULL:
            place = f" ({cause.filename})" if cause.filename else ""
            print(
                f"error: The disk is full, or its quota is used up{place}: {cause.strerror}. Make "
                "room; what was complete before is kept. `vitatt doctor` tells where there is.",
                file=sys.stderr,
            )
            return 2
    story = _story(error, words)
    summary = " ".join(str(error).split()) or "no message"
    if len(summary) > 300:
        summary = f"{summary[:300]}..."
    print(
        f"error: Unexpected {type(error).__name__} in `vitatt {words[0]}`, {_step(error)}: "
        f"{summary} ({_written(story)})",
        file=sys.stderr,
    )
    return 3


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and the errors that led to it, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def _step(error: Exception) -> str:
    """Return the place of the error: the innermost function of this package in its traceback."""
    package = str(Path(__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(package)]
    if not own:
        return "before its work began"
    place = Path(own[-1].filename).relative_to(Path(package).parent)
    return f"in {own[-1].name} ({place}, line {own[-1].lineno})"


def _story(error: Exception, words: Sequence[str]) -> str:
    """Return the content of a bug report: command, versions and traceback."""
    lines = [f"command: vitatt {' '.join(words)}", f"python: {platform.python_version()}"]
    lines.append(f"platform: {platform.platform()}")
    for name in _VERSIONS:
        try:
            lines.append(f"{name}: {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name}: not installed")
    return "\n".join([*lines, "", *traceback.format_exception(error)])


def _written(story: str) -> str:
    """Write the bug report to a file and return where; print it if no file can be written."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="vitatt-error-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(story)
    except OSError:
        print(story, file=sys.stderr)
        return "traceback and versions are above, since no file could be written"
    return f"traceback and versions: {file.name}"
