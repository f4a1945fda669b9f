"""Recipes, settings and study files of random structure: read, or refused with one sentence."""

import contextlib
import json

import pytest
import yaml
from hypothesis import strategies as st

from auxface.errors import InputError
from auxface.objectives import check_auxiliaries
from auxface.recipe import Recipe, load_recipe, recipe_names
from auxface.recipe.load import recipe_hash
from auxface.studies.definition import Study, read_study
from auxface.studies.grid import plan_runs
from generated_inputs import try_inputs

# Scalars that look like dates, numbers, references or tags and are none.
SCALARS = (
    "2020-99-99", "2001-02-30 25:61:61", "1e", ".inf", "-.inf", ".nan", "0x", "0b2", "1:99:99", "1_0", "0o9", "=",
    "<<", "~", "!!int x", "!!float y", "!!timestamp z", "!!binary ?", "!!set {a}", "!!omap [a]", "!!pairs [a]", "*a",
    "&a [*a]", "&a {k: *a}", "!!python/name:os.system", "? [1, 2]", "{[1]: 2}", "{{a: b}: c}", "yes", "null", "''",
    '"\\ud800"', "9" * 400, "9" * 5000, "1e400", "-1", "0", "1.5", "[]", "{}", "[null]", "[[a]]", "{a: null}",
    "[" * 300, "{a: " * 300, "- " * 900 + "x", "{<<: 3}", "{<<: [1]}", "\x00", "\t", "# only a comment", "|", ">",
    "%", "@", "`", "l_ssat", "rgb", "2001-01-01", "12:30:45", "true", "[1, 2]", "{name: rgb}", "{name: [rgb]}",
    "[{}]", "'[/b]'", "!<tag:yaml.org,2002:int> q", "\ud7ff", "1" + "0" * 4300,
)  # fmt: skip


def keys_of(model, prefix=""):
    """Return the dotted keys of a section and of the sections below it."""
    found = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        inner = field.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            found += keys_of(inner, f"{prefix}{name}.")
    return found


RECIPE_KEYS = (
    *keys_of(Recipe), "auxiliary.target", "auxiliary.mask_ratio", "auxiliary.target.name", "auxiliaries.nt_xent",
    "auxiliaries.nt_xent.weight", "auxiliaries.absent", "auxiliaries.classification.weight", "auxiliaries.lafs.points",
    "tasks.a", "tasks.a.class_weights", "tasks.a.bins", "texture_input.name", "clips.length", "base", "x", "train.x.y",
)  # fmt: skip
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.dates(), st.binary(max_size=3)
)
wild = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def nested(draw, keys):
    """Draw a mapping of known keys to values of any kind."""
    made = {}
    for dotted in draw(st.lists(st.sampled_from(keys), max_size=4)):
        place = made
        *parents, last = dotted.split(".")
        for key in parents:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[last] = draw(wild)
    return made


@st.composite
def recipe_texts(draw):
    if draw(st.booleans()):
        made = nested(RECIPE_KEYS)
        return yaml.dump({"base": draw(st.sampled_from(recipe_names())), **draw(made)}, Dumper=yaml.SafeDumper)
    lines = ["base: " + draw(st.sampled_from(recipe_names()))] if draw(st.booleans()) else []
    for key in draw(st.lists(st.sampled_from(RECIPE_KEYS), min_size=1, max_size=3)):
        value = draw(st.sampled_from(SCALARS))
        *parents, last = key.split(".")
        lines.append("".join(f"{parent}: {{" for parent in parents) + f"{last}: {value}" + "}" * len(parents))
    if draw(st.integers(0, 9)) == 0:
        lines.append(draw(st.sampled_from(SCALARS)))
    return "\n".join(lines)


def expect_one_sentence(call):
    """Call a reader; anything but a result or an ``InputError`` of one sentence is a fault."""
    try:
        return call()
    except InputError as refusal:
        text = str(refusal)
        assert text.strip()
        assert "\n" not in text
        assert len(text) < 1200, text
    return None


def use(recipe):
    checked = check_auxiliaries(recipe)
    assert len(recipe_hash(checked)) == 64
    json.dumps(checked.model_dump(mode="json"), allow_nan=False)


def check_recipes(folder, examples):
    path = folder / "r.yaml"

    def case(text):
        with contextlib.suppress(UnicodeEncodeError):
            path.write_text(text, encoding="utf-8")
            recipe = expect_one_sentence(lambda: load_recipe(path))
            if recipe is not None:
                expect_one_sentence(lambda: use(recipe))

    try_inputs(case, recipe_texts(), examples)


def check_settings(examples):
    names = st.sampled_from(RECIPE_KEYS) | st.text(max_size=8)
    values = st.sampled_from(SCALARS) | st.text(max_size=8) | wild.map(lambda value: yaml.safe_dump(value).strip())
    strategy = st.tuples(st.sampled_from(recipe_names()), st.lists(st.tuples(names, values), min_size=1, max_size=3))

    def case(drawn):
        recipe = expect_one_sentence(lambda: load_recipe(drawn[0], [f"{key}={value}" for key, value in drawn[1]]))
        if recipe is not None:
            expect_one_sentence(lambda: use(recipe))

    try_inputs(case, strategy, examples)


STUDY_KEYS = (
    *keys_of(Study),
    "compare.baseline",
    "compare.metric",
    "settings.train.epochs",
    "methods.b.recipe",
    "vary.x",
)
STUDY = {
    "name": "small",
    "about": "A question.",
    "data": [{"name": "faces", "manifest": "faces.parquet", "task": "gender"}],
    "methods": {"supervised": {"recipe": "supervised"}},
    "seeds": [0],
    "compare": {"baseline": "supervised"},
}


@st.composite
def study_texts(draw):
    values = {**STUDY}
    part = draw(st.sampled_from(["top", "data", "method", "text"]))
    settings_of = st.dictionaries(
        st.sampled_from(RECIPE_KEYS) | st.text(max_size=4), wild | st.sampled_from(["$group", "rgb"]), max_size=2
    )
    if part == "top":
        values |= draw(nested(STUDY_KEYS))
        values |= {"settings": draw(settings_of)} if draw(st.booleans()) else {}
    elif part == "data":
        entry = {**STUDY["data"][0]}
        entry |= draw(st.dictionaries(st.sampled_from(["settings", "group", "keep", "baselines", "unlabeled"]), wild))
        values["data"] = [{**entry, "settings": draw(settings_of)}] if draw(st.booleans()) else [entry]
    elif part == "method":
        keys = st.sampled_from(["settings", "vary", "skip", "not_tested", "recipe"])
        vary = st.dictionaries(st.sampled_from(RECIPE_KEYS), st.lists(wild, max_size=3), max_size=2)
        method = {"recipe": "supervised"} | draw(st.dictionaries(keys, wild, max_size=2))
        values["methods"] = {"supervised": {**method, "vary": draw(vary)}}
    else:
        lines = yaml.safe_dump(STUDY).splitlines()
        return "\n".join([*lines, f"{draw(st.sampled_from(STUDY_KEYS))}: {draw(st.sampled_from(SCALARS))}"])
    return yaml.dump(values, Dumper=yaml.SafeDumper)


def check_studies(folder, examples):
    path = folder / "s.yaml"

    def case(text):
        with contextlib.suppress(UnicodeEncodeError):
            path.write_text(text, encoding="utf-8")
            expect_one_sentence(lambda: plan_runs(read_study(path), folder))

    try_inputs(case, study_texts(), examples)


def test_recipes_of_any_structure_are_read_or_refused(tmp_path):
    check_recipes(tmp_path, 120)


def test_settings_of_any_structure_are_read_or_refused():
    check_settings(120)


def test_studies_of_any_structure_are_read_or_refused(tmp_path):
    check_studies(tmp_path, 80)


@pytest.mark.slow
def test_10000_recipes_settings_and_studies(tmp_path):
    check_recipes(tmp_path, 4000)
    check_settings(4000)
    check_studies(tmp_path, 2000)


@pytest.mark.parametrize("text", SCALARS)
def test_every_odd_scalar_is_read_or_refused(tmp_path, text):
    expect_one_sentence(lambda: load_recipe("l_ssat", [f"train.epochs={text}"]))
    for where in ("name", "tasks", "base", "auxiliary", "auxiliaries"):
        (tmp_path / "r.yaml").write_text(f"{where}: {text}\n", encoding="utf-8")
        expect_one_sentence(lambda: load_recipe(tmp_path / "r.yaml"))


def test_a_long_chain_of_base_recipes_is_refused(tmp_path):
    for number in range(2000):
        (tmp_path / f"{number}.yaml").write_text(f"base: {number + 1}.yaml\n")
    (tmp_path / "2000.yaml").write_text("base: l_ssat\n")
    with pytest.raises(InputError, match="longer than"):
        load_recipe(tmp_path / "0.yaml")


def test_aliases_do_not_expand_without_bound(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "r.yaml").write_text("\n".join(lines))
    refusal = expect_one_sentence(lambda: load_recipe(tmp_path / "r.yaml"))
    assert refusal is None
