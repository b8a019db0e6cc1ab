"""`batchinfer compare` by the command line, and its page in a real browser."""

import csv
import json
import os
import shutil
import signal

import anyio
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, start, until
from support.records import failed, reply
from support.report_runs import detection, item, made, photograph

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
COUNT = 40


def test_a_run_that_was_killed_is_the_same_as_one_that_was_not(tmp_path):
    photos = images(tmp_path / "photos", COUNT)
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=0.1)) as service:
        toml = config(tmp_path / "c.toml", service, 'concurrency = "2"')
        batchinfer("run", photos, "-c", toml, "-o", tmp_path / "a", "-q")
        process = start("run", photos, "-c", toml, "-o", tmp_path / "b", "-q")
        until(tmp_path / "b", lambda counts: counts.succeeded >= COUNT // 4, process)
        half = json.loads(batchinfer("compare", tmp_path / "a", tmp_path / "b", "--json").stdout)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        batchinfer("resume", tmp_path / "b", "-c", toml, "-q")

    assert half["items"]["same"] >= COUNT // 4
    assert half["items"]["changed"] == half["items"]["appeared"] == 0
    done = batchinfer(
        "compare", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "t.csv", cwd=tmp_path
    )
    assert f"Of {COUNT} items that both runs have: {COUNT} the same, 0 changed." in done.stdout
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert [row["change"] for row in csv.DictReader(file)] == ["same"] * COUNT
    told = json.loads(batchinfer("compare", tmp_path / "a", tmp_path / "b", "--json").stdout)
    assert told["items"]["same"] == COUNT
    assert told["inputs_changed"] == 0
    assert "127.0.0.1" in told["a"]["service"]


def test_mistakes_are_messages(tmp_path):
    anyio.run(made, tmp_path / "a", [item("x", "/x.jpg")], [reply(1)])

    said = batchinfer("compare", tmp_path / "a", tmp_path / "none", code=3).stderr
    assert "none" in said
    assert "Traceback" not in said
    said = batchinfer("compare", tmp_path / "a", tmp_path / "a", "-o", "x.pdf", code=2).stderr
    assert "use .html for a page, or .csv for a table" in said
    batchinfer("compare", tmp_path / "a", tmp_path / "a", "--iou", "2", code=2)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Two runs of 30: moved, lost and renamed boxes, classes, texts, failures, hostile texts."""
    folder = tmp_path_factory.mktemp("compare")
    photos = [
        photograph(folder / "photos" / f"{n}.jpg", (480, 320), (60, 40 * n, 80)) for n in range(4)
    ]
    keys = [f"site/{number:02}.jpg" for number in range(1, 31)]
    keys[4] = HOSTILE
    results = {"a": [], "b": []}
    for number in range(1, 31):
        cat = [detection("cat", 0.9), detection("bird", 0.5, (200, 40, 260, 100))]
        results["a"].append(reply(number, prediction=cat))
        match number % 5:
            case 0:
                other = reply(number, prediction=[detection("dog", 0.6), cat[1]])
            case 1:
                other = failed(number, message=HOSTILE)
            case 2:
                other = reply(number, prediction=cat[:1])
            case 3:
                other = reply(
                    number, prediction=[detection("cat", 0.9, (20, 30, 120, 130)), cat[1]]
                )
            case _:
                other = reply(number, prediction=cat)
        results["b"].append(other)
    for name, records in results.items():
        items = [item(key, photos[place % 4]) for place, key in enumerate(keys)]
        anyio.run(made, folder / name, items, records)
    batchinfer("compare", folder / "a", folder / "b", "-o", folder / "c.html", "--title", HOSTILE)
    return folder / "c.html"


@pytest.fixture
def page(page_file):
    if not BROWSER and not os.environ.get("CI"):
        pytest.skip("no Chromium here: the page is not tried in a browser")
    said, asked = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        opened = browser.new_page(viewport={"width": 1300, "height": 900})
        opened.set_default_timeout(10_000)
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(page_file.as_uri())
        opened.wait_for_selector(".pair")
        yield opened
        browser.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {page_file.as_uri()}


def keys_on(page):
    return page.locator(".pair h3 bdi").all_inner_texts()


def test_both_are_drawn_side_by_side_the_worst_first(page):
    assert page.locator("#told").inner_text() == "24 items"
    assert page.locator(".pair").first.locator(".change").inner_text() == "newly failed"
    page.select_option("#f-change", "changed")
    assert page.locator("#told").inner_text() == "18 items"
    first = page.locator(".pair", has=page.get_by_text("cat → dog")).first
    first.scroll_into_view_if_needed()
    for side, label in ((0, "cat 0.90"), (1, "dog 0.60")):
        figure = first.locator("figure").nth(side)
        figure.locator("rect.box").first.wait_for()
        assert figure.locator("rect.box").count() == 2
        assert figure.locator("text.tag").first.inner_html() == label
    page.locator("#f-text").fill("only in A")
    assert page.locator("#told").inner_text() == "6 items"
    page.locator("g.alone rect.box").first.wait_for()
    assert page.locator("figure:first-child g.alone rect.box").count() == 6
    assert page.locator("figure:last-child g.alone rect.box").count() == 0


def test_it_is_paged_and_filtered(page):
    shown = keys_on(page)
    assert len(shown) == 12
    page.get_by_role("button", name="Next", exact=True).click()
    assert not set(keys_on(page)) & set(shown)
    page.locator("#f-text").fill("nothing like it")
    assert "No item fits" in page.locator("#told").inner_text()
    page.get_by_role("button", name="Reset").click()
    assert keys_on(page) == shown


def test_everybody_can_read_it(page):
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:150] for node in each["nodes"]]) for each in found] == []
