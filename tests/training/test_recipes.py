"""The recipes that come with edgeskin, and how they are found."""

from pathlib import Path

import pytest
from samples import acne_spec

from edgeskin.calibration.qat_recipe import QatRecipe
from edgeskin.calibration.qat_run import qat_recipe
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidSpec, UnknownName
from edgeskin.models import ARCHS
from edgeskin.models.architectures import build
from edgeskin.tasks import TASKS, find_task
from edgeskin.training import pretrain
from edgeskin.training.recipe import Recipe, find_recipe, read_recipe, recipes
from edgeskin.training.train import fit, input_of, recipe_for


@pytest.mark.parametrize("name", sorted(recipes()))
def test_a_recipe_names_its_task_its_network_and_what_it_is(name: str) -> None:
    recipe = Recipe.load(find_recipe(name))
    assert recipe.arch in ARCHS
    assert recipe.task in TASKS or recipe.task == "features"
    assert recipe.summary
    assert recipe.pretrained <= (ARCHS[recipe.arch].pretrained is not None)
    assert QatRecipe.load(find_recipe(name)).epochs >= 1


@pytest.mark.parametrize("name", sorted(set(recipes()) - {"face_features"}))
def test_a_recipes_network_takes_its_size_and_its_options(name: str) -> None:
    recipe = recipe_for(name)
    spec = acne_spec(
        arch=str(recipe.arch),
        arch_args=recipe.arch_options,
        input=input_of(recipe),
        heads=find_task(str(recipe.task)).load().heads(**recipe.head_options),
    )
    assert build(spec).training


def test_no_recipe_is_another_ones_or_repeats_its_tasks_defaults() -> None:
    known = {name: read_recipe(path) for name, path in recipes().items()}
    settings = [{k: v for k, v in r.items() if k != "summary"} for r in known.values()]
    assert not [r for i, r in enumerate(settings) if r in settings[:i]]
    for name, recipe in known.items():
        task = recipe["task"]
        defaults = pretrain.RECIPE if task == "features" else TASKS[task].load().RECIPE
        assert not recipe.items() & defaults.items(), name


def test_a_recipe_lies_over_its_tasks_defaults() -> None:
    recipe = recipe_for("melanoma")
    assert (recipe.balanced, recipe.rotation_deg) == (True, 180.0)  # of the task
    assert recipe_for("melanoma", epochs=3).epochs == 3
    assert recipe_for(None, task="melanoma", arch="resnet18").balanced


def test_the_table_qat_is_for_qat_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('task = "acne"\narch = "resnet18"\nepochs = 7\n[qat]\nepochs = 3\n')
    assert (Recipe.load(path).epochs, QatRecipe.load(path).epochs) == (7, 3)
    path.write_text('task = "acne"\nepochs = 7\n')
    assert QatRecipe.load(path).epochs == QatRecipe().epochs
    path.write_text("epochs = 5\n")  # a file for qat alone
    assert QatRecipe.load(path).epochs == 5
    path.write_text("qat = 3\n")
    with pytest.raises(InvalidSpec, match="recipe: qat: Extra inputs"):
        QatRecipe.load(path)


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no recipe 'acme'; name a .toml file, or one of acne_"):
        find_recipe("acme")
    with pytest.raises(InvalidSpec, match="is missing"):
        read_recipe(find_recipe(str(tmp_path / "none.toml")))
    with pytest.raises(InvalidSpec, match="which task"):
        recipe_for(None, arch="resnet18")
    with pytest.raises(InvalidSpec, match="which arch"):
        recipe_for(None, task="acne")


def test_qat_takes_of_a_task_what_it_knows(tmp_path: Path) -> None:
    for name, task in TASKS.items():
        module = task.load()
        spec = acne_spec(task=name, heads=module.heads())
        (tmp_path / "spec.json").write_text(spec.to_json())
        recipe = qat_recipe(tmp_path)
        assert recipe.balanced == module.RECIPE.get("balanced", False)
        assert recipe.temperature == QatRecipe().temperature  # of the distillation


@pytest.mark.parametrize(
    ("task", "settings", "line"),
    [
        ("melanoma", {"loss_options": {"smoothin": 0.1}}, "loss_options: no option 'smoothin'"),
        ("acne", {"head_options": {"range": "authors"}}, "head_options: no option 'range'"),
        ("melanoma", {"head_options": {"ranges": "x"}}, "the task has none"),
    ],
)
def test_options_that_a_task_does_not_have(
    task: str, settings: dict[str, dict[str, str | float]], line: str, phantom_set: Path
) -> None:
    data = load_split(phantom_set, "train")
    recipe = Recipe(size=64, resize_to=64, pretrained=False, **settings)  # type: ignore[arg-type]
    with pytest.raises(InvalidSpec, match=line):
        fit(task, "mobilenet_v3_small", data, [], Path("out"), recipe=recipe)
