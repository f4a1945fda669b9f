"""Output folders: only what auxface wrote is replaced."""

import json
import os

import pytest

from auxface.errors import InputError
from auxface.output_folder import (
    added_files,
    begin_growing,
    check_output_folder,
    clear_folder,
    delete_written,
    end_growing,
    refuse_inputs_inside,
    written_folder,
)


def write(folder, **texts):
    with written_folder(folder) as beside:
        for name, text in texts.items():
            path = beside / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def write_after(folder, happening):
    with written_folder(folder) as beside:
        (beside / "page").write_text("newer")
        happening()


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".auxface.json"
    }


@pytest.fixture
def out(tmp_path):
    """A folder that auxface wrote, with a page, and a table in a subfolder."""
    write(tmp_path / "out", page="old", csv__table="1")
    return tmp_path / "out"


def refused(folder, name):
    before = contents(folder)
    with pytest.raises(InputError, match=rf"'{name}' .*; move the file elsewhere or choose another output"):
        check_output_folder(folder, overwrite=True)
    assert contents(folder) == before


def test_an_existing_output_needs_overwrite(out):
    with pytest.raises(InputError, match=r"already exists.*--overwrite"):
        check_output_folder(out, overwrite=False)
    check_output_folder(out, overwrite=True)


def test_recorded_files_are_replaced_and_old_ones_deleted(out):
    write(out, page="new", other="2")
    assert contents(out) == {"page": "new", "other": "2"}
    assert not (out / "csv").exists()


@pytest.mark.parametrize("name", ["notes.txt", "csv/notes.txt", ".hidden", "a/b/thesis.tex"])
def test_an_unrecorded_file_is_refused_by_name(out, name):
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    refused(out, name)


def test_a_changed_file_is_refused_by_name(out):
    (out / "page").write_text("odd")  # of the same length
    refused(out, "page")


def test_a_renamed_file_is_refused(out):
    (out / "page").rename(out / "page2")
    refused(out, "page2")


def test_links_are_refused_and_never_followed(out, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "page").write_text("old")
    (out / "photos").symlink_to(tmp_path / "photos")
    refused(out, "photos")
    (out / "photos").unlink()
    (out / "page").unlink()
    (out / "page").symlink_to(tmp_path / "photos" / "page")
    refused(out, "page")
    clear_folder(out)
    assert (tmp_path / "photos" / "page").read_text() == "old"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 9}', '{"version": 1, "files": {"a": 3}}'])
def test_an_invalid_record_records_nothing(out, text):
    (out / ".auxface.json").write_text(text)
    refused(out, ".auxface.json")
    clear_folder(out)
    assert (out / "page").exists()


def test_a_record_cannot_name_files_elsewhere(out, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    record = json.loads((out / ".auxface.json").read_text())
    record["growing"] = ["../*", "../thesis.tex", str(tmp_path / "thesis.tex")]
    (out / ".auxface.json").write_text(json.dumps(record))
    clear_folder(out)
    assert contents(tmp_path) == {"thesis.tex": "mine"}


def test_a_file_where_a_folder_is_expected_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        check_output_folder(tmp_path / "out", overwrite=True)


def test_a_subfolder_with_a_record_of_its_own_is_kept(out):
    write(out / "test", report="r")
    check_output_folder(out, overwrite=True)
    write(out, page="new")
    assert contents(out) == {"page": "new", "test/report": "r"}
    (out / "test" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"'test/notes\.txt'"):
        check_output_folder(out, overwrite=True)


def test_a_file_created_during_the_work_is_kept(out):
    with written_folder(out) as beside:
        (beside / "page").write_text("new")
        (out / "notes.txt").write_text("mine")
    assert contents(out) == {"page": "new", "notes.txt": "mine"}
    with pytest.raises(InputError, match="'page'"):
        write_after(out, lambda: (out / "page").write_text("mine"))
    assert contents(out) == {"page": "mine", "notes.txt": "mine"}


def test_an_error_leaves_the_folder_unchanged(out, tmp_path):
    for folder in (out, tmp_path / "absent"):
        with pytest.raises(ZeroDivisionError):
            write_after(folder, lambda: 1 / 0)
    assert contents(tmp_path) == {"out/page": "old", "out/csv/table": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    check_output_folder(out, overwrite=True)


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_kill_between_two_files_leaves_no_unknown_file(out, monkeypatch, moved):
    names = iter(range(10))
    replace = type(out).replace

    def stop(path, target):
        # The record itself is renamed too.
        if target.name != ".auxface.json" and next(names) == moved:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(type(out), "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write(out, page="new", csv__table="2", third="3")
    monkeypatch.undo()
    check_output_folder(out, overwrite=True)
    write(out, page="last")
    assert contents(out) == {"page": "last"}


def test_files_left_by_a_kill_are_known(out):
    beside = written_folder(out)
    (beside.__enter__() / "half").write_text("half")  # a kill runs no clean-up
    (out / ".page.abcd_123").write_text("half")
    check_output_folder(out, overwrite=True)
    beside.gen.close()


def test_growing_files_may_change_during_a_run(tmp_path):
    run = tmp_path / "run"
    begin_growing(run, ["log.jsonl", "checkpoint/[0-9][0-9]/state.json"])
    for text in ("a", "ab"):
        (run / "log.jsonl").write_text(text)
        check_output_folder(run, overwrite=True)
    (run / "checkpoint" / "07").mkdir(parents=True)
    (run / "checkpoint" / "07" / "state.json").write_text("{}")
    (run / ".log.abcd1234.jsonl").write_text("cut")
    check_output_folder(run, overwrite=True)
    (run / "checkpoint" / "07" / "notes.txt").write_text("mine")
    refused(run, "checkpoint/07/notes.txt")
    clear_folder(run)
    assert contents(run) == {"checkpoint/07/notes.txt": "mine"}


def test_growing_files_may_not_change_after_a_run(tmp_path):
    begin_growing(tmp_path, ["log.jsonl"])
    (tmp_path / "log.jsonl").write_text("a")
    (tmp_path / "notes.txt").write_text("mine")
    end_growing(tmp_path)
    refused(tmp_path, "notes.txt")
    (tmp_path / "notes.txt").unlink()
    check_output_folder(tmp_path, overwrite=True)
    (tmp_path / "log.jsonl").write_text("b")
    refused(tmp_path, "log.jsonl")
    begin_growing(tmp_path, ["log.jsonl"])
    check_output_folder(tmp_path, overwrite=True)


def test_added_files_replace_equal_names_and_delete_nothing(out):
    (out / "notes.txt").write_text("mine")
    with added_files(out) as beside:
        (beside / "page").write_text("new")
        (beside / "card").write_text("c")
    assert contents(out) == {"page": "new", "card": "c", "csv/table": "1", "notes.txt": "mine"}
    refused(out, "notes.txt")
    (out / "notes.txt").unlink()
    check_output_folder(out, overwrite=True)


def test_inputs_inside_an_output_are_refused(out, tmp_path):
    with pytest.raises(InputError, match=r"contains .*page, which this command reads"):
        refuse_inputs_inside(out, [tmp_path / "elsewhere", out / "page"])
    with pytest.raises(InputError, match="which this command reads"):
        refuse_inputs_inside(out, [out])
    (tmp_path / "link").symlink_to(out / "page")
    with pytest.raises(InputError, match="which this command reads"):
        refuse_inputs_inside(out, [tmp_path / "link"])
    (tmp_path / "other").symlink_to(out)
    with pytest.raises(InputError, match="which this command reads"):
        refuse_inputs_inside(tmp_path / "other", [out / "csv" / "table"])
    refuse_inputs_inside(out, [tmp_path / "output" / "page", tmp_path])
    refuse_inputs_inside(tmp_path / "absent", [tmp_path / "absent" / "page"])


def test_a_link_to_an_output_folder_stays_a_link(out, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(out)
    check_output_folder(link, overwrite=True)
    write(link, page="new")
    assert link.is_symlink()
    assert contents(out) == {"page": "new"}
    (out / "notes.txt").write_text("mine")
    refused(link, "notes.txt")


def test_the_current_folder_can_be_an_output(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    here = type(tmp_path)(".")
    write(here, page="old")
    check_output_folder(here, overwrite=True)
    write(here, page="new")
    assert contents(tmp_path) == {"here/page": "new"}
    (tmp_path / "here" / "notes.txt").write_text("mine")
    refused(here, "notes.txt")


def test_files_of_file_managers_are_ignored_and_kept(out):
    (out / ".DS_Store").write_text("d")
    check_output_folder(out, overwrite=True)
    write(out, page="new")
    assert contents(out) == {"page": "new", ".DS_Store": "d"}


def test_deleting_a_run_keeps_files_of_others(out, tmp_path):
    write(out / "test", report="r")
    (out / "test" / "notes.txt").write_text("mine")
    delete_written(out)
    assert contents(tmp_path) == {"out/test/notes.txt": "mine"}
    write(tmp_path / "run", page="p")
    write(tmp_path / "run" / "test", report="r")
    delete_written(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_new_folder_has_default_permissions(tmp_path):
    os.mkdir(tmp_path / "plain")
    write(tmp_path / "new", page="p")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
