"""The page in a browser. Screenshots are written to runs/screenshots for inspection."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
playwright = pytest.importorskip("playwright.sync_api")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "runs" / "screenshots"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
phone = pytest.mark.parametrize("page", [(375, 800, "light")], indirect=True, ids=str)


@pytest.fixture(scope="module")
def address(model_folder):
    command = [sys.executable, "-m", "auxface", "serve", str(model_folder), "--port", "0"]
    command += ["--max-megabytes", "0.5", "--max-megapixels", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    yield server.stdout.readline().split()[-1]
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as play:
        made = play.chromium.launch(executable_path=found, args=[*FLAGS, *CAMERA])
        yield made
        made.close()


@pytest.fixture(params=[(1280, 900, "light"), (1280, 900, "dark"), (375, 800, "light"), (375, 800, "dark")], ids=str)
def page(browser, address, request):
    width, height, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#samples li:nth-child(6) button:not([disabled])", timeout=60_000)
    page.screenshot_as = lambda name: save_screenshot(page, f"{name}-{width}-{scheme}")
    yield page
    assert errors == []
    page.close()


def save_screenshot(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def upload(page, name, data, kind):
    page.set_input_files("#file", files=[{"name": name, "mimeType": kind, "buffer": data}])


def test_image_is_predicted_and_explained_in_the_window(page, face):
    page.screenshot_as("start")
    upload(page, "face.png", face, "image/png")
    page.wait_for_selector("#views button:nth-child(6)", timeout=30_000)
    assert page.locator("#status").inner_text() == "One face found."
    assert page.locator(".task").count() == 2
    assert page.locator(".box").count() == 1
    assert "not proof" in page.locator("#meaning").inner_text()
    page.screenshot_as("result")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= page.viewport_size["width"]


def test_slider_moves_through_the_views_by_keyboard(page, face):
    upload(page, "face.png", face, "image/png")
    page.wait_for_selector("#views button:nth-child(6)", timeout=30_000)
    slider = page.locator("#slider")
    slider.focus()
    titles = [page.locator("#layer-title").inner_text()]
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        titles.append(page.locator("#layer-title").inner_text())
    assert titles == [
        "Face crop",
        "Attention",
        "Gradients",
        "Texture",
        "Reconstructed texture",
        "Texture reconstruction error",
    ]
    assert slider.get_attribute("aria-valuetext").startswith("Texture reconstruction error.")
    opacities = page.eval_on_selector_all("#layers img", "all => all.map(one => getComputedStyle(one).opacity)")
    assert set(opacities) == {"1"}
    page.screenshot_as("slider")


def test_sample_is_predicted_by_one_key_press(page):
    page.locator("#samples li:nth-child(3) button").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#views button", timeout=30_000)
    assert page.locator("#samples button[aria-pressed=true]").count() == 1


def test_error_is_shown_and_the_page_keeps_working(page, face):
    upload(page, "notes.txt", b"just words, no image", "text/plain")
    alert = page.locator("#alert")
    alert.wait_for(state="visible")
    assert alert.inner_text().startswith("Not an image")
    assert page.locator("#result").is_hidden()
    page.screenshot_as("error")
    upload(page, "large.png", b"\0" * 2**20, "image/png")
    page.wait_for_function("document.getElementById('alert').textContent.includes('larger than')")
    upload(page, "face.png", face, "image/png")
    page.wait_for_selector(".task", timeout=30_000)
    assert alert.is_hidden()


def test_video_is_shown_over_time(page, clip):
    upload(page, "clip.mp4", clip, "video/mp4")
    page.wait_for_selector("#chart svg path", timeout=30_000)
    assert page.locator("#viewer video").count() == 1
    assert "Whole video" in page.locator("#faces").inner_text()
    video, stage = (page.locator(name).bounding_box() for name in ("#viewer video", "#viewer"))
    assert video == pytest.approx(stage, abs=1)
    page.locator("#faces button:nth-child(2)").click()
    assert page.locator(".task").count() == 2
    page.screenshot_as("video")


@phone
def test_camera_takes_a_photo(page):
    page.locator("#camera").click()
    page.wait_for_selector("#camera-shutter:not([disabled])", timeout=30_000)
    assert page.evaluate("document.getElementById('camera-video').videoWidth") > 0
    page.screenshot_as("camera")
    page.locator("#camera-shutter").click()
    page.wait_for_selector(".task", timeout=30_000)
    assert page.locator("#camera-dialog").is_hidden()
    # The camera is switched off.
    assert page.evaluate("document.getElementById('camera-video').srcObject") is None


TRANSFER = """([bytes, kind]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], "face.png", {type: "image/png"}));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
        : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
    document.getElementById("drop").dispatchEvent(event);
}"""


@phone
@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_image_can_be_pasted_and_dropped(page, face, kind):
    if kind == "drop":
        page.evaluate(TRANSFER, [list(face), "dragenter"])
        assert "dragging" in page.locator("#drop").get_attribute("class")
        page.screenshot_as("drop")
    page.evaluate(TRANSFER, [list(face), kind])
    page.wait_for_selector(".task", timeout=30_000)
    assert page.locator("#status").inner_text() == "One face found."
    assert "dragging" not in page.locator("#drop").get_attribute("class")


@phone
def test_dropping_something_else_shows_an_error(page):
    page.evaluate(
        "document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: new DataTransfer(), "
        "bubbles: true, cancelable: true}))"
    )
    page.locator("#alert").wait_for(state="visible")
    assert "not a file" in page.locator("#alert").inner_text()


def test_model_card_is_linked(page):
    page.get_by_role("link", name="Model card").click()
    page.wait_for_url("**/card")
    assert page.locator("h1").inner_text() == "little"
    page.screenshot_as("card")
    page.get_by_role("link", name="Back to the model").click()
    page.wait_for_selector("#drop")


def test_every_control_has_an_accessible_name(page, face):
    upload(page, "face.png", face, "image/png")
    page.wait_for_selector("#views button", timeout=30_000)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, img")]
            .filter((one) => one.offsetParent !== null && !one.closest("#layers"))
            .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.alt || one.labels?.length
                || one.querySelector("img[alt]:not([alt=''])") || one.getAttribute("alt") === ""))
            .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
