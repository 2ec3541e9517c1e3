"""The command `vitatt ensemble`."""

from __future__ import annotations

from collections.abc import Sequence

from vitatt.commands.predict import predict
from vitatt.options import NO_DATA_SETTINGS, DataSettings


def ensemble(
    *, ckpt_paths: Sequence[str] | str, output: str, data: DataSettings = NO_DATA_SETTINGS
) -> int:
    """Predict new cases, those of data.predict_root, by several models: `predict` of several.

    Args:
        ckpt_paths: The trained models, all of one dataset; the mean of their probabilities counts.
        output: CSV file to write: the id of each case and a probability for each class.
        data: Arguments of `LesionDataModule`; dataset and task are the checkpoints'.

    Returns:
        0.

    Raises:
        UsageError: If the file exists or cannot be written, a checkpoint cannot be used, or the
            models are of different datasets.
        DataError: If the data cannot be read, or are not those of the checkpoints.
    """
    return predict(ckpt_path=ckpt_paths, output=output, data=data)
