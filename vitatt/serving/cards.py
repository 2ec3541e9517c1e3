"""What is known of a served model: from its checkpoint and the description of its dataset."""

from __future__ import annotations

from vitatt.explain.methods import METHODS, check_methods
from vitatt.inference.predictor import Predictor
from vitatt.serving.schemas import ClassCard, FeatureCard, ModelCard
from vitatt.types import UsageError


def model_card(name: str, predictor: Predictor) -> ModelCard:
    """Return the card of a model."""
    task, spec = predictor.tasks[0], predictor.spec
    plain = task.to_plain()
    known: dict[str, dict[str, None]] = {}
    for feature in (one for each in predictor.tasks for one in each.features):
        known.setdefault(feature.name, {}).update(dict.fromkeys(feature.categories))
    features = [
        FeatureCard(
            name=feature.name,
            label=feature.label,
            kind=feature.kind,
            unit=feature.unit,
            categories=list(
                dict.fromkeys(
                    one
                    for one in (*feature.categories, *known.get(feature.name, ()))
                    if feature.name not in known or one in known[feature.name]
                )
            ),
            least=None if feature.plausible is None else feature.plausible.least,
            most=None if feature.plausible is None else feature.plausible.most,
            used=feature.name in predictor.features,
        )
        for feature in spec.features
    ]
    fold = task.fold_spec
    return ModelCard(
        name=name,
        dataset=spec.title,
        classes=[
            ClassCard(name=one, title=spec.class_titles.get(one, one), cases=count)
            for one, count in zip(task.classes, task.class_counts, strict=True)
        ],
        positive=spec.positive,
        features=features,
        views=list(task.views),
        image_size=[one.image_size for one in predictor.tasks],
        networks=len(predictor.tasks),
        fold=f"{fold.fold} of {fold.num_folds}, seed {fold.seed}",
        methods=_methods(predictor),
        description=plain["description"],
    )


def _methods(predictor: Predictor) -> list[str]:
    ensemble = predictor.ensemble
    if len(ensemble.models) > 1 or ensemble.runtime == "onnx":
        return []  # several networks have no common grid of patches
    found = []
    for method in METHODS:
        try:
            check_methods(ensemble.models[0].network, [method])
        except UsageError:
            continue
        found.append(method)
    return found
