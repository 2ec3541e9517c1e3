"""Unpack zip archives: nothing outside of the folder, nothing overwritten, no bombs."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from vitatt.types import DataError

_RATIO = 100
"""Times its own size that an archive may hold: images hardly shrink, tables ten times or so."""
_SMALL = 100_000_000
"""Bytes that any archive may hold."""
_DEPTH = 3
"""Archives inside one another."""
_PIECE = 1 << 20


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip archive, and those inside it.

    Files take their names when they are complete, so an interrupted call can be repeated: it skips
    what is there with the same content. An only folder in the archive that has the name of
    `folder` is that folder. An archive in the archive becomes a folder of its name. What macOS adds
    (``__MACOSX``, ``._name``, ``.DS_Store``) is left out.

    Args:
        archive: The archive, which is kept.
        folder: Where to; created.

    Raises:
        DataError: If the archive is damaged, encrypted or compressed in an unknown way; holds a
            link, a file outside of the folder, or far more than its size suggests; a different file
            is there already; or the disk has too little room. Names are checked before anything is
            written.
    """
    _unpack(archive, archive.name, folder, _Allowance(archive), depth=1)


class _Allowance:
    """Bytes that an archive, with all inside it, may still hold."""

    def __init__(self, archive: Path) -> None:
        self._left = max(_RATIO * archive.stat().st_size, _SMALL)

    def take(self, size: int, name: str) -> None:
        """Use some of it.

        Raises:
            DataError: If it is not enough.
        """
        self._left -= size
        if self._left < 0:
            raise DataError(
                f"{name} holds {size / 1e9:.2f} GB, far more than an archive of its size should: "
                "it is not unpacked. Compare it with its publisher's."
            )


class _Member(NamedTuple):
    """A file of an archive, and where it belongs."""

    info: zipfile.ZipInfo
    target: Path


def _unpack(archive: Path, name: str, folder: Path, allowance: _Allowance, *, depth: int) -> None:
    """Unpack one archive, called `name` in messages."""
    if depth > _DEPTH:
        raise DataError(f"{name}: archives lie in one another more than {_DEPTH} deep. Stopped.")
    with _named_errors(name), zipfile.ZipFile(archive) as opened:
        members = _members(opened, name, folder)
        total = sum(member.info.file_size for member in members)
        allowance.take(total, name)
        folder.mkdir(parents=True, exist_ok=True)
        _require_room(name, folder, members)
        bar = tqdm(total=total, desc=f"unpacking {name}", unit="B", unit_scale=True, leave=False)
        with bar:
            for member in members:
                if _is_archive(member.target):
                    _unpack_inner(opened, member, name, allowance, depth=depth)
                else:
                    _write(opened, member, name)
                bar.update(member.info.file_size)


def _members(opened: zipfile.ZipFile, name: str, folder: Path) -> list[_Member]:
    """Files of an archive, each with a place in the folder.

    Raises:
        DataError: If one cannot be unpacked, or must not be.
    """
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in opened.infolist():
        path = _inside(info, name)
        if info.is_dir() or _is_of_macos(path):
            continue
        if info.flag_bits & 0x1:
            raise DataError(
                f"{name} is encrypted ({path}): unpack it with its password into {folder}."
            )
        other = files.setdefault(path, info)
        if (other.CRC, other.file_size) != (info.CRC, info.file_size):
            raise DataError(f"{name} holds two different files called {path}: it is not unpacked.")
    tops = {path.parts[0] for path in files if len(path.parts) > 1}
    only = tops == {folder.name} and all(len(path.parts) > 1 for path in files)
    members = [
        _Member(info, folder / (path.relative_to(folder.name) if only else path))
        for path, info in files.items()
    ]
    _require_no_links(folder, members)
    return members


def _inside(info: zipfile.ZipInfo, name: str) -> PurePosixPath:
    """The path of a member, which stays in the folder.

    Raises:
        DataError: If it leads out of it, or the member is neither file nor folder.
    """
    text = info.filename.replace("\\", "/")
    path = PurePosixPath(text)
    if not path.parts and not text.endswith("/"):  # "./" is the folder itself
        raise DataError(
            f"{name} holds a file without a name: it is not unpacked. Fetch it anew, from its "
            "publisher."
        )
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", text):
        raise DataError(
            f"{name} holds {info.orig_filename!r}, which leads out of the folder: it is not "
            "unpacked. Fetch it anew, from its publisher."
        )
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "no ordinary file"
        raise DataError(
            f"{name} holds {info.orig_filename!r}, which is {what}: it is not unpacked. Fetch it "
            "anew, from its publisher."
        )
    return path


def _require_no_links(folder: Path, members: list[_Member]) -> None:
    """Check that no subfolder which is there already leads elsewhere."""
    real = folder.resolve()
    parents = [member.target.parent for member in members]
    inner = [_inner_folder(member.target) for member in members if _is_archive(member.target)]
    for parent in dict.fromkeys([*parents, *inner]):
        if not parent.resolve().is_relative_to(real):
            raise DataError(f"{parent} is a link that leads out of {folder}. Remove it.")


def _require_room(name: str, folder: Path, members: list[_Member]) -> None:
    need = sum(member.info.file_size for member in members if not member.target.exists())
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DataError(
            f"{name} needs {need / 1e9:.2f} GB to be unpacked, but the disk of {folder} has "
            f"{free / 1e9:.2f} GB free. Make room, and run the command again."
        )


def _unpack_inner(
    opened: zipfile.ZipFile, member: _Member, name: str, allowance: _Allowance, *, depth: int
) -> None:
    """Unpack an archive in the archive, into a folder of its name."""
    target = member.target
    part = _part_of(target)
    try:
        _extract(opened, member.info, part)
        inner = f"{target.name} in {name}"
        _unpack(part, inner, _inner_folder(target), allowance, depth=depth + 1)
    finally:
        part.unlink(missing_ok=True)


def _write(opened: zipfile.ZipFile, member: _Member, name: str) -> None:
    """Write a file of an archive, unless it is there.

    Raises:
        DataError: If another one is.
    """
    target = member.target
    if os.path.lexists(target):
        if _same(target, member.info):
            return
        raise DataError(
            f"{target} is there already, and differs from that in {name}. Nothing was "
            "overwritten: move it away, and run the command again."
        )
    part = _part_of(target)
    try:
        _extract(opened, member.info, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Write a member; its checksum is compared when its last byte is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link
    with path.open("wb") as out, opened.open(info) as source:
        shutil.copyfileobj(source, out, _PIECE)


def _part_of(target: Path) -> Path:
    """Where a file is until it is complete; the same each time, so that no call leaves waste."""
    return target.with_name(f".{target.name}.part")


def _is_archive(target: Path) -> bool:
    return target.suffix.lower() == ".zip"


def _inner_folder(target: Path) -> Path:
    """Where an archive in the archive is unpacked to."""
    return target.with_suffix("")


def _is_of_macos(path: PurePosixPath) -> bool:
    return "__MACOSX" in path.parts or path.name.startswith("._") or path.name == ".DS_Store"


def _same(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether a file has the size and the checksum that an archive states."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != info.file_size:
        return False
    checksum = 0
    with path.open("rb") as content:
        while piece := content.read(_PIECE):
            checksum = zlib.crc32(piece, checksum)
    return checksum == info.CRC


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Say in a sentence what is wrong with an archive.

    Raises:
        DataError: For what `zipfile` raises.
    """
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"{name} is damaged or incomplete ({error or 'it ends too early'}). Remove the "
            "archive and run the command again, which fetches it anew."
        ) from error
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{name} cannot be unpacked here ({error}). Unpack it with another program."
        ) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(
            f"{name} holds a folder where {error.filename} is a file, or the other way round. "
            "Move that away, and run the command again."
        ) from error
