"""Where datasets are published: files, licences, sizes, and columns that give the label away."""

from __future__ import annotations

from typing import NamedTuple


class RemoteFile(NamedTuple):
    """A published file.

    Attributes:
        name: Its name in the folder of the download; may begin with a subfolder.
        url: Where to fetch it; empty if only a person can.
        size: In bytes; None if it is not known.
        digest: ``sha256:...`` or ``md5:...``; empty if none is known.
        confirmed: Whether size and digest were ever compared with a real download. Otherwise they
            are a hint, and a difference is a warning.
    """

    name: str
    url: str
    size: int | None = None
    digest: str = ""
    confirmed: bool = False


class Publication(NamedTuple):
    """A published dataset, and how to get it.

    Attributes:
        name: As registered in `vitatt.data.datasets.DATASETS`.
        title: Name for people.
        licence: Of the images and tables; empty if it is not known.
        address: DOI or page.
        images: Number of images; None if it is not known.
        size: Of all files together, in GB; None if it is not known.
        group: What must not straddle the splits, with its number.
        leaks: What gives the label or the source away, in a few words each.
        files: What to fetch.
        collection: The same data as a collection of the ISIC archive; None if there is none.
        by_hand: What a person must fetch, from where, and how to lay it out; empty if nothing.
    """

    name: str
    title: str
    licence: str
    address: str
    images: int | None
    size: float | None
    group: str
    leaks: tuple[str, ...]
    files: tuple[RemoteFile, ...] = ()
    collection: int | None = None
    by_hand: str = ""


COLLECTIONS = {
    65: "ISIC 2019",
    70: "ISIC 2020",
    212: "HAM10000",
    249: "BCN20000",
    251: "HIBA",
    390: "SLICE-3D",
}
"""Some collections of the ISIC archive, by number."""


def _mendeley(name: str, identity: str, size: int, sha256: str) -> RemoteFile:
    """A file of PAD-UFES-20, as a list of a third party has it."""
    address = "https://data.mendeley.com/public-files/datasets/zr7vgbcyr2/files"
    return RemoteFile(name, f"{address}/{identity}/file_downloaded", size, f"sha256:{sha256}")


def _dataverse(name: str, identity: int, md5: str = "") -> RemoteFile:
    address = f"https://dataverse.harvard.edu/api/access/datafile/{identity}"
    return RemoteFile(name, address, digest=f"md5:{md5}" if md5 else "")


def _challenge(folder: str, *names: str) -> tuple[RemoteFile, ...]:
    """Files of an ISIC challenge; those of its test are for a subfolder of their own."""
    address = f"https://isic-archive.s3.amazonaws.com/challenges/{folder}"
    return tuple(
        RemoteFile(f"test/{name}" if "_Test_" in name else name, f"{address}/{name}")
        for name in names
    )


_ALL = (
    Publication(
        "pad_ufes_20",
        "PAD-UFES-20",
        "CC BY 4.0",
        "https://data.mendeley.com/datasets/zr7vgbcyr2/1",
        2298,
        3.6,
        "1,373 patients",
        ("biopsed", "which answers of the anamnesis are missing"),
        (
            _mendeley(
                "metadata.csv",
                "fa850265-57da-48f0-ba3e-998b3e44b1f6",
                316_209,
                "14d145235cedb022548257acb0d84dcd949e2c916f65d2baa7c38ed5339e9527",
            ),
            _mendeley(
                "imgs_part_1.zip",
                "1cc2f71f-20a2-412d-b746-a9b9bc20c966",
                1_245_184_680,
                "0ab44f60938bf57445e12f518a8878954cc734e6b0aec6d01194e2d26b4b2dca",
            ),
            _mendeley(
                "imgs_part_2.zip",
                "559a60ed-5504-475d-996c-6a8bc253b5e7",
                1_126_646_990,
                "e2d9a3cbd58e823f5ae33163c48643e7d1b54ae3f9e145f01f8e9f16a363a60b",
            ),
            _mendeley(
                "imgs_part_3.zip",
                "34dcdf8e-e5f1-4b35-aa0b-5135051ff852",
                1_220_565_093,
                "ecc4ef10143a43e1d01cb736773148607a78b530417eb76f2c38ad24bf5d0d2c",
            ),
        ),
    ),
    Publication(
        "isic_2019",
        "ISIC 2019",
        "CC BY-NC",
        "https://challenge.isic-archive.com/data/#2019",
        25_331 + 8_238,
        9.1 + 3.6,
        "lesions; 2,084 training images name none",
        ("names with _downsampled show the source", "contains HAM10000"),
        _challenge(
            "2019",
            "ISIC_2019_Training_GroundTruth.csv",
            "ISIC_2019_Training_Metadata.csv",
            "ISIC_2019_Training_Input.zip",
            "ISIC_2019_Test_GroundTruth.csv",
            "ISIC_2019_Test_Metadata.csv",
            "ISIC_2019_Test_Input.zip",
        ),
        collection=65,
    ),
    Publication(
        "ham10000",
        "HAM10000",
        "CC BY-NC",
        "https://doi.org/10.7910/DVN/DBW86T",
        10_015,
        2.6,  # as task 3 of ISIC 2018, whose images these are
        "7,470 lesions",
        ("dx_type", "dataset"),
        (
            # Tab-separated or not, readers see to it.
            _dataverse("HAM10000_metadata.csv", 4338392),
            _dataverse("HAM10000_images_part_1.zip", 3172585, "4639bfa73ab251610530a97c898e6e46"),
            _dataverse("HAM10000_images_part_2.zip", 3172584, "da43d6cc50f6613013be07e8986b384b"),
        ),
        collection=212,
    ),
    Publication(
        "isic_2020",
        "ISIC 2020",
        "CC BY-NC",
        "https://doi.org/10.34970/2020-ds01",
        33_126,
        23.0,
        "2,056 patients",
        ("diagnosis", "benign_malignant", "425 duplicate images"),
        _challenge(
            "2020",
            "ISIC_2020_Training_GroundTruth_v2.csv",
            "ISIC_2020_Training_Duplicates.csv",
            "ISIC_2020_Training_JPEG.zip",
        ),
        collection=70,
    ),
    Publication(
        "isic_2024",
        "ISIC 2024 (SLICE-3D)",
        "CC BY-NC",
        "https://doi.org/10.34970/2024-slice-3d",
        401_059,
        1.2,
        "1,042 patients",
        ("iddx_*", "mel_*", "whether lesion_id is there", "tbp_lv_dnn_lesion_confidence"),
        _challenge("2024", "ISIC_2024_Training_GroundTruth.csv", "ISIC_2024_Training_Input.zip"),
        collection=390,
    ),
    Publication(
        "milk10k",
        "MILK10k (ISIC 2025)",
        "CC BY-NC",
        "https://doi.org/10.34970/648456",
        10_480,
        0.314,
        "5,240 lesions; no patient is named",
        ("MILK10k_Training_Supplement.csv", "image_manipulation", "attribution"),
        _challenge(
            "milk10k",
            "MILK10k_Training_GroundTruth.csv",
            "MILK10k_Training_Metadata.csv",
            "MILK10k_Training_Input.zip",
        ),
    ),
    Publication(
        "derm7pt",
        "Derm7pt",
        "",
        "https://derm.cs.sfu.ca",
        None,
        None,
        "1,011 cases, each with a clinical and a dermoscopic image",
        ("management", "the seven-point scores"),
        (RemoteFile("release_v0.zip", ""),),
        by_hand=(
            "The page gives release_v0.zip to those who register. Put it into the folder as it is "
            "and run the command again, which unpacks it. The folder release_v0 in it then holds "
            "meta/meta.csv, meta/{train,valid,test}_indexes.csv and images/, and is `data.root`."
        ),
    ),
    Publication(
        "isic_archive",
        "Any collection of the ISIC archive",
        "of each image, in licenses/",
        "https://api.isic-archive.com/collections",
        None,
        None,
        "patient_id or lesion_id, where the images have them",
        (
            "the other diagnosis_* columns",
            "diagnosis_confirm_type",
            "melanocytic",
            "concomitant_biopsy",
            "mel_*",
            "attribution and licence",
        ),
    ),
)

PUBLICATIONS: dict[str, Publication] = {one.name: one for one in _ALL}
"""Publications by the name of the dataset."""
