"""Study files: an error is one sentence that names the key."""

import pytest

from auxface.errors import InputError
from auxface.studies.definition import read_study

GOOD = """
name: small
about: A question.
data: [{name: faces, manifest: faces.parquet, task: gender}]
methods: {supervised: {recipe: supervised}}
seeds: [0]
compare: {baseline: supervised}
"""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("seeds: [0]", "seed: [0]"), r"unknown key 'seed' \(did you mean 'seeds'\?\)"),
        (("seeds: [0]", "seeds: [0, 0]"), "a seed is listed twice"),
        (("seeds: [0]", "seeds: []"), "seeds"),
        (("task: gender", "tusk: gender"), r"unknown key 'data.0.tusk' \(did you mean 'data.0.task'\?\)"),
        (("{recipe: supervised}", "{recipe: supervised, varies: {}}"), "unknown key 'methods.supervised.varies'"),
        (("baseline: supervised", "baseline: supervised, metric: accuracy_"), r"did you mean 'accuracy'"),
        (("seeds: [0]", "seeds: [0]\nlabel_fractions: [0.5, 2]"), "label_fractions"),
        (("task: gender}", "task: gender, baselines: {x: {auk: 0.5}}}"), "unknown metric 'auk'"),
        (
            ("{recipe: supervised}", "{recipe: supervised, not_tested: {face: why}}"),
            r"no data set is named 'face' \(did you mean 'faces'\?\)",
        ),
        ((GOOD, "- a list"), "a study must be a mapping of keys to values; found list"),
        ((GOOD, "a: [1"), "not valid YAML"),
    ],
)
def test_an_invalid_study_names_the_key(tmp_path, change, sentence):
    (tmp_path / "s.yaml").write_text(GOOD.replace(*change))
    with pytest.raises(InputError, match=sentence):
        read_study(tmp_path / "s.yaml")


def test_a_missing_study_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such study"):
        read_study(tmp_path / "s.yaml")


def test_common_corruptions_are_the_fifteen(tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD + "corruptions: common\n")
    assert len(read_study(tmp_path / "s.yaml").corruption_names) == 15
