"""The gate of an audit: which conditions fail, what they say, and exit code 3."""

import json
import sys

import pytest
from simulated_tables import forged_predictions

from auxface.cli import main
from auxface.errors import InputError
from auxface.evaluation import write_predictions
from auxface.evaluation.gate import failed_conditions, parse_condition

REPORT = {
    "tasks": {
        "forged": {
            "overall": {
                "auc": {"value": 0.9, "low": 0.85, "high": 0.93},
                "tpr_at_fpr_0.01": {"why": "40 negative samples"},
                "tpr_at_fpr_0.001": {"value": None, "low": None, "high": None, "why": "40 negative samples"},
            },
            "groups": {"sex": {"F": {"why": "only 2 clusters, fewer than 3"}}},
            "gaps": {"sex × race": {"accuracy_difference": {"value": 0.1, "low": 0.04, "high": 0.2}}},
        }
    }
}
AUC = "tasks.forged.overall.auc"
HOLDS = {
    f"{AUC}.value < 0.95": f"{AUC}.value is 0.9, which is < 0.95",
    f"{AUC}.low >= 0.9": None,
    f"{AUC}.low<=0.85": f"{AUC}.low is 0.85, which is <= 0.85",
    "tasks.forged.gaps.sex × race.accuracy_difference.high > 0.15": "is 0.2, which is > 0.15",
    "tasks.forged.overall.tpr_at_fpr_0.01.value < 0.5": "is missing: 40 negative samples",
    "tasks.forged.overall.tpr_at_fpr_0.001.value < 0.5": "is missing: 40 negative samples",
    "tasks.forged.groups.sex.F.accuracy.low < 0.5": "is missing: only 2 clusters, fewer than 3",
    f"{AUC}.value < against - 0.01": f"{AUC}.value is 0.9, which is < against - 0.01 = 0.94",
    f"{AUC}.value < against - 0.1": None,
}


@pytest.mark.parametrize("text", HOLDS)
def test_a_condition_that_holds_fails_with_a_sentence(text):
    older = {"tasks": {"forged": {"overall": {"auc": {"value": 0.95}}}}}
    found = failed_conditions(REPORT, [parse_condition(text)], older)
    assert (found == []) == (HOLDS[text] is None)
    assert all((HOLDS[text] or "") in sentence for sentence in found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("auc is low", "is not a condition"),
        (f"{AUC}.value < high", "is not a condition"),
        (f"{AUC} < 1", "is a metric, not a number; append .value"),
        ("tasks.forgd.overall.auc.value < 1", r"no key 'forgd' below 'tasks' \(did you mean 'forged'\?\)"),
        (f"{AUC}.value.low < 1", "has nothing below"),
        ("tasks.forged.overall < 1", "is not a number"),
        (f"{AUC}.value < against", "needs --against"),
    ],
)
def test_conditions_that_cannot_be_checked_are_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        failed_conditions(REPORT, [parse_condition(text)])


def test_the_command_ends_with_code_3_and_says_what_failed(monkeypatch, capsys, tmp_path):
    write_predictions(forged_predictions(n=300), tmp_path / "t.parquet")
    (tmp_path / "gate.yaml").write_text(f"fail_if:\n  - {AUC}.value < 0.2\n  - {AUC}.value < against\n")
    older = json.dumps({"tasks": {"forged": {"overall": {"auc": {"value": 1.0}}}}})
    (tmp_path / "old.json").write_text(older)

    def run(out, *more):
        given = ["auxface", "audit", str(tmp_path / "t.parquet"), "--out", str(tmp_path / out), "--resamples", "100"]
        monkeypatch.setattr(sys, "argv", [*given, *map(str, more)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    code, errors = run("a", "--fail-if", tmp_path / "gate.yaml", "--against", tmp_path / "old.json")
    assert code == 3
    assert any(
        line.startswith("auxface: gate failed: ") and line.endswith("< against = 1") for line in errors.splitlines()
    )
    assert (tmp_path / "a" / "report.json").exists()
    assert run("b", "--fail-if", f"{AUC}.value < 0.2")[0] == 0
    assert run("c", "--fail-if", "nonsense")[0] == 2
    code, errors = run("c", "--fail-if", f"{AUC}.value < against")
    assert (code, "needs --against" in errors) == (2, True)
    assert not (tmp_path / "c").exists()
