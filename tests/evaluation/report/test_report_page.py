"""The page: its sentences, its files, no network, and its layout in a browser."""

import base64
import hashlib
import html
import json
import re
import shutil

import pandas as pd
import pytest
from simulated_tables import emotion_samples, emotion_scores, forged_predictions

from auxface.evaluation import Figure, Section, TableError, audit_tables, cross_dataset, write_report
from auxface.evaluation.report.group_table import group_table
from auxface.evaluation.report.opening import opening_sentences
from auxface.evaluation.report.wording import TERMS


def training_log(*, auxiliary):
    """A log of three epochs, as training writes it."""
    log = pd.DataFrame({"epoch": [1, 2, 3], "loss": [2.0, 1.5, 1.2], "val.balanced_accuracy": [0.2, 0.4, 0.5]})
    columns = {"gradient_ratio": 0.3, "set_ratio": 0.3, "cosine": 0.1, "loss": 4.0, "weighted": 1.0, "weight": 0.25}
    columns = {f"reconstruction.{name}": value for name, value in columns.items()}
    columns |= {"reconstruction.skill.rgb": 0.4, "val.reconstruction.skill.rgb": 0.3, "primary.weighted": 1.9}
    return log.assign(**columns) if auxiliary else log


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of one model and a full one of three, by name."""
    folder = tmp_path_factory.mktemp("pages")
    table, validation = forged_predictions(n=3000), forged_predictions(n=3000, seed=3)
    write_report(
        audit_tables({"detector": table}, validation={"detector": validation}, resamples=100),
        folder / "one",
        title="A detector <b>of</b> forgeries",
    )
    samples = emotion_samples(900, 200)
    skills = {"supervised": 2.0, "ssat": 2.3, "l_ssat": 2.4}
    tables = {name: emotion_scores(samples, skill, seed) for seed, (name, skill) in enumerate(skills.items())}
    robustness = {
        name: {
            damage: {k: emotion_scores(samples, skills[name] - drop, 9, noise=place) for place, k in enumerate(levels)}
            for drop, (damage, levels) in enumerate({"fog": (1, 2, 3), "h264": ("c23", "c40")}.items())
        }
        for name in tables
    }
    for name in ("ssat", "l_ssat"):
        tables[name].provenance["auxiliary_effect"] = f"The auxiliary affected the encoder: as that of {name} does."
    found = audit_tables(tables, robustness=robustness, baseline="supervised", resamples=100)
    logs = {name: training_log(auxiliary=name != "supervised") for name in tables}
    write_report(found, folder / "three", title="Three models", curves=logs)
    parts = {(a, b): forged_predictions(n=600, seed=ord(a) + ord(b)) for a in "xy" for b in "xyz"}
    write_report(audit_tables(cross_dataset(parts), resamples=100), folder / "matrix", title="Across")
    return folder


@pytest.mark.parametrize("name", ["one", "three", "matrix"])
def test_the_page_needs_no_network_and_its_csv_files_exist(pages, name):
    page = (pages / name / "report.html").read_text()
    assert len(page) < 3_000_000
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page[: page.index("<title>")]
    files = set(re.findall(r'href="(csv/[^"]+)"', page))
    assert files
    for file in files:
        assert (pages / name / file).is_file(), file
    written = {f"csv/{path.name}" for path in (pages / name / "csv").iterdir()}
    assert written - files <= {"csv/attribute_groups.csv", "csv/attribute_gaps.csv", "csv/comparisons.csv"}


def test_the_page_opens_with_five_questions_and_escapes_html(pages):
    page = (pages / "one" / "report.html").read_text()
    opening = page[: page.index("<h2>Metrics")]
    for question in ("How good?", "How certain?", "For whom is it worst?", "How robust?", "What was excluded?"):
        assert question in opening
    assert "&lt;b&gt;" in page
    assert "<b>of" not in page
    assert "If these samples are counted as errors" in opening


def test_the_interval_is_said_to_hold_the_true_value(pages):
    """The interval holds the population's value 95 times in 100, another table's figure far less often."""
    page = (pages / "one" / "report.html").read_text()
    opening = page[: page.index("<h2>Metrics")]
    figures = json.loads((pages / "one" / "report.json").read_text())["tasks"]["forged"]["overall"]["auc"]
    assert f"The true AUC lies between {figures['low']:.3f} and {figures['high']:.3f} (95% conf" in opening
    assert "times in 20" not in page


def test_the_page_says_whether_the_auxiliary_acted(pages):
    page = html.unescape((pages / "three" / "report.html").read_text())
    panel = page[page.index("<h2>Effect of the auxiliary task") : page.index("<h2>Training")]
    assert [f"that of {name} does." in panel for name in ("supervised", "ssat", "l_ssat")] == [False, True, True]
    titles = re.findall(r"<h3>(.*?)</h3>", panel)
    assert titles == [
        "gradient ratio (dashed: set value)",
        "cosine of the gradients",
        "validation skill, rgb (dashed: training)",
        "auxiliary loss",
        "weighted loss (dashed: task)",
        "weight",
    ]
    rest = page[page.index("<h2>Training") :]
    assert [f"<h3>{title}</h3>" in rest for title in ("loss", "validation balanced accuracy")] == [True, True]
    assert "cosine" not in rest


def test_a_supervised_model_has_no_panel_on_auxiliaries(pages):
    assert "Effect of the auxiliary task" not in (pages / "one" / "report.html").read_text()


def test_a_harmful_attack_is_not_listed_with_harmless_corruptions():
    samples = emotion_samples(300, 60)
    clean, attacked = emotion_scores(samples, 2.0, 0), emotion_scores(samples, -1.0, 0)
    robustness = {"ours": {"fog": {1: clean}, "fgsm": {"2/255": attacked}}}
    audit = audit_tables({"ours": clean}, robustness=robustness, resamples=50)
    text = opening_sentences(audit, "emotion")[3].text
    assert text.startswith("None of the corruptions tested (fog) lowers the accuracy of ours. ")
    assert "The adversarial attack FGSM, which changes each pixel by at most 2/255, changes the accuracy to " in text


@pytest.mark.parametrize(("others", "end"), [([], "."), (["blur"], ", the worst of 2 corruptions tested.")])
def test_the_worst_corruption_is_compared_with_others_only(others, end):
    samples = emotion_samples(300, 60)
    clean, foggy = emotion_scores(samples, 2.0, 0), emotion_scores(samples, -1.0, 0)
    robustness = {"ours": {"fog": {1: foggy}} | {name: {1: clean} for name in others}}
    audit = audit_tables({"ours": clean}, robustness=robustness, resamples=50)
    text = opening_sentences(audit, "emotion")[3].text
    assert re.match(r"Fog at severity 1 lowers the accuracy of ours from [^;]*\)" + re.escape(end) + "( |$)", text)


@pytest.mark.parametrize("name", ["one", "three"])
def test_terms_are_defined_once_before_their_use(pages, name):
    page = html.unescape((pages / name / "report.html").read_text())
    assert page.count(TERMS) == 1
    assert "(expected under equal performance" in page
    first_section = page.index("<h2>Groups")
    assert page.index(TERMS) < first_section


def test_the_page_says_why_a_level_is_not_measured(tmp_path):
    table = forged_predictions(n=600)
    table.frame.loc[:1, "group.race"] = "Few"
    write_report(audit_tables({"m": table}, resamples=50), tmp_path, title="t")
    assert "not measurable: only 2 clusters, fewer than 3" in (tmp_path / "report.html").read_text()


def test_calibration_that_changes_nothing_is_said_so(tmp_path):
    table, validation = forged_predictions(n=400), forged_predictions(n=400, seed=3)
    found = audit_tables({"detector": table}, validation={"detector": validation}, resamples=100)
    task = found.models["detector"].tasks["forged"]
    task.calibrated = task.overall
    write_report(found, tmp_path / "same", title="Same")
    assert "would not change the calibration error of" in (tmp_path / "same" / "report.html").read_text()


def test_sections_are_shown_and_their_figures_are_png(tmp_path):
    found = audit_tables({"m": forged_predictions(n=200)}, resamples=50)
    with pytest.raises(TableError, match="not a PNG"):
        write_report(found, tmp_path, title="t", sections_after=[Section("S", "x", (Figure(b"GIF", "c", "a"),))])
    assert not list(tmp_path.iterdir())
    write_report(found, tmp_path, title="t", sections_before=[Section("What was done", "First.\n\nThen.")])
    assert "<p>Then.</p>" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("name", ["one", "three", "matrix"])
def test_the_page_fits_and_loads_nothing_in_a_browser(pages, browser, name, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((pages / name / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not messages
    assert all(url.startswith(("file:", "data:")) for url in requests)
    assert len(requests) == 1
    headings = page.locator("h1, h2").all_inner_texts()
    assert "Method" in headings
    assert {"one": "Scores and thresholds", "three": "Robustness", "matrix": "Across data sets"}[name] in headings
    assert page.locator("dl.five > div").count() == 5
    narrow = page.evaluate(
        "[...document.querySelectorAll('p, dd, th, td, .label')].filter(e => e.offsetParent && e.innerText.trim() && "
        "(parseFloat(getComputedStyle(e).fontSize) < 11)).length"
    )
    assert narrow == 0
    page.close()


@pytest.mark.browser
def test_a_table_is_sorted_by_a_click_on_its_heading(pages, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((pages / "one" / "report.html").as_uri())
    table = page.locator("table.levels").first
    names = table.locator("tbody th")
    original = names.all_inner_texts()
    samples = dict(zip(original, table.locator("tbody td:nth-child(2)").all_inner_texts(), strict=True))
    falling = sorted(original, key=lambda name: -int(samples[name].replace(",", "")))
    rising = sorted(original, key=lambda name: int(samples[name].replace(",", "")))
    button = table.locator("th button", has_text="samples")
    for expected in (falling, rising, original):
        button.click()
        assert names.all_inner_texts() == expected
    assert falling != original
    page.close()


@pytest.mark.browser
def test_the_sliders_agree_with_the_table(pages, browser):
    report = json.loads((pages / "one" / "report.json").read_text())["tasks"]["forged"]["prevalence"]["0.1"]
    page = browser.new_page(viewport={"width": 375, "height": 900})
    page.goto((pages / "one" / "report.html").as_uri())
    panel = page.locator(".costs").first
    assert not panel.is_visible()
    page.locator("details:has(.costs) > summary").first.click()
    assert panel.is_visible()
    for role, value in (("prevalence", "-1"), ("miss", "1")):
        panel.locator(f"[data-role={role}]").evaluate(
            "(one, value) => { one.value = value; one.dispatchEvent(new Event('input', { bubbles: true })); }", value
        )
    assert panel.locator("output").all_inner_texts() == ["10%", "10"]
    in_use, cheapest = (row.split("\t") for row in panel.locator("tbody tr").all_inner_texts())
    assert in_use[4] == f"{100 * report['precision']['value']:.1f}%"
    assert float(in_use[5]) == pytest.approx(report["miss_cost"]["10"]["expected_cost"]["value"], abs=6e-5)
    assert float(cheapest[1].split(",")[0]) == pytest.approx(
        report["miss_cost"]["10"]["cheapest"]["threshold"], abs=6e-4
    )
    page.close()


@pytest.mark.browser
def test_print_shows_the_content_of_closed_details(pages, browser):
    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.goto((pages / "three" / "report.html").as_uri())
    hidden = page.locator("details:not([open]) table.levels").first
    assert not hidden.is_visible()
    page.emulate_media(media="print")
    assert hidden.evaluate("one => one.getBoundingClientRect().height") > 100
    page.close()


def test_the_table_of_a_group_has_counts_rates_and_intervals():
    found = audit_tables({"m": forged_predictions(n=2000)}, resamples=100).models["m"].tasks["forged"]
    table = group_table("m", "race", found)
    assert table is not None
    assert table.positive == found.task.classes[1]
    assert table.headings == ("TPR", "FPR", "FNR", "selection rate", "precision")
    for row in table.rows:
        level = found.groups["race"][row.level]
        assert row.samples == f"{level['accuracy'].n:,}"
        assert row.clusters == f"{level['accuracy'].clusters:,}"
        assert row.positives == f"{level['true_positive_rate'].n:,}"
        rate = level["true_positive_rate"]
        assert row.cells[2].value == f"{100 * (1 - rate.value):.1f}%"
        assert row.cells[2].span == f"{100 * (1 - rate.high):.1f}% to {100 * (1 - rate.low):.1f}%"
    assert [row.gap.value for row in table.rows].count("reference") == 1
    assert group_table("m", "race × gender", found) is None


def test_a_group_equal_to_the_label_states_why_it_has_no_gap(tmp_path):
    table = forged_predictions(n=400)
    label = table.frame["true.forged"].map(lambda value: f"label {value:g}")
    table.frame["group.copy"] = label.to_numpy()
    found = audit_tables({"m": table}, resamples=100)
    gap = found.models["m"].tasks["forged"].gaps["copy"]["balanced_accuracy_difference"]
    assert gap.why == "each level has only one class, so a gap would compare classes"
    write_report(found, tmp_path, title="t")
    page = html.unescape((tmp_path / "report.html").read_text())
    assert page.count("No level has a balanced accuracy, because each level has only one class") == 1


def test_only_several_models_have_folded_sentences(pages):
    for name, folded in (("one", False), ("three", True)):
        page = html.unescape((pages / name / "report.html").read_text())
        assert ("Detectable gaps, wrong labels and differences between models" in page) == folded
        assert "the gap would be detected with a probability of 80%" in page


@pytest.mark.browser
def test_a_long_model_name_fits_the_page(tmp_path, browser):
    name = "vit_tiny_patch8_" + "lr0.0005" * 9
    found = audit_tables({name: forged_predictions(n=400)}, resamples=50)
    write_report(found, tmp_path, title="t")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    table = page.locator("table.models").first
    assert table.evaluate("one => one.scrollWidth <= one.parentElement.clientWidth")
    page.close()


def test_levels_without_a_gap_have_a_reason():
    table = forged_predictions(n=2000)
    videos = table.frame["video"].drop_duplicates()
    table.frame.loc[table.frame["video"].isin(videos[:8]), "group.race"] = "Few"
    table.frame.loc[table.frame["video"].isin(videos[8:20]), "group.race"] = None
    found = audit_tables({"m": table}, resamples=100).models["m"].tasks["forged"]
    rows = {row.level: row for row in group_table("m", "race", found).rows}
    assert re.fullmatch(r"\d clusters of the rarest class; a difference needs 10", rows["Few"].gap.why)
    assert rows["Few"].more.why == rows["Few"].gap.why
    assert rows["(not stated)"].gap.why == "not included in gaps"
    assert rows["White"].gap.why is rows["White"].more.why is None


def test_whole_numbers_take_no_decimals_in_the_json(pages):
    assert not re.search(r":-?\d+\.0[,}]", (pages / "one" / "report.json").read_text())


@pytest.mark.browser
@pytest.mark.parametrize(("width", "is_open"), [(1280, True), (375, False)])
def test_sections_begin_closed_on_narrow_screens_only(pages, browser, width, is_open):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((pages / "three" / "report.html").as_uri())
    sections = page.locator("section > details.wide")
    assert sections.count() > 0
    assert {sections.nth(place).evaluate("one => one.open") for place in range(sections.count())} == {is_open}
    page.emulate_media(media="print")
    assert sections.first.evaluate("one => one.getBoundingClientRect().height") > 100
    page.close()
