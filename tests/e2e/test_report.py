"""The report in a real browser: what a person does with it, and what hostile texts cannot do."""

import json
import os
import re
import shutil

import anyio
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from support.cli import batchinfer
from support.records import failed, reply
from support.report_runs import T0, detection, item, made, photograph, report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

if not BROWSER and not os.environ.get("CI"):
    pytest.skip("no Chromium here: the report is not tried in a browser", allow_module_level=True)


FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\u202etxt.exe\n\x1b[31m'
COUNT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def page_file(folder):
    """A run of 60: cats and dogs, nothing, failures, and two that are hostile."""
    photos = [
        photograph(
            folder / "photos" / f"{place}.jpg", (480, 300 + place * 40), (30 * place, 90, 60)
        )
        for place in range(5)
    ]
    keys = [f"site/{place:03}.jpg" for place in range(1, COUNT + 1)]
    keys[20] = HOSTILE
    items = [item(key, photos[place % 5]) for place, key in enumerate(keys)]
    records = []
    for place in range(1, COUNT + 1):
        at, seconds = T0 + place, place / 10
        match place % 6:
            case 0:
                code = "timeout" if place == COUNT else "model_error"
                records.append(failed(place, at=at, code=code, message=HOSTILE, log=HOSTILE))
            case 1:
                records.append(reply(place, at=at, seconds=seconds, prediction=[]))
            case 2:
                found = [detection("dog", 0.9), detection("cat", 0.4)]
                records.append(reply(place, at=at, seconds=seconds, prediction=found))
            case 3:
                found = [detection(HOSTILE, 0.7), detection("L" * 1_000_000, 0.6)]
                records.append(
                    reply(place, at=at, prediction=found if place == 21 else "text", log=HOSTILE)
                )
            case _:
                found = [detection("cat", round(place / 100 + 0.3, 2))]
                records.append(
                    reply(place, at=at, seconds=seconds, prediction=found, server_seconds=0.05)
                )
    anyio.run(made, folder / "run", items, records)
    return report(folder / "run", folder / "report.html", title=f"Cats {HOSTILE}").path


@pytest.fixture(scope="module")
def browser(page_file):  # the run is made first: the driver has a loop of its own
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser, page_file):
    """Opens the page; in the end nothing was said, asked of the network, or popped up."""
    contexts, said, asked = [], [], []

    def opened(hash="", *, width=1400, scheme="light", path=page_file):
        context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + hash)
        page.wait_for_selector(".card")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} <= {
        page_file.as_uri()
    }


def keys(page):
    return page.locator(".card").evaluate_all("cards => cards.map(card => +card.dataset.item)")


def address(page):
    """The place in the page, as the page has it: the driver hears of it a moment later."""
    return page.evaluate("location.hash")


def test_it_is_paged_and_the_address_keeps_the_place(visit):
    page = visit()
    assert keys(page) == list(range(1, 25))
    page.get_by_role("button", name="Next", exact=True).click()

    assert keys(page) == list(range(25, 49))
    assert page.locator("#told").inner_text() == "25 to 48 of 60 items"
    assert "page=2" in address(page)
    page.get_by_role("button", name="Next", exact=True).click()
    assert keys(page) == list(range(49, 61))
    assert page.locator("#after").is_disabled()
    assert keys(visit("#page=2")) == list(range(25, 49))


def test_filters_go_together(visit):
    page = visit()
    page.select_option("#f-label", "dog")
    assert keys(page) == [place for place in range(1, 61) if place % 6 == 2]
    page.locator("#f-score").fill("95")
    assert keys(page) == []
    assert "No item fits" in page.locator("#told").inner_text()
    page.get_by_role("button", name="Reset").click()

    page.select_option("#f-state", "code:model_error")
    assert keys(page) == [place for place in range(1, 60) if place % 6 == 0]
    page.get_by_role("button", name="Reset").click()
    page.locator("#f-text").fill("SITE/01 cat")
    page.wait_for_url("**#*q=*")
    assert keys(page) == [10, 11, 14, 16, 17]
    page.select_option("#f-sort", "score")
    assert keys(page)[:1] == [14]
    again = visit(address(page))
    assert keys(again) == keys(page)
    assert again.locator("#f-text").input_value() == "SITE/01 cat"


def test_a_score_also_hides_weaker_boxes(visit):
    page = visit("#label=dog")
    boxes = page.locator(".card").first.locator("rect.box")
    boxes.first.wait_for()
    assert boxes.count() == 2
    page.locator("#f-score").fill("60")
    page.locator(".card rect.box").first.wait_for()
    assert boxes.count() == 1


def test_a_box_stands_where_the_model_saw_it(visit):
    page = visit("#item=2")
    page.locator("dialog rect.box").first.wait_for()
    image = page.locator("dialog .frame img").bounding_box()
    box = page.locator("dialog rect.box").first.bounding_box()
    size = (480, 340)

    scale = min(image["width"] / size[0], image["height"] / size[1])
    left = image["x"] + (image["width"] - size[0] * scale) / 2
    assert box["x"] == pytest.approx(left + 10 * scale, abs=3)
    assert box["y"] == pytest.approx(image["y"] + 20 * scale, abs=3)
    assert box["width"] == pytest.approx(100 * scale, abs=5)


def test_it_is_worked_by_keys_alone(visit):
    page = visit()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "f-text"
    page.keyboard.type("dog")
    page.wait_for_url("**#*q=dog*")
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#d-title").inner_text() == "site/002.jpg"
    page.keyboard.press("ArrowRight")
    assert page.locator("#d-title").inner_text() == "site/008.jpg"
    assert "item=8" in address(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#d-title").inner_text() == "site/002.jpg"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("document.activeElement.dataset.item") == "2"
    page.wait_for_url(lambda url: "item" not in url)


def test_the_detail_tells_all(visit, folder):
    page = visit("#item=6")
    body = page.locator("#d-body")
    assert "failed" in body.inner_text()
    assert "model_error" in body.inner_text()
    assert "<script>alert(1)</script>" in body.inner_text()
    assert "\\u202e" in body.inner_text()
    line = f"batchinfer show {folder / 'run'} site/006.jpg"
    assert body.locator(".command code").inner_text() == line
    body.get_by_role("button", name="Copy the command").click()
    expect(body.locator(".copy")).to_have_text(re.compile("Copied|Selected"))
    page.keyboard.press("Escape")
    page.goto(page.url.partition("#")[0] + "#item=2")
    page.wait_for_selector("dialog[open]")
    assert '"confidence": 0.9' in page.locator("#d-body pre").first.inner_text()


def test_hostile_names_labels_and_logs_are_only_text(visit):
    page = visit("#item=21")
    assert "<script>alert(1)</script>" in page.locator("#d-title").inner_text()
    assert page.locator("dialog .found li").count() == 2
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("document.scripts.length") == 4
    page.keyboard.press("Escape")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1400


def test_failures_lead_to_their_items(visit, folder):
    page = visit()
    assert page.locator("#failures .what .count").all_inner_texts() == ["9", "1"]
    assert page.locator("#failures .command code").first.inner_text() == (
        f"batchinfer retry {folder / 'run'} --code model_error"
    )
    page.get_by_role("button", name="timeout").click()
    assert keys(page) == [60]
    page.locator("#slowest, .slowest").get_by_role("button").first.click()
    assert page.locator("#d-title").inner_text() == "site/059.jpg"


def test_a_class_in_the_chart_filters_the_gallery(visit):
    page = visit()
    page.locator(".ranks .rank").first.click()
    assert page.locator("#f-label").input_value() == "cat"
    assert len(keys(page)) == 24


def test_light_and_dark(visit):
    background = "getComputedStyle(document.body).backgroundColor"
    page = visit()
    light = page.evaluate(background)
    page.get_by_role("button", name="Dark colours").click()
    dark = page.evaluate(background)

    assert dark != light
    assert visit(scheme="dark").evaluate(background) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_everybody_can_use_it(visit, width, scheme):
    page = visit(width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for each in ("", "#item=2", "#item=6"):
        page.goto(page.url.partition("#")[0] + each)
        told = Axe().run(page).response
        grave = [one for one in told["violations"] if one["impact"] in {"serious", "critical"}]
        assert len(told["passes"]) > 10
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in grave] == []


def test_the_command_line(folder, page_file):
    done = batchinfer("report", folder / "run", code=0)
    assert "Report of 60 items, " in done.stderr
    assert (folder / "run" / "report.html").exists()
    done = batchinfer("report", folder / "run", "-o", folder / "b.html", "--json", code=0)
    told = json.loads(done.stdout)
    assert (told["items"], told["shown"]) == (60, 60)
    assert told["bytes"] == (folder / "b.html").stat().st_size
    assert "holds no run" in batchinfer("report", folder / "none", code=3).stderr
    wrong = batchinfer("report", folder / "run", "-o", folder / "no" / "b.html", code=2)
    assert "does not exist: create it first" in wrong.stderr
