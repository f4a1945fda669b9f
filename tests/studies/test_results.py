"""results.jsonl: kills, repeats, and files put one after the other."""

import json

import pandas as pd
import pytest

from auxface.errors import InputError
from auxface.evaluation import Predictions, Task, read_predictions, write_predictions
from auxface.studies.definition import keep_plan, read_plan
from auxface.studies.results import alone, append_result, merged_results, predictions_file, read_results


def test_what_is_appended_is_read(tmp_path, line):
    rows = {
        "dataset": "d",
        "method": "",
        "source": ["a.jpg", "a.jpg", ""],
        "video": "",
        "frame": range(3),
        "split": "test",
    }
    frame = pd.DataFrame(rows | {"true.face": ["calm", "glad", "glad"]})
    frame = frame.assign(**{"score.face.calm": [0.9, 0.2, 0.4], "score.face.glad": [0.1, 0.8, 0.6]})
    write_predictions(Predictions(frame, (Task("face", "class", ("calm", "glad")),)), tmp_path / "t.parquet")
    append_result(tmp_path, line("a", "faces", "x", 0), tmp_path / "t.parquet")
    append_result(tmp_path, line("b", "faces", "x", 1))
    assert list(read_results(tmp_path)) == ["a", "b"]
    kept = read_predictions(predictions_file(tmp_path, "a")).frame
    others = [name for name in frame if name != "source"]
    pd.testing.assert_frame_equal(kept[others].astype(str), frame[others].astype(str))
    # Names of sources may be those of files; what is left tells only which rows belong together.
    assert b"a.jpg" not in predictions_file(tmp_path, "a").read_bytes()
    first, second, third = kept["source"]
    assert (first == second, third) == (True, "")


def test_a_line_that_a_kill_cut_short_is_no_run_and_the_next_one_is_whole(tmp_path, line):
    append_result(tmp_path, line("a", "faces", "x", 0))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(json.dumps(line("b", "faces", "x", 1))[:50])
    assert list(read_results(tmp_path)) == ["a"]
    append_result(tmp_path, line("c", "faces", "x", 2))
    assert list(read_results(tmp_path)) == ["a", "c"]
    assert all(json.loads(text) for text in (tmp_path / "results.jsonl").read_text().splitlines())


def test_done_counts_before_failed_whatever_the_order(tmp_path, line):
    for status in ("failed", "done", "failed"):
        append_result(tmp_path, line("a", "faces", "x", 0, status=status))
    assert read_results(tmp_path)["a"]["status"] == "done"


def test_a_broken_line_is_named(tmp_path, line):
    append_result(tmp_path, line("a", "faces", "x", 0))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match="line 2"):
        read_results(tmp_path)


def test_results_of_two_machines_are_one_study(tmp_path, line):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, names in ((one, "ab"), (other, "bc")):
        folder.mkdir()
        for name in names:
            append_result(folder, line(name, "faces", "x", 0))
    assert list(merged_results([one, other])) == ["a", "b", "c"]
    # Or as plain text, one after the other.
    together = tmp_path / "together"
    together.mkdir()
    text = "".join((folder / "results.jsonl").read_text() for folder in (one, other))
    (together / "results.jsonl").write_text(text)
    assert list(read_results(together)) == ["a", "b", "c"]


def test_a_folder_is_worked_in_by_one_study_at_a_time(tmp_path):
    with alone(tmp_path), pytest.raises(InputError, match="another study is at work"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_plan_is_kept_and_reports_mix_no_studies(tmp_path, study_of):
    study = study_of(["faces"], ["plain"], (0,))
    keep_plan(tmp_path, study, 7)
    assert read_plan([tmp_path]) == (study, 7)
    other = tmp_path / "other"
    other.mkdir()
    keep_plan(other, study.model_copy(update={"name": "second"}), 7)
    with pytest.raises(InputError, match="report on one"):
        read_plan([tmp_path, other])
    with pytest.raises(InputError, match="no results of a study"):
        read_plan([tmp_path / "nowhere"])
