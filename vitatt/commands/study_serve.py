"""The command `vitatt study serve`."""

from __future__ import annotations

import importlib.util

from vitatt.paths import user_path
from vitatt.ranges import Range, check_ranges
from vitatt.types import UsageError


def study_serve(study: str, *, host: str = "127.0.0.1", port: int = 8000) -> int:
    """Serve a reader study: the readers' pages, and the operator's view of the progress.

    Every step of a reader is in the log before it is acknowledged; after any stop, also kill -9,
    readers go on where they were.

    Args:
        study: Folder of a study.
        host: Address to listen at.
        port: Port to listen at; 0 for any that is free.

    Returns:
        0, after SIGINT or SIGTERM, when what ran is finished.

    Raises:
        UsageError: If a package is missing, the folder is no study, was changed or is served
            already, or the address cannot be used.
    """
    if lacking := [one for one in ("fastapi", "uvicorn") if importlib.util.find_spec(one) is None]:
        raise UsageError(
            f"`vitatt study serve` needs {' and '.join(lacking)}: pip install 'vitatt[serve]'."
        )
    check_ranges({"port": Range(least=0, most=65535)}, {"port": port})
    from vitatt.reader_study.serving.run import run_study  # imports FastAPI

    return run_study(user_path(study, "study"), host=host, port=port)
