"""The crate as its consumers see it: read with `rocrate`, and as the graph it is."""

import csv
import hashlib
import json
import os
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote_to_bytes

import anyio
import pytest
from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from batchinfer import __version__, api
from batchinfer.domain import (
    Attempt,
    Failure,
    InputFile,
    Item,
    Mode,
    Record,
    Reply,
    ResultDetails,
    RunInfo,
    SentFile,
    State,
)
from batchinfer.exports import write_export
from batchinfer.protocols.ai4os.help_parser import parse_help
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.books import HOSTILE, book, failed, pending, result
from support.gallery import ODD, PNG
from support.paths import FIXTURES

HELP = (FIXTURES / "sync_2.6.0_help.body").read_text(encoding="utf-8")
SECRET = "s3cr3t"
PARAMS = {"imgsz": 640, "threshold": 0.25, "flag": True, "text": "=1+1", "classes": ["bear", None]}
INFO = RunInfo(
    "run7",
    1_700_000_000.125,
    Mode.SYNC,
    {
        "service": {
            "endpoint": f"https://me:{SECRET}@inference.example.org:8443/run/wildlife?t={SECRET}",
            "token": "${OSCAR_TOKEN}",
        },
        "params": PARAMS,
        "run": {"mode": "sync"},
    },
    ("/data",),
)
ELSEWHERE = ("conformsTo", "actionStatus")
"""Properties that refer to what the whole web knows."""


def sound(folder):
    """The graph by id, once everything has been checked that holds for each crate."""
    text = (folder / "ro-crate-metadata.json").read_text(encoding="utf-8")
    metadata = json.loads(text, parse_constant=pytest.fail)
    graph = {entity["@id"]: entity for entity in metadata["@graph"]}
    assert len(graph) == len(metadata["@graph"])
    for entity in graph.values():
        for name, values in entity.items():
            assert values not in (None, [])
            many = values if isinstance(values, list) else [values]
            assert len(many) != 1 or not isinstance(values, list)  # compacted
            for value in many:
                assert isinstance(value, (str, int, float)) or list(value) == ["@id"]
                if isinstance(value, dict) and name not in ELSEWHERE:
                    assert value["@id"] in graph
    files = {name: each for name, each in graph.items() if each["@type"] == "File"}
    assert ids(graph["./"]["hasPart"]) == list(files)
    local = {name for name in files if not name.startswith("file://")}
    assert local | {"ro-crate-metadata.json"} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    for name in local:
        content = (folder / name).read_bytes()
        assert files[name]["contentSize"] == str(len(content))
        assert files[name]["sha256"] == hashlib.sha256(content).hexdigest()
    return graph


def ids(references):
    many = references if isinstance(references, list) else [references]
    return [each["@id"] for each in many]


def inputs(graph):
    return [entity for name, entity in graph.items() if name.startswith("file://")]


def path_of(entity):
    """The bytes that a `file://` address stands for."""
    return unquote_to_bytes(entity["@id"].removeprefix("file://").partition("#")[0])


def rows(folder):
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


def made(folder, a_book, *, count):
    """The graph of a crate of `a_book`."""
    assert write_export(a_book, folder, "ro-crate") == count
    ROCrate(folder)
    return sound(folder)


def digest(param, content):
    return SentFile(param, len(content), hashlib.sha256(content).hexdigest())


async def write_run(folder):
    """A run over real files, some of them shared, one of them changed on the way."""
    contents = {
        "bär 1.jpg": b"a bear",
        os.fsdecode(b"odd\xff%41.PNG"): b"an odd one",
        "failed.tif": b"not even wrong",
        "pending": b"",
        "left.jpg": b"left",
        "right.jpg": b"right",
        "mask.webp": b"mask",
    }
    places = [folder / name for name in contents]
    for place, content in zip(places, contents.values(), strict=True):
        place.write_bytes(content)
    bear, odd, broken, waiting, left, right, mask = map(str, places)

    def file(param, path):
        return InputFile(param, path, os.stat(path).st_size, 1)  # noqa: PTH116

    items = [
        Item("site 1/bär.jpg", (file("image", bear),), {"threshold": 0.5}),
        Item(r"odd\xff%41.PNG", (file("image", odd),)),
        Item("failed.tif", (file("image", broken),)),
        Item("left", (file("image", left), file("mask", mask))),
        Item("right", (file("image", right), file("mask", mask))),
        Item("bear, changed", (InputFile("image", bear),)),
        Item("text only", (), {"prompt": "a bear"}),
        Item("pending", (file("image", waiting),)),
    ]
    outcomes = [
        Reply(prediction=["bear"], inputs=(digest("image", b"a bear"),)),
        Reply("image/png", data=PNG, inputs=(digest("image", b"an odd one"),)),
        Failure("model_error", "No.", inputs=(digest("image", b"not even wrong"),)),
        Reply(prediction=1, inputs=(digest("image", b"left"), digest("mask", b"mask"))),
        Reply(prediction=2, inputs=(digest("image", b"right"), digest("mask", b"mask"))),
        Reply(prediction=3, inputs=(digest("image", b"another bear"),)),
        Reply(prediction=4),
    ]
    records = [
        Record(
            position,
            Attempt(1, 1_700_000_000.0 + 10 * position, 0.5, outcome),
            State.SUCCEEDED if isinstance(outcome, Reply) else State.FAILED,
        )
        for position, outcome in enumerate(outcomes, 1)
    ]
    async with SqliteStore.create(folder / "run", INFO) as store:
        await store.add(items)
        await store.save_model_help(HELP)
        await store.commit_records(records)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A run, its crate, the crate as rocrate has it, and its graph."""
    folder = tmp_path_factory.mktemp("study")
    anyio.run(write_run, folder)
    crate, notices = folder / "crate", []
    assert api.export(folder / "run", crate, format="ro-crate", notice=notices.append) == 8
    assert notices == []
    with RunReader(folder / "run") as reader:
        results = list(reader.iter_results())
    return SimpleNamespace(
        source=folder, run=folder / "run", folder=crate, results=results, crate=ROCrate(crate)
    )


def found(study, address):
    entity = study.crate.dereference(address)
    assert entity is not None
    return entity


def test_it_is_a_crate_of_version_1_1(study):
    sound(study.folder)
    assert study.crate.version == "1.1"
    assert study.crate.root_dataset.id == "./"
    metadata = json.loads((study.folder / "ro-crate-metadata.json").read_bytes())
    assert metadata["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        {"sha256": "http://schema.org/sha256"},
    ]


def test_an_input_is_described_by_what_was_sent_of_it(study):
    place = study.source / "bär 1.jpg"
    entity = found(study, place.as_uri())
    assert entity["name"] == "site 1/bär.jpg"
    assert entity["contentSize"] == str(place.stat().st_size)
    assert entity["sha256"] == hashlib.sha256(place.read_bytes()).hexdigest()
    assert entity["encodingFormat"] == "image/jpeg"
    assert entity["sdDatePublished"] == study.results[0].started_at == "2023-11-14T22:13:30.000Z"


def test_the_address_of_a_name_that_is_not_utf_8_leads_to_the_file(study):
    (entity,) = [each for each in study.crate.data_entities if "%FF" in each.id]
    assert entity.id.endswith("/odd%FF%2541.PNG")
    path = unquote_to_bytes(entity.id.removeprefix("file://"))
    assert entity["sha256"] == hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
    assert (entity["name"], entity["encodingFormat"]) == (r"odd\xff%41.PNG", "image/png")


def test_what_was_not_sent_has_no_digest(study):
    entity = found(study, (study.source / "pending").as_uri())
    assert (entity["name"], entity["contentSize"]) == ("pending", "0")
    assert {"sha256", "sdDatePublished", "encodingFormat"}.isdisjoint(entity.properties())


def test_a_file_that_items_share_is_one_entity_which_says_as_what_it_was_sent(study):
    entity = found(study, (study.source / "mask.webp").as_uri())
    assert (entity["name"], entity["description"]) == ("left", "Sent as the parameter mask")
    assert entity["sha256"] == hashlib.sha256(b"mask").hexdigest()
    assert len(inputs(sound(study.folder))) == 8  # seven files, and one of them changed


def test_a_file_that_changed_between_two_items_is_two_entities(study):
    sent = hashlib.sha256(b"another bear").hexdigest()
    entity = found(study, f"{(study.source / 'bär 1.jpg').as_uri()}#sha256={sent}")
    assert (entity["name"], entity["sha256"], entity["contentSize"]) == (
        "bear, changed",
        sent,
        "12",
    )


def test_the_action_has_the_inputs_the_results_the_tools_and_the_times(study):
    graph = sound(study.folder)
    (action,) = [each for each in graph.values() if each["@type"] == "CreateAction"]
    assert study.crate.root_dataset["mentions"].id == action["@id"]
    given = [f"#parameter-{number}" for number in range(1, 6)]
    assert ids(action["object"]) == [*(each["@id"] for each in inputs(graph)), *given]
    assert ids(action["result"]) == ["outputs/2-1.png", "results.jsonl", "results.csv"]
    assert ids(action["instrument"]) == ["#service", "#batchinfer"]
    assert action["startTime"] == "2023-11-14T22:13:20.125Z"
    assert "agent" not in action  # nobody said who


def test_a_run_with_items_that_are_pending_has_not_ended(study):
    action = found(study, "#run-run7")
    assert action["actionStatus"] == "http://schema.org/ActiveActionStatus"
    assert "endTime" not in action.properties()
    assert action["description"].startswith("Items: 1 pending, 6 succeeded, 1 failed.")
    latest = max(one.finished_at for one in study.results if one.finished_at)
    assert study.crate.root_dataset["datePublished"] == latest


@pytest.mark.parametrize(
    ("which", "status", "error"),
    [
        ("succeeded", "Completed", None),
        ("failed", "Failed", "No item has a prediction; results.csv says why."),
    ],
)
def test_an_action_tells_of_the_items_in_the_crate(study, tmp_path, which, status, error):
    api.export(study.run, tmp_path / "crate", format="ro-crate", which=which)
    action = sound(tmp_path / "crate")["#run-run7"]
    assert action["actionStatus"] == {"@id": f"http://schema.org/{status}ActionStatus"}
    assert action.get("error") == error
    ended = [one.finished_at for one in study.results if one.state == which]
    assert action["endTime"] == max(ended)
    assert [row["state"] for row in rows(tmp_path / "crate")] == [which] * len(ended)


def test_the_run_s_parameters_are_values(study):
    entities = [found(study, f"#parameter-{number}") for number in range(1, 6)]
    assert all(isinstance(each, ContextEntity) for each in entities)
    told = {each["name"]: each["value"] for each in entities}
    assert told == {**PARAMS, "classes": '["bear",null]'}
    assert told["flag"] is True


def test_the_rows_are_those_of_the_other_exports(study):
    for name in ("results.jsonl", "results.csv"):
        api.export(study.run, study.source / name)
        assert (study.folder / name).read_bytes() == (study.source / name).read_bytes()
    assert [(row["key"], row["state"]) for row in rows(study.folder)] == [
        (one.key, one.state) for one in study.results
    ]
    assert lines(study.folder)[0]["params"] == {"threshold": 0.5}


def test_a_prediction_that_is_a_file_lies_where_its_row_says(study):
    name = lines(study.folder)[1]["prediction"]
    assert (study.folder / name).read_bytes() == PNG
    entity = found(study, name)
    assert (entity["name"], entity["encodingFormat"]) == (r"odd\xff%41.PNG", "image/png")
    assert entity["isBasedOn"].id.endswith("/odd%FF%2541.PNG")


def test_service_deepaas_and_batchinfer_are_told_with_their_versions(study):
    service = found(study, "#service")
    assert (service["name"], service["url"]) == ("wildlife", "https://inference.example.org:8443")
    assert service["softwareRequirements"]["name"] == "DEEPaaS"
    assert service["softwareRequirements"]["version"] == "2.6.0"
    assert found(study, "#batchinfer")["version"] == __version__


def test_the_model_s_schema_is_in_the_crate_as_text_and_as_data(study):
    told = [each.id for each in found(study, "#service")["softwareHelp"]]
    assert told == ["model-help.txt", "model-parameters.json"]
    assert (study.folder / told[0]).read_text(encoding="utf-8") == HELP
    expected = [parameter.as_json() for parameter in parse_help(HELP).parameters]
    assert json.loads((study.folder / told[1]).read_bytes()) == expected
    assert expected[0]["name"] == "mode"


def test_no_licence_and_no_author_is_invented(study):
    root = study.crate.root_dataset
    assert root["license"].startswith("Not stated.")
    assert {"author", "creator", "publisher"}.isdisjoint(root.properties())


def test_no_secret_is_anywhere_in_it(study):
    for path in study.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()
            assert b"OSCAR_TOKEN" not in path.read_bytes()


@pytest.mark.parametrize(
    ("endpoint", "url", "name"),
    [
        ("https://host.org/run/bears", "https://host.org", "bears"),
        ("http://[::1]:80/run/bears/", "http://[::1]:80", "bears"),
        (f"https://me:{SECRET}@host.org", "https://host.org", None),
        (f"https://me:{SECRET}/@host.org/run/bears", None, None),
        (f"https://me:12/{SECRET}@host.org/run/bears", None, None),
        (f"https://host.org/run/bears?token={SECRET}#{SECRET}", "https://host.org", "bears"),
        (f"{SECRET}:{SECRET}@host.org/bears", None, None),
        (f"https://{SECRET}:{SECRET}", None, None),
        ("${ENDPOINT}", None, None),
        ("https://${HOST}/run/bears", None, None),
        ("", None, None),
    ],
)
def test_an_endpoint_tells_its_host_and_its_name_and_nothing_else(tmp_path, endpoint, url, name):
    info = replace(INFO, config={"service": {"endpoint": endpoint}})
    service = made(tmp_path / "crate", replace(book([]), info=info), count=0)["#service"]
    assert service.get("url") == url
    assert service["name"] == (name or "The model of the run run7")
    assert SECRET not in (tmp_path / "crate" / "ro-crate-metadata.json").read_text(encoding="utf-8")


def test_in_async_mode_the_bucket_names_the_service(tmp_path):
    bucket = {"endpoint": f"https://me:{SECRET}@minio.example.org", "name": "wildlife"}
    info = replace(INFO, mode=Mode.ASYNC, config={"bucket": bucket})
    service = made(tmp_path / "crate", replace(book([]), info=info), count=0)["#service"]
    assert service["name"] == "wildlife"
    assert service["description"].endswith(
        "reached through the bucket wildlife at minio.example.org"
    )
    assert "url" not in service


def test_a_run_without_items_is_a_crate_all_the_same(tmp_path):
    async def create():
        async with SqliteStore.create(tmp_path / "run", INFO):
            pass

    anyio.run(create)
    assert api.export(tmp_path / "run", tmp_path / "crate", format="ro-crate") == 0
    graph = sound(tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    assert crate.root_dataset["datePublished"] == "2023-11-14T22:13:20.125Z"
    assert {each.id for each in crate.data_entities} == {"results.jsonl", "results.csv"}
    action = graph["#run-run7"]
    assert action["actionStatus"] == {"@id": "http://schema.org/PotentialActionStatus"}
    assert action["description"].startswith("Items: none.")
    assert rows(tmp_path / "crate") == lines(tmp_path / "crate") == []


def test_a_run_without_anything_given_or_sent_has_no_object(tmp_path):
    graph = made(tmp_path / "crate", book([result(prediction=1), failed()]), count=2)
    assert "object" not in graph["#run-abc"]
    assert graph["#run-abc"]["endTime"] == "2026-11-23T10:00:00.375Z"


def test_a_single_input_is_no_list(tmp_path):
    one = ResultDetails(1, result(), (InputFile("image", "/data/a.jpg"),), 1, "", None)
    graph = made(tmp_path / "crate", replace(book([]), iter_details=lambda: iter([one])), count=1)
    assert graph["#run-abc"]["object"] == {"@id": "file:///data/a.jpg"}
    assert "contentSize" not in graph["file:///data/a.jpg"]


def test_a_file_that_was_sent_only_for_a_later_item_has_its_digest(tmp_path):
    files = (InputFile("image", "/data/a.jpg", 10),)
    sent = {"image": "0" * 64}
    dossiers = [
        ResultDetails(1, pending(), files, 0, "", None),
        ResultDetails(2, result("later"), files, 1, "", None, sent),
        ResultDetails(3, pending("latest"), files, 0, "", None),
    ]
    graph = made(
        tmp_path / "crate", replace(book([]), iter_details=lambda: iter(dossiers)), count=3
    )
    (entity,) = inputs(graph)
    assert (entity["name"], entity["sha256"]) == ("later", "0" * 64)


def test_hostile_keys_are_only_names_and_kept_apart(hung, tmp_path):
    graph = made(tmp_path / "crate", hung.book(), count=len(hung.keys))
    assert hung.notices == []
    described = inputs(graph)
    assert [entity["name"] for entity in described] == list(hung.keys)
    paths = {entity["name"]: path_of(entity) for entity in described}
    assert paths == {key: os.fsencode(path) for key, path in hung.paths.items()}
    assert paths[ODD].endswith(b"odd\xff.jpg")
    (mask,) = [each for each in graph.values() if each["@id"].startswith("outputs/")]
    assert (mask["name"], (tmp_path / "crate" / mask["@id"]).read_bytes()) == ("mask.png", PNG)
    assert [line["key"] for line in lines(tmp_path / "crate")] == list(hung.keys)


def test_hostile_texts_break_neither_the_graph_nor_the_rows(tmp_path):
    mean = {"state": State.FAILED, "media_type": None, "code": "model_error"}
    dossiers = [
        ResultDetails(
            number,
            result(text, message=text, path=text, params={text: text}, **mean),
            (InputFile(text, f"/data/{number}{text[:99]}"),) * 2,
            1,
            text,
            None,
        )
        for number, text in enumerate(HOSTILE)
    ]
    a_book = replace(
        book([]),
        info=replace(INFO, config={"params": {text: text for text in HOSTILE}}),
        iter_details=lambda: iter(dossiers),
        model_help=f"{HELP}\ud800",
    )
    graph = made(tmp_path / "crate", a_book, count=len(HOSTILE))
    spelled = [text.replace("\ud800", r"\ud800") for text in HOSTILE]
    assert [entity["name"] for entity in inputs(graph)] == spelled
    assert [each["key"] for each in lines(tmp_path / "crate")] == spelled
    values = [each for each in graph.values() if each["@type"] == "PropertyValue"]
    assert [(each["name"], each["value"]) for each in values] == [(text, text) for text in spelled]
    for entity in inputs(graph):
        assert re.fullmatch(r"file:///data/[0-9A-Za-z_.~%/-]+", entity["@id"])
    assert b"\r\n'=1+1,failed," in (tmp_path / "crate" / "results.csv").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["outputs/../secret", "../secret", "secret", "outputs", "outputs/link", "outputs/none", 1],
)
def test_a_prediction_that_is_no_output_of_the_run_is_left_out_and_told(tmp_path, name):
    run, notices = tmp_path / "run", []
    (run / "outputs").mkdir(parents=True)
    (run / "secret").write_text(SECRET, encoding="utf-8")
    (run / "outputs" / "link").symlink_to(run / "secret")
    tampered = book([result("x", name, media_type="image/png")], notices)
    graph = made(tmp_path / "crate", replace(tampered, run_directory=run), count=1)
    assert ids(graph["#run-abc"]["result"]) == ["results.jsonl", "results.csv"]
    assert notices == ["Left out: 1 prediction, its file is not in the run directory (first: 'x')."]


def test_memory_does_not_know_how_many_items_there_are(tmp_path):
    long, sent = "x" * 800, {"image": "0" * 64}

    def peak(count):
        def dossiers():
            for position in range(1, count + 1):
                files = (InputFile("image", f"/{long}/{position}.jpg", 10),)
                yield ResultDetails(position, result(f"{long}{position}"), files, 1, "", None, sent)

        crate = tmp_path / f"crate-{count}"
        tracemalloc.start()
        try:
            write_export(replace(book([]), iter_details=dossiers), crate, "ro-crate")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(inputs(sound(crate))) == count
        return most

    peak(1)  # what is loaded at the first time stays
    assert peak(10_000) < peak(100) + 200_000  # their ids alone are 8 MB


def test_a_crate_of_a_run_that_is_going_on_agrees_with_itself(tmp_path):
    """Each look at the run finds more than the one before."""
    known = [ResultDetails(1, result("0"), (InputFile("image", "/data/0"),), 1, "", None)]

    def dossiers():
        number = len(known) + 1
        files = (InputFile("image", f"/data/{number}"),)
        known.append(ResultDetails(number, result(str(number)), files, 1, "", None))
        yield from list(known)

    graph = made(tmp_path / "crate", replace(book([]), iter_details=dossiers), count=2)
    names = [entity["name"] for entity in inputs(graph)]
    assert names == [row["key"] for row in rows(tmp_path / "crate")]
    assert names == [line["key"] for line in lines(tmp_path / "crate")]
