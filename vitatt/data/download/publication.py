"""Download a publication: fetch its files, compare them with what is known, unpack archives."""

from __future__ import annotations

import shutil
from pathlib import Path

from vitatt.data.datasets.publications import Publication, RemoteFile
from vitatt.data.download.answers import UnreachableError
from vitatt.data.download.fetch import PATIENCE, Patience, Say, fetch
from vitatt.data.download.record import Entry, Record, count_files
from vitatt.data.download.unpack import unpack
from vitatt.data.download.verify import Verdict, verify
from vitatt.types import DataError


def download_publication(
    publication: Publication, folder: Path, say: Say, patience: Patience = PATIENCE
) -> None:
    """Fetch and unpack all files of a publication; what is there already is not fetched again.

    An archive is unpacked into a folder of its name, and kept.

    Args:
        publication: What to fetch.
        folder: Where to, created.
        say: Prints a line for the user.
        patience: How long to wait for servers.

    Raises:
        DataError: If a file cannot be fetched or unpacked, differs from what is known for sure, or
            the folder has another dataset or too little room. Running it again goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = Record(folder, publication.name)
    todo = [
        file
        for file in publication.files
        if not record.has(file.name, folder / file.name, _unpacked(file, folder))
    ]
    if not todo:
        say(f"{folder} has all of {publication.title} already: nothing to do.")
        return
    _require_room(publication, todo, folder, say)
    for file in todo:
        _complete(publication, file, folder, record, say, patience)
    archives = [folder / file.name for file in publication.files if _is_archive(file)]
    if kept := [path for path in archives if path.is_file()]:
        size = sum(path.stat().st_size for path in kept) / 1e9
        names = " ".join(str(path) for path in kept)
        say(f"The archives are unpacked and no longer needed; to free {size:.2f} GB: rm {names}")


def _complete(
    publication: Publication,
    file: RemoteFile,
    folder: Path,
    record: Record,
    say: Say,
    patience: Patience,
) -> None:
    """Fetch, compare and unpack one file, and write it down."""
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise DataError(
            f"{path} is a folder, but the file {file.name} belongs there. Move the folder away, "
            "and run the command again."
        )
    if path.is_file():
        say(f"{file.name} is there already, and is not fetched.")
        verdict = verify(file, path)
        _judge(publication, file, path, verdict, say)
    else:
        try:
            if not file.url:
                raise UnreachableError(f"{file.name} is not in {folder}.")
            part = fetch(file, path, say, patience)
        except UnreachableError as error:
            raise DataError(f"{error} {_otherwise(publication, file, folder)}") from error
        verdict = verify(file, part.path)
        if verdict.differences and file.confirmed:
            part.become(path.with_name(f"{path.name}.wrong"))
            path = path.with_name(f"{path.name}.wrong")
        _judge(publication, file, path, verdict, say)
        part.become(path)
    unpacked = None
    if _is_archive(file):
        unpack(path, _unpacked(file, folder))
        unpacked = count_files(_unpacked(file, folder))
        if not unpacked:
            raise DataError(
                f"{path} holds no file. Compare it with that of {publication.address}, remove it, "
                "and run the command again, which fetches it anew."
            )
        say(f"{file.name}: {unpacked:,} files in {_unpacked(file, folder)}")
    record.add(file.name, Entry(verdict.size, verdict.sha256, unpacked))


def _judge(
    publication: Publication, file: RemoteFile, path: Path, verdict: Verdict, say: Say
) -> None:
    """Say what the comparison of a file with what is known has found.

    Raises:
        DataError: If it differs from what is known for sure.
    """
    differences = " and ".join(verdict.differences)
    if differences and file.confirmed:
        raise DataError(
            f"{path} is not the published file: it has {differences}. It is kept, but neither "
            f"used nor unpacked. Remove it and run the command again; if that does not help, see "
            f"{publication.address}."
        )
    say(f"{file.name}: {verdict.size:,} bytes, sha256 {verdict.sha256}")
    if differences:
        say(
            f"WARNING: {file.name} has {differences}. What it was compared with is from a list "
            "that no download has confirmed, so it is kept and used. Compare it with "
            f"{publication.address} before you rely on it."
        )
    elif verdict.unknown:
        say(
            f"note: the published {' and '.join(verdict.unknown)} of {file.name} "
            f"{'are' if len(verdict.unknown) > 1 else 'is'} not known, so could not be compared."
        )
    if file.digest and not differences and not file.confirmed:
        say(f"{file.name} is as in the list that no download had confirmed.")


def _otherwise(publication: Publication, file: RemoteFile, folder: Path) -> str:
    """What to do about a file that the server does not give."""
    if publication.by_hand:
        return f"See {publication.address}: {publication.by_hand}"
    advice = (
        f"Open {publication.address} in a browser, put {Path(file.name).name} into "
        f"{(folder / file.name).parent}, and run the command again."
    )
    if publication.collection is not None:
        advice += (
            " The ISIC archive has these images too: "
            f"vitatt download isic_archive:{publication.collection} NEW_FOLDER."
        )
    return advice


def _require_room(publication: Publication, todo: list[RemoteFile], folder: Path, say: Say) -> None:
    """Check that the disk has room for what is to be fetched and, about as much, unpacked.

    Raises:
        DataError: If it has not.
    """
    if publication.size is None:
        say("Its size is not known, so the free space of the disk could not be compared with it.")
        return
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    archived = any(_is_archive(file) for file in todo)
    need = publication.size * (2 if archived else 1) - there / 1e9
    free = shutil.disk_usage(folder).free / 1e9
    if need > free:
        raise DataError(
            f"{publication.title} needs some {need:.1f} GB more, archives and images together, "
            f"but the disk of {folder} has {free:.1f} GB free. Make room, or name another folder."
        )


def _is_archive(file: RemoteFile) -> bool:
    return file.name.lower().endswith(".zip")


def _unpacked(file: RemoteFile, folder: Path) -> Path:
    return (folder / file.name).with_suffix("")
