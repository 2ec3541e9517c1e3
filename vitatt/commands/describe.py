"""The command `vitatt describe`."""

from __future__ import annotations

import re
from pathlib import Path

from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.table_files import read_table
from vitatt.data.images.files import index_images
from vitatt.files import check_writable, write_text
from vitatt.paths import user_path
from vitatt.studies.drafted_description import draft_description
from vitatt.types import UsageError


def describe(
    table: str,
    *,
    label: str | None = None,
    label_table: str | None = None,
    images: str | None = None,
    group: str | None = None,
    id: str | None = None,
    output: str | None = None,
) -> int:
    """Draft the description of a dataset from its table, and warn of what gives the label away.

    Images are decoded at 64 px, into the user's cache folder, to warn of those under two groups.

    Args:
        table: The table, of any kind that `vitatt check-data` reads.
        label: Column of the label; not needed where a table of labels has columns of 0 and 1.
        label_table: Another table in the same folder, with the labels of the same ids.
        images: Folder of the images; by default that of the table.
        group: Column of the patient or lesion; by default the one whose name is likeliest.
        id: Column that names the case; by default one that is different in each row.
        output: YAML file to write; by default it is printed.

    Returns:
        0.

    Raises:
        UsageError: If the table cannot be read or has no such column, or the file exists.
    """
    path = user_path(table, "table")
    target = None if output is None else user_path(output, "--output")
    if target is not None:
        if target.suffix not in (".yaml", ".yml"):
            raise UsageError(f"Expected --output to end in .yaml, as descriptions do: {target}.")
        check_writable(target)
    if not path.is_file():
        raise UsageError(f"Expected the table {path}, but it is not there.")
    folder = path.parent if images is None else user_path(images, "--images")
    if not folder.is_dir():
        raise UsageError(f"Expected --images to be a folder, but got {folder}.")
    frame, notes = read_table(path)
    labels = None
    if label_table is not None:
        other = user_path(label_table, "--label_table")
        if not other.is_file():
            other = path.parent / other  # named as it will stand in the description
        if not other.is_file() or other.absolute().parent != path.absolute().parent:
            raise UsageError(f"Expected --label_table to be a file beside {path}, but got {other}.")
        labels, remarks = read_table(other)
        notes = (*notes, *remarks)
    for note in notes:
        print(note)
    draft = draft_description(
        frame,
        index_images(folder),
        table=path.name,
        name=_named(path),
        label=label,
        labels=labels,
        label_table=None if label_table is None else Path(label_table).name,
        group=group,
        case_id=id,
    )
    for warning in draft.warnings:
        print(f"look: {warning}")
    if target is None:
        print(draft.text, end="")
        return 0
    write_text(draft.text, target)
    print(
        f"Description: {target}. Edit it, then: vitatt check-data --data.dataset {target} "
        f"--data.root {path.parent}"
    )
    return 0


def _named(path: Path) -> str:
    """A name for the dataset: that of the folder, in letters that names may have, if it is free."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", path.absolute().parent.name).strip("_")
    return name if name[:1].isalpha() and name not in DATASETS else f"my_{name or 'dataset'}"
