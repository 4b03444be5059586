"""The rows of the systems' tables: what is trained, on what, and what its figures are held to."""

from __future__ import annotations

from dataclasses import dataclass, field

SKIN = "face_skin"
"""The row whose run says which pixels are skin, for the apparent skin tone."""
BY_ACNE = ("severity", "skin_tone")
BY_AGE = ("age:19,39,59", "skin_tone")


@dataclass(frozen=True)
class Row:
    """One trained network.

    Attributes:
        name: Of the row and of its folder.
        page: Of docs/systems that it stands on.
        recipe: Of `edgeskin train`.
        data: A set of `--data`, or one of `sets.SETS`.
        goals: What its float metrics should reach, by name: at least, or at most where lower is
            better.
        by: What accuracy is given by, as `--by` takes it.
        start: The row whose run it starts from.
        behind: The row whose mask its images are filtered by.
        beside: The row that it is compared with, on the same test images: of the same set, or of
            one with its test split.
        files: Whether it is quantized and converted; else it is a figure to compare with.
        folds: Cross-validated so many times in place of one training.
        min_sqnr_db: What INT8 must reach on held-out images; the most sensitive parts stay in
            float for it.
    """

    name: str
    page: str
    recipe: str
    data: str
    goals: dict[str, float] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    start: str | None = None
    behind: str | None = None
    beside: str | None = None
    files: bool = True
    folds: int | None = None
    min_sqnr_db: float | None = None


ROWS = {
    row.name: row
    for row in (
        Row(
            SKIN,
            "acne-presence",
            "face_skin",
            "face_skin_segmentation",
            {"skin_skin_dice": 0.92},
            by=("skin_tone",),
        ),
        Row(
            "acne_lite0",
            "acne",
            "acne_lite0",
            "acne_severity",
            by=BY_ACNE,
            beside="acne_128",
            min_sqnr_db=32.0,
        ),
        Row("acne_128", "acne", "acne_128", "acne_severity", files=False),
        *(
            Row(name, "acne", name, "acne_severity", beside="acne_128", files=False)
            for name in ("acne_128_l2", "acne_128_kl", "acne_128_annotated", "acne_128_resnet18")
        ),
        *(
            Row(name, "acne", name, "acne_severity", by=BY_ACNE, beside="acne_128")
            for name in ("acne_128_vit", "acne_128_fusion")
        ),
        Row("acne_128_authors", "acne", "acne_128_authors", "acne_severity", files=False),
        Row("acne_128_folds", "acne", "acne_128", "acne_severity", files=False, folds=5),
        Row("presence_whole", "acne-presence", "acne_presence", "presence", files=False),
        Row(
            "presence_skin",
            "acne-presence",
            "acne_presence",
            "presence",
            by=BY_ACNE,
            behind=SKIN,
        ),
        Row("grades_whole", "acne-presence", "acne_presence", "grades", files=False),
        Row(
            "grades_skin",
            "acne-presence",
            "acne_presence",
            "grades",
            by=BY_ACNE,
            behind=SKIN,
        ),
        Row(
            "skin_lesions",
            "skin-lesions",
            "skin_lesions",
            "regions",
            {"regions_lesion_dice": 0.87},
            by=("kind",),
        ),
        Row(
            "lesion_classes",
            "skin-lesions",
            "lesion_classes",
            "lesion_classification",
            {"label_balanced_accuracy": 0.70},
            by=("sex", "age:30,50,70"),
            min_sqnr_db=32.0,
        ),
        Row(
            "lesion_classes_more",
            "skin-lesions",
            "lesion_classes",
            "lesions",
            {"label_balanced_accuracy": 0.70},
            by=("sex", "age:30,50,70"),
            beside="lesion_classes",
            min_sqnr_db=32.0,
        ),
        Row(
            "lesion_classes_lite2",
            "skin-lesions",
            "lesion_classes_lite2",
            "lesion_classification",
            {"label_balanced_accuracy": 0.70},
            beside="lesion_classes",
            files=False,
        ),
        Row(
            "melanoma",
            "skin-lesions",
            "melanoma",
            "lesion_melanoma_cc0",
            {"label_auroc": 0.75},
            by=("sex",),
        ),
        Row(
            "age_transfer",
            "perceived-age",
            "age_transfer",
            "face_age",
            {"age_mae": 8.0},
            by=BY_AGE,
        ),
        Row(
            "age_finetuned",
            "perceived-age",
            "age_finetuned",
            "face_age",
            {"age_mae": 8.0},
            by=BY_AGE,
            beside="age_transfer",
        ),
        Row(
            "age_self_supervised",
            "perceived-age",
            "age_finetuned",
            "face_age",
            {"age_mae": 8.0},
            by=BY_AGE,
            start="face_features",
            beside="age_finetuned",
        ),
        Row(
            "ultrasound",
            "ultrasound",
            "ultrasound",
            "ultrasound_busi",
            {"label_balanced_accuracy": 0.80},
            by=("label",),
            min_sqnr_db=32.0,
        ),
        Row("ultrasound_128", "ultrasound", "ultrasound_128", "ultrasound_busi", files=False),
        *(
            Row(name, "ultrasound", name, "ultrasound_busi", beside="ultrasound_128", files=False)
            for name in (
                "ultrasound_128_no_hierarchy",
                "ultrasound_128_no_attention",
                "ultrasound_128_no_path_dropout",
                "ultrasound_128_batch_norm",
            )
        ),
    )
}
"""In the order of the tables; `face_features` is made on the way by what starts from it."""


@dataclass(frozen=True)
class Pair:
    """A pipeline of two rows, and the set that it is measured on.

    Attributes:
        rules: Of `edgeskin pipeline`.
        first, last: The rows of its stages.
        whole: The row whose network sees whole images: the last one, or its twin that was
            trained on them.
        by: What accuracy at the end is given by, as `--by` takes it.
    """

    name: str
    page: str
    rules: str
    first: str
    last: str
    whole: str
    data: str
    by: tuple[str, ...] = ()


PAIRS = {
    pair.name: pair
    for pair in (
        Pair(
            "lesion_crops", "skin-lesions", "lesion_crops", "skin_lesions", "lesion_classes",
            "lesion_classes", "scenes", ("label",),
        ),
        Pair(
            "lesion_crops_more", "skin-lesions", "lesion_crops", "skin_lesions",
            "lesion_classes_more", "lesion_classes_more", "scenes", ("label",),
        ),
        Pair(
            "presence", "acne-presence", "acne_presence", "face_skin", "presence_skin",
            "presence_whole", "presence", BY_ACNE,
        ),
        Pair(
            "grades", "acne-presence", "acne_presence", "face_skin", "grades_skin",
            "grades_whole", "grades", BY_ACNE,
        ),
    )
}  # fmt: skip
"""In the order of the tables."""

FEATURES = ("face_features", ("acne_severity", "face_age", "face_skin_segmentation"))
"""The recipe of features without labels, and the sets that they are learnt from."""

MOST_LOST = {"accuracy": 0.005, "dice": 0.003, "auroc": 0.005, "mae": 0.15}
"""What INT8 and fp16 files may lose of a metric that ends so, in its unit."""


def limit_of(metric: str) -> float | None:
    """What a file may lose of a metric; None where nothing is said."""
    return next((most for end, most in MOST_LOST.items() if metric.endswith(end)), None)
