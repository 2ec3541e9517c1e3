"""The command `vitatt download`."""

from __future__ import annotations

from filelock import FileLock, Timeout

from vitatt.commands.datasets import lines_of
from vitatt.data.datasets.publications import PUBLICATIONS
from vitatt.data.download.collection import check_collections, download_collection
from vitatt.data.download.publication import download_publication
from vitatt.failures import FULL
from vitatt.files import check_folder
from vitatt.paths import user_path
from vitatt.types import DataError, UsageError
from vitatt.words import did_you_mean


def download(dataset: str, folder: str) -> int:
    """Download a published dataset, and unpack it; without account, going on after a cut.

    Args:
        dataset: Its name, as in `vitatt datasets`, or collections of the ISIC archive by number, as
            in ``isic_archive:251``.
        folder: Where to: a new folder, or that of an earlier call.

    Returns:
        0.

    Raises:
        UsageError: If the dataset is not known.
        DataError: If something cannot be fetched, or is not what was published. What is complete is
            kept, and the same command goes on.
    """
    name, _, collections = dataset.partition(":")
    if name not in PUBLICATIONS or (collections and name != "isic_archive"):
        raise UsageError(
            f"Expected a dataset among {', '.join(PUBLICATIONS)}, but got '{dataset}'."
            f"{did_you_mean(name, list(PUBLICATIONS))}"
        )
    if name == "isic_archive":
        check_collections(collections)
    place = user_path(folder, "folder")
    check_folder(place, "the download")
    publication = PUBLICATIONS[name]
    print("\n".join(lines_of(publication)), flush=True)
    try:
        with FileLock(place / ".vitatt-download.lock", timeout=0):
            if name == "isic_archive":
                download_collection(collections, place, _say)
            else:
                download_publication(publication, place, _say)
    except Timeout as error:
        raise UsageError(f"Another `vitatt download` works in {place}. Wait for it.") from error
    except OSError as error:
        if error.errno in FULL:
            raise
        raise DataError(
            f"{error.filename or place} cannot be read or written ({error.strerror or error}). "
            "What is complete is kept: mend that, and run the command again."
        ) from error
    if not publication.by_hand:  # which says where the root is
        print(f"To look at it: vitatt check-data --data.dataset {name} --data.root {place}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)
