"""The command `vitatt push`."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from vitatt.files import claim_folder
from vitatt.hub.folder import Statement, write_folder
from vitatt.inference.hub import PREFIX, require_hub
from vitatt.inference.loading import RUNS
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.models.exported import format_of
from vitatt.paths import user_path
from vitatt.types import UsageError


def push(
    model: str,
    *,
    repo: str,
    output: str | None = None,
    dry_run: bool = False,
    private: bool = False,
    test_run: str | None = None,
    licence: str = "other",
    weights_licence: str = "",
    data_licence: str = "",
    accept_licences: bool = False,
) -> int:
    """Publish a trained model on the Hugging Face hub, with its card and made-up examples.

    A checkpoint is exported as safetensors. A licence of the data or of the encoder's weights that
    forbids to pass the model on, or that is not known, stops the push.

    Args:
        model: A checkpoint's file, the folder of its run, `best` or `last`, or a folder of `vitatt
            export` of the format safetensors or onnx.
        repo: OWNER/NAME on the hub; it is made if it does not exist.
        output: New folder for what is uploaded, which is kept.
        dry_run: Write the folder of `output`, and upload nothing.
        private: Make a new model visible to its owner alone.
        test_run: Folder of `vitatt test` of this model, whose metrics are in the card.
        licence: Of the published model, as the hub names it, such as cc-by-nc-4.0.
        weights_licence: Of the encoder's weights, where it is not known.
        data_licence: Of the data, where it is not known.
        accept_licences: Push although a licence forbids it or is not known: you state that you have
            the right to.

    Returns:
        0.

    Raises:
        UsageError: If there is no usable model, a licence stops the push, a folder cannot be
            written, huggingface_hub is not installed, or the upload fails.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", repo, re.ASCII):
        raise UsageError(f"Expected `repo` to be OWNER/NAME, but got '{repo}'.")
    if not re.fullmatch(r"[a-z0-9.+-]+", licence):
        raise UsageError(
            "Expected `licence` to be a name as the hub has it, such as mit, cc-by-nc-4.0 or other,"
            f" but got '{licence}'."
        )
    if dry_run and output is None:
        raise UsageError("Expected `output` with `dry_run`: the folder that is not uploaded.")
    if not dry_run:
        require_hub()
    source = Path(model).expanduser()
    if not (source.is_dir() and format_of(source)):
        source = find_checkpoint(model, RUNS)
    run = None if test_run is None else user_path(test_run, "--test_run")
    stated = Statement(licence, weights_licence, data_licence, accept_licences, run)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if output is not None:
            folder = user_path(output, "--output")
            claim_folder(folder, "--output")
        for one in write_folder(source, folder, repo, stated):
            print(f"Licence of the {one.of}: {one.name or 'not known'} ({one.verdict})")
        if output is not None:
            print(f"Wrote the model, its card and examples to {folder}")
        if not dry_run:
            from vitatt.hub.upload import upload  # imports huggingface_hub

            print(f"Uploaded to {upload(folder, repo, private=private)}")
            print(f"To load it:  Predictor.load('{PREFIX}{repo}')")
    return 0
