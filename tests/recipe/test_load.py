import subprocess
import sys

import pytest
import yaml

from auxface.errors import InputError
from auxface.recipe import load_recipe, recipe_names
from auxface.recipe.load import recipe_hash


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipe_loads_and_carries_its_own_name(name):
    assert load_recipe(f"recipes/{name}.yaml").name == name
    assert load_recipe(name) == load_recipe(f"{name}.yaml")


def test_defaults_are_the_published_values():
    recipe = load_recipe("ssat")
    assert recipe.primary_weight == 0.1
    assert recipe.auxiliary is not None
    assert recipe.auxiliary.mask_ratio == 0.75
    assert [target.name for target in recipe.auxiliary.target] == ["rgb"]
    assert recipe.train.betas == (0.9, 0.999)
    assert recipe.train.weight_decay == 0.05
    assert recipe.primary.label_smoothing == 0.1


def test_set_changes_one_key_and_reads_1e_3_as_a_number():
    recipe = load_recipe("l_ssat", ["train.epochs=3", "train.base_learning_rate=1e-3", "tasks=[gender]"])
    assert recipe.train.epochs == 3
    assert recipe.train.base_learning_rate == 0.001
    assert list(recipe.tasks) == ["gender"]
    assert recipe.train.batch_size == load_recipe("l_ssat").train.batch_size


def test_a_recipe_builds_on_another_and_overrides_deeply(tmp_path):
    (tmp_path / "a.yaml").write_text("base: l_ssat\nname: a\ntrain:\n  epochs: 7\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\nname: b\ntrain:\n  batch_size: 8\n")
    recipe = load_recipe(tmp_path / "b.yaml")
    assert (recipe.name, recipe.train.epochs, recipe.train.batch_size) == ("b", 7, 8)
    assert recipe.auxiliary == load_recipe("l_ssat").auxiliary


def test_the_resolved_recipe_reads_back_as_itself(tmp_path):
    recipe = load_recipe("l_ssat", ["tasks.emotion.classes=[happy, sad]"])
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert load_recipe(path) == recipe
    assert recipe_hash(load_recipe(path)) == recipe_hash(recipe)
    assert recipe_hash(load_recipe("ssat")) != recipe_hash(recipe)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["train.epoch=3"], r"unknown key 'train.epoch' \(did you mean 'train.epochs'\?\)"),
        (["trian.epochs=3"], r"unknown key 'trian' \(did you mean 'train'\?\)"),
        (["auxiliary.target.nam=rgb"], r"unknown key 'auxiliary.target.0.nam'"),
        (["tasks.emotion.clases=[a]"], r"did you mean 'tasks.emotion.classes'"),
        (["train.epochs=many"], r"train.epochs: .*integer.*'many'"),
        (["train.epochs=0"], r"train.epochs: .*greater than or equal to 1, not 0"),
        (["train.max_seconds=.inf"], r"train.max_seconds: .*finite number, not inf"),
        (["train.abstain_accuracy=0"], r"train.abstain_accuracy: input should be 'auto' or greater than 0, not 0"),
        (["auxiliary.mask_ratio=1"], r"auxiliary.mask_ratio: .*less than 1"),
        (["encoder.patch_size=9"], r"patch_size 9 must divide image_size 112"),
        (["auxiliary=null"], r"balance gradient weights auxiliaries, but the recipe has none; set balance to 1"),
        (["auxiliary=null", "balance=0.5"], r"a recipe without an auxiliary needs primary_weight: 1"),
        (
            ["auxiliary.decoder_width=100", "auxiliary.decoder_heads=16"],
            r"decoder_heads 16 must divide decoder_width 100",
        ),
        (["auxiliary.target=[rgb, rgb]"], r"target rgb is listed twice"),
        (["primary.kind=metric_lerning"], r"primary.kind: .*'classification' or 'metric_learning'"),
        (["primary.margin=0.2"], r"classification does not use margin; remove it"),
        (["primary={kind: metric_learning, loss: normalized_softmax, margin: 0.2}"], r"has no margin; remove margin"),
        (["primary={kind: metric_learning, margin: 1.2}"], r"margin 1.2 is larger than 1, the limit for loss cosface"),
        (["primary=metric_learning", "primary.margin=-0.1"], r"primary.margin: .*greater than or equal to 0, not -0.1"),
        (["primary=metric_learning", "primary.scale=0"], r"primary.scale: .*greater than 0, not 0"),
        (["primary=metric_learning", "primary.scale=1e9"], r"primary.scale: .*less than or equal to 1000"),
        (["primary=metric_learning", "primary.attribute_scale=-3"], r"primary.attribute_scale: .*greater than 0"),
        (["primary=metric_learning", "primary.embedding_width=0"], r"primary.embedding_width: .*greater than or equal"),
        (["primary=metric_learning", "train.mixup=0.2"], r"requires unmixed images; remove train.mixup"),
        (["primary.view=clean", "train.cutmix=1"], r"requires unmixed images; remove train.mixup"),
        (
            ["balance=0", "primary.freeze=true"],
            r"primary.freeze applies to the primary objective, which is not trained with primary_weight 0",
        ),
        (["train.epochs"], r"--set train.epochs: expected key=value"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_the_key(settings, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        load_recipe("l_ssat", settings)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(InputError, match=r"did you mean 'l_ssat'"):
        load_recipe("l_sat")


def test_circular_base_recipes_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(
        InputError, match=r"circular 'base' reference \(.*a\.yaml -> .*b\.yaml -> .*a\.yaml\); remove one"
    ):
        load_recipe(tmp_path / "a.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_not_a_recipe_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.yaml"):
        load_recipe(path)


def test_reading_recipes_loads_neither_torch_nor_timm():
    code = (
        "import sys; from auxface.recipe import load_recipe, recipe_names\n"
        "for name in recipe_names(): load_recipe(name)\n"
        "print([name for name in ('torch', 'timm', 'accelerate', 'auxface.objectives') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
