"""The command `vitatt export`."""

from __future__ import annotations

from vitatt.export.exporting import Exported, export_checkpoint
from vitatt.export.parity import Parity
from vitatt.export.quantization import Cost, Mode
from vitatt.files import claim_folder
from vitatt.inference.loading import RUNS
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.models.exported import CONFIG, Format
from vitatt.options import NO_DATA_SETTINGS, DataSettings
from vitatt.paths import user_path
from vitatt.studies.inputs import datamodule_of_checkpoint


def export(
    *,
    ckpt_path: str,
    output: str,
    format: Format = "onnx",
    quantize: Mode | None = None,
    any_image_size: bool = False,
    data: DataSettings = NO_DATA_SETTINGS,
) -> int:
    """Write a trained model for other software: ONNX, safetensors or torch.export.

    The folder holds the model and config.json with classes, encoding of the metadata and image
    size; `vitatt.Predictor.load` runs an ONNX folder without PyTorch. The export is compared with
    the checkpoint on made cases, with data.root also on 100 cases of the outer fold, and not
    written if they differ by more than 0.0001.

    Args:
        ckpt_path: The trained model; its file, the folder of its run, or `best` or `last`.
        output: New folder.
        format: onnx for ONNX Runtime and others; safetensors for weights from which PyTorch's
            network is made again, without pickle; torch_export for torch.export.load.
        quantize: Write 8-bit weights into the ONNX file: dynamic for linear layers; static, with
            data.root, also for convolutions. What it costs is measured on the outer fold of
            data.root, or without on made cases.
        any_image_size: Let the graph take images of other sizes too, as CNNs allow.
        data: Arguments of `LesionDataModule`; dataset and task are the checkpoint's.

    Returns:
        0.

    Raises:
        UsageError: If the folder is not empty or cannot be written, there is no usable checkpoint,
            its network cannot be exported, the export differs, or a package is not installed.
        DataError: If the data cannot be read, or are not those of the checkpoint.
    """
    folder = user_path(output, "--output")
    path = find_checkpoint(ckpt_path, RUNS)
    module = datamodule_of_checkpoint(path, data) if data.get("root") is not None else None
    claim_folder(folder, "--output")
    found = export_checkpoint(
        path,
        folder,
        format,
        quantization=quantize,
        any_image_size=any_image_size,
        data=module,
    )
    print("\n".join(_lines(found)))
    print(f"Wrote {found.file} and {folder / CONFIG}")
    return 0


def _lines(found: Exported) -> list[str]:
    lines = []
    for parity, what in ((found.made, "made cases"), (found.real, "cases of the outer fold")):
        if parity is not None:
            lines.append(_of_parity(parity, what))
    if found.cost is not None:
        lines += _of_cost(found.cost)
    return lines


def _of_parity(parity: Parity, what: str) -> str:
    each = ", ".join(f"{name} {value:.1e}" for name, value in parity.differences.items())
    return f"Largest difference to the checkpoint on {parity.cases} {what}: {each}"


def _of_cost(cost: Cost) -> list[str]:
    lines = [
        f"8-bit weights change the probabilities of {cost.cases} cases by "
        f"{cost.mean_difference:.2g} on average and by {cost.largest_difference:.2g} at most; "
        f"{cost.same_prediction:.1%} have the same predicted class."
    ]
    if cost.balanced_accuracy is not None:
        before, after = cost.balanced_accuracy
        lines.append(
            f"Balanced accuracy on {cost.labelled} cases of the outer fold: {before:.3f} before, "
            f"{after:.3f} after."
        )
    return lines
