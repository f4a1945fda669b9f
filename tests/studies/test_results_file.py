"""results.jsonl: killed writers, repeated runs, and concatenated files."""

import json

import pandas as pd
import pytest

from auxface.errors import InputError
from auxface.evaluation import Predictions, ScoredTask, read_predictions, write_predictions
from auxface.studies.definition import read_plan, write_plan
from auxface.studies.results_file import append_result, lock_results, merge_results, predictions_path, read_results


def test_appended_results_are_read_with_hashed_source_names(tmp_path, line):
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
    write_predictions(Predictions(frame, (ScoredTask("face", "class", ("calm", "glad")),)), tmp_path / "t.parquet")
    append_result(tmp_path, line("a", "faces", "x", 0), tmp_path / "t.parquet")
    append_result(tmp_path, line("b", "faces", "x", 1))
    assert list(read_results(tmp_path)) == ["a", "b"]
    kept = read_predictions(predictions_path(tmp_path, "a")).frame
    others = [name for name in frame if name != "source"]
    pd.testing.assert_frame_equal(kept[others].astype(str), frame[others].astype(str))
    # Source names may be file names. Their hashes keep rows of one source together.
    assert b"a.jpg" not in predictions_path(tmp_path, "a").read_bytes()
    first, second, third = kept["source"]
    assert (first == second, third) == (True, "")


def test_an_incomplete_last_line_is_dropped(tmp_path, line):
    append_result(tmp_path, line("a", "faces", "x", 0))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(json.dumps(line("b", "faces", "x", 1))[:50])
    assert list(read_results(tmp_path)) == ["a"]
    append_result(tmp_path, line("c", "faces", "x", 2))
    assert list(read_results(tmp_path)) == ["a", "c"]
    assert all(json.loads(text) for text in (tmp_path / "results.jsonl").read_text().splitlines())


def test_a_done_record_takes_precedence_over_failed_ones(tmp_path, line):
    for status in ("failed", "done", "failed"):
        append_result(tmp_path, line("a", "faces", "x", 0, status=status))
    assert read_results(tmp_path)["a"]["status"] == "done"


def test_an_invalid_line_is_reported_by_number(tmp_path, line):
    append_result(tmp_path, line("a", "faces", "x", 0))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match="line 2"):
        read_results(tmp_path)


def test_results_of_two_machines_are_merged(tmp_path, line):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, names in ((one, "ab"), (other, "bc")):
        folder.mkdir()
        for name in names:
            append_result(folder, line(name, "faces", "x", 0))
    assert list(merge_results([one, other])) == ["a", "b", "c"]
    # The files may also be concatenated.
    together = tmp_path / "together"
    together.mkdir()
    text = "".join((folder / "results.jsonl").read_text() for folder in (one, other))
    (together / "results.jsonl").write_text(text)
    assert list(read_results(together)) == ["a", "b", "c"]


def test_a_locked_folder_refuses_a_second_study(tmp_path):
    with lock_results(tmp_path), pytest.raises(InputError, match="another study is running"), lock_results(tmp_path):
        pass
    with lock_results(tmp_path):
        pass


def test_folders_of_different_studies_are_refused(tmp_path, study_of):
    study = study_of(["faces"], ["plain"], (0,))
    write_plan(tmp_path, study, 7)
    assert read_plan([tmp_path]) == (study, 7)
    other = tmp_path / "other"
    other.mkdir()
    write_plan(other, study.model_copy(update={"name": "second"}), 7)
    with pytest.raises(InputError, match="folders of the same study"):
        read_plan([tmp_path, other])
    with pytest.raises(InputError, match="contains no study results"):
        read_plan([tmp_path / "nowhere"])
