import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config import (
    CONFIG_TEMPLATE,
    BucketSection,
    Concurrency,
    Config,
    InputSection,
    Percent,
    RunSection,
    Secret,
    ServiceSection,
    find_differences,
    load_config,
    load_stored_config,
    parse_param_argument,
)
from batchinfer.config.sections import SECTIONS, WatchSection
from batchinfer.domain import Mode
from batchinfer.errors import ConfigError

FULL = """
[service]
endpoint = "https://example.eu/run/x"
token = "${OSCAR_TOKEN}"
ca_file = "cluster.pem"
verify = false
[bucket]
endpoint = "https://minio.example.eu"
name = "x"
access_key = "${MINIO_ACCESS_KEY}"
secret_key = "s3cret$$key"
region = "eu-1"
ca_file = "/etc/cluster.pem"
verify = true
[input]
file_param = "image"
glob = "**/*.jpg"
[params]
imgsz = 640
conf = 0.25
classes = ["cat", 3, true]
nested = { a = 1 }
api_key = "${API_KEY}"
[run]
mode = "async"
concurrency = "4-50"
rate = "300/m"
bandwidth = "80Mbit/s"
memory = "1GiB"
max_reply = "8MB"
timeout = "1h30m"
connect_timeout = "5s"
send_timeout = "20s"
first_byte_timeout = "5m"
max_attempts = 3
max_failures = "5%"
cold_start = 60
give_up_after = "2h"
deadline = "3h"
hedge = false
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="c.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def of(write, text, env=None, flags=None):
    return load_config(write(text), env or {}, flags or {})


# --- what is read


def test_every_key_of_the_file_is_read(write):
    path = write(FULL)

    assert load_config(path, {}, {}) == Config(
        service=ServiceSection(
            endpoint="https://example.eu/run/x",
            token=Secret("${OSCAR_TOKEN}"),
            ca_file=str(path.parent / "cluster.pem"),
            verify=False,
        ),
        bucket=BucketSection(
            endpoint="https://minio.example.eu",
            name="x",
            access_key=Secret("${MINIO_ACCESS_KEY}"),
            secret_key=Secret("s3cret$$key"),
            region="eu-1",
            ca_file="/etc/cluster.pem",
        ),
        input=InputSection(file_param="image", glob=("**/*.jpg",)),
        params={
            "imgsz": 640,
            "conf": 0.25,
            "classes": ["cat", 3, True],
            "nested": {"a": 1},
            "api_key": "${API_KEY}",
        },
        run=RunSection(
            mode=Mode.ASYNC,
            concurrency=Concurrency(4, 50),
            rate=5.0,
            bandwidth=10_000_000.0,
            memory=1 << 30,
            max_reply=8_000_000,
            timeout=5400.0,
            connect_timeout=5.0,
            send_timeout=20.0,
            first_byte_timeout=300.0,
            max_attempts=3,
            max_failures=Percent(5.0),
            cold_start=60.0,
            give_up_after=7200.0,
            deadline=10_800.0,
            hedge=False,
        ),
    )


def test_nothing_given_is_the_defaults():
    assert load_config(None, {"PATH": "/bin"}, {"run.mode": None}) == Config()


def test_every_setting_but_params_can_come_from_the_environment():
    sample = {"verify": "false", "mode": "async", "rate": "5/s", "timeout": "90s"}
    sample |= {"concurrency": "4", "max_attempts": "2", "max_failures": "9", "cold_start": "1m"}
    sample |= {"bandwidth": "1MB/s", "memory": "2MB", "connect_timeout": "1s", "hedge": "no"}
    sample |= {"send_timeout": "2s", "first_byte_timeout": "3s"}
    sample |= {"give_up_after": "4s", "deadline": "5s"}
    sample |= {"only": "audio, video", "max_reply": "3MB", "shard": "3/16", "source_format": "coco"}
    sample |= {"stop_after": "3h50m", "grace": "90s", "scratch": "/tmp"}
    sample |= {"on": "dask", "workers": "3", "lease": "6s", "frames": "every=2s"}
    sample |= {"notifications": "off"}
    sample |= {"sample": "7", "seed": "3", "order": "newest", "reuse": "/may"}
    sample |= {"enabled": "true", "settle": "1s", "interval": "2s", "events": "no"}
    sample |= {"again_when_changed": "yes", "until_idle": "10m"}
    env, expected = {}, set()
    for section, keys in SECTIONS.items():
        for each in fields(keys):
            env[f"BATCHINFER_{section}_{each.name}".upper()] = sample.get(each.name, "text")
            expected.add(f"{section}.{each.name}")
    config = load_config(None, env, {})

    assert set(config.origins) == expected
    assert config.run == RunSection(
        mode=Mode.ASYNC,
        concurrency=Concurrency(4, 4),
        rate=5.0,
        service=("text",),
        bandwidth=1_000_000.0,
        memory=2_000_000,
        max_reply=3_000_000,
        timeout=90.0,
        connect_timeout=1.0,
        send_timeout=2.0,
        first_byte_timeout=3.0,
        max_attempts=2,
        max_failures=9,
        cold_start=60.0,
        give_up_after=4.0,
        deadline=5.0,
        hedge=False,
        stop_after=13_800.0,
        grace=90.0,
        scratch="/tmp",
        reuse=("/may",),
    )
    assert config.watch == WatchSection(
        enabled=True,
        settle=1.0,
        interval=2.0,
        events=False,
        again_when_changed=True,
        until_idle=600.0,
    )
    assert (config.input.sample, config.input.seed, config.input.order) == (7, 3, "newest")
    assert config.bucket.verify is False
    assert (config.cluster.on, config.cluster.workers, config.cluster.lease) == ("dask", 3, 6.0)


@pytest.mark.parametrize(
    ("env", "flags", "timeout"),
    [
        ({}, {}, 60.0),
        ({"BATCHINFER_RUN_TIMEOUT": "2m"}, {}, 120.0),
        ({"BATCHINFER_RUN_TIMEOUT": ""}, {}, 60.0),
        ({"BATCHINFER_RUN_TIMEOUT": "2m"}, {"run.timeout": "3m"}, 180.0),
        ({"BATCHINFER_RUN_TIMEOUT": "2m"}, {"run.timeout": None}, 120.0),
    ],
)
def test_flag_wins_over_environment_over_file(write, env, flags, timeout):
    assert of(write, "[run]\ntimeout = '1m'", env, flags).run.timeout == timeout


def test_parameters_are_overruled_one_by_one(write):
    config = of(write, "[params]\na = 1\nb = 2", flags={"params.b": 3, "params.c.d": 4})

    assert config.params == {"a": 1, "b": 3, "c.d": 4}


def test_a_byte_order_mark_and_crlf_do_no_harm(write):
    assert of(write, b"\xef\xbb\xbf[run]\r\nmax_attempts = 3\r\n").run.max_attempts == 3


def test_blanks_around_a_pasted_value_are_dropped(write):
    config = of(write, '[service]\nendpoint = " https://e.eu/run/x\\n"\ntoken = "abc\\n"')

    assert config.service == ServiceSection(endpoint="https://e.eu/run/x", token=Secret("abc"))


def test_a_relative_ca_file_is_relative_to_the_file_that_names_it(write, tmp_path):
    config = of(write, "[service]\nca_file = 'a.pem'\n[bucket]\nca_file = '${DIR}/a.pem'")

    assert config.service.ca_file == str(tmp_path / "a.pem")
    assert config.bucket.ca_file == "${DIR}/a.pem"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", Mode.SYNC),
        ("[service]\nendpoint = 'https://e'", Mode.SYNC),
        ("[service]\nendpoint = 'https://e'\n[bucket]\nname = 'x'", Mode.SYNC),
        ("[bucket]\nname = 'x'", Mode.ASYNC),
        ("[bucket]\nname = 'x'\n[run]\nmode = 'sync'", Mode.SYNC),
    ],
)
def test_the_mode_is_sync_unless_only_a_bucket_is_configured(write, text, mode):
    assert of(write, text).mode is mode


# --- how values are written


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1d", 86_400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1m30s", 90),
        ("90", 90),
        (90, 90),
        (0.25, 0.25),
    ],
)
def test_durations(written, seconds):
    assert load_config(None, {}, {"run.timeout": written}).run.timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "per_second"),
    [("5/s", 5), ("300/m", 5), ("300/min", 5), ("18000/h", 5), ("0.5 / s", 0.5), (5, 5), ("5", 5)],
)
def test_rates(written, per_second):
    assert load_config(None, {}, {"run.rate": written}).run.rate == pytest.approx(per_second)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("256MB", 256_000_000),
        ("256 mb", 256_000_000),
        ("1GiB", 1 << 30),
        ("1.5g", 1_500_000_000),
        ("64KiB", 1 << 16),
        ("2Ti", 2 << 40),
        ("100", 100),
        ("100B", 100),
        (100, 100),
    ],
)
def test_sizes(written, size):
    assert load_config(None, {}, {"run.memory": written}).run.memory == size


@pytest.mark.parametrize(
    ("written", "per_second"),
    [
        ("10MB/s", 10e6),
        (" 10 MB/s ", 10e6),
        ("80Mbit/s", 10e6),
        ("1.5MiB/s", 1.5 * (1 << 20)),
        ("64kbit/s", 8000),
        ("64KB/s", 64e3),
        ("1Gbit/s", 125e6),
        ("500B/s", 500),
        ("800bit/s", 100),
        (500, 500),
        ("500", 500),
        (0.5, 0.5),
    ],
)
def test_bandwidths_in_bytes_and_in_bits(written, per_second):
    assert load_config(None, {}, {"run.bandwidth": written}).run.bandwidth == pytest.approx(
        per_second
    )


@pytest.mark.parametrize(
    ("written", "kept", "meant"),
    [
        ("auto", None, Concurrency()),
        (" AUTO ", None, Concurrency()),
        (8, "8", Concurrency(8, 8)),
        ("8", "8", Concurrency(8, 8)),
        ("8-8", "8", Concurrency(8, 8)),
        ("4-64", "4-64", Concurrency(4, 64)),
        ("4 - 64", "4-64", Concurrency(4, 64)),
    ],
)
def test_a_concurrency_is_kept_as_it_would_be_written(written, kept, meant):
    config = load_config(None, {}, {"run.concurrency": written})
    stored = json.loads(json.dumps(config.to_tables()))

    assert config.run.concurrency == meant
    assert stored["run"].get("concurrency") == kept
    assert load_stored_config(stored, {}, {}).run.concurrency == meant


@given(st.integers(1, 1 << 50), st.floats(1e-3, 1e15))
def test_any_size_and_bandwidth_survives_the_run_directory(size, rate):
    config = load_config(None, {}, {"run.mode": "sync", "run.memory": size, "run.bandwidth": rate})
    stored = json.loads(json.dumps(config.to_tables()))

    assert load_stored_config(stored, {}, {}) == config


@pytest.mark.parametrize(
    ("written", "limit"),
    [(100, 100), ("100", 100), (0, 0), ("5%", Percent(5)), ("2.5 %", Percent(2.5))],
)
def test_failure_limits(written, limit):
    assert load_config(None, {}, {"run.max_failures": written}).run.max_failures == limit


@pytest.mark.parametrize(
    ("setting", "written", "message"),
    [
        ("timeout", "10 minutes", 'a duration above zero such as "90s", "10m" or "1h30m", got'),
        ("timeout", "", "a duration"),
        ("timeout", "30m1h", "a duration"),
        ("timeout", "-5s", "a duration"),
        ("timeout", 0, "got 0"),
        ("timeout", float("inf"), "got inf"),
        ("timeout", True, "got true"),
        ("rate", "5/d", 'a rate above zero such as "5/s" or "300/m", got "5/d"'),
        ("rate", "fast", "a rate"),
        ("rate", 0, "a rate"),
        ("rate", "/s", "a rate"),
        ("max_failures", "-1", "a whole number such as 100, or a share"),
        ("max_failures", "101%", "a share"),
        ("max_failures", "many", "a share"),
        ("max_failures", 1.5, "a share"),
        ("concurrency", 0, 'bounds such as "4-64", got 0'),
        ("concurrency", "eight", '"auto", a whole number from 1'),
        ("concurrency", 2.0, "got 2.0"),
        ("concurrency", "8-4", 'bounds such as "4-64", got "8-4"'),
        ("concurrency", "4-", "bounds such as"),
        ("concurrency", "-4", "bounds such as"),
        ("concurrency", "auto-8", "bounds such as"),
        ("memory", "0", 'a size above zero such as "256MB" or "1GiB", got "0"'),
        ("memory", "0.4B", "a size"),
        ("memory", "-1MB", "a size"),
        ("memory", "lots", "a size"),
        ("memory", 1.5, "a size"),
        ("memory", True, "a size"),
        (
            "bandwidth",
            "10MB",
            'bytes or bits per second such as "10MB/s" or "80Mbit/s", got "10MB"',
        ),
        ("bandwidth", "10Mb/s", "bytes or bits"),
        ("bandwidth", "10/s", "bytes or bits"),
        ("bandwidth", "MB/s", "bytes or bits"),
        ("bandwidth", "0MB/s", "bytes or bits"),
        ("bandwidth", float("nan"), "bytes or bits"),
        ("first_byte_timeout", "never", "a duration"),
        ("hedge", "perhaps", "true or false"),
        ("concurrency", True, "got true"),
        ("concurrency", [1], "got a list"),
        ("max_attempts", {}, "got a table"),
        ("mode", "batch", '"sync" or "async", got "batch"'),
        ("mode", 1, '"sync" or "async"'),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_with_what_was_expected(setting, written, message):
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, {f"run.{setting}": written})

    assert str(caught.value).startswith(f"`{setting}`: expected ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("imgsz=640", "imgsz", 640),
        ("conf=0.25", "conf", 0.25),
        ("half=true", "half", True),
        ("name=cat", "name", "cat"),
        ('name="640"', "name", "640"),
        ("name=007", "name", "007"),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("name= x ", "name", " x "),
        ("classes=[1, 2]", "classes", [1, 2]),
        ("x=NaN", "x", "NaN"),
        ("x=1.10", "x", "1.10"),
        ("x=2024.10", "x", "2024.10"),
        ("x=1e3", "x", "1e3"),
        ("x=12E4", "x", "12E4"),
        ("x=-0", "x", "-0"),
        ("x=-0.50", "x", "-0.50"),
        ("x=-5", "x", -5),
        ("x=-1e5", "x", -100000.0),  # as a text it could not be sent
        ("x=1e-07", "x", 1e-07),
        ("x= 5", "x", " 5"),
        ("x=null", "x", None),
        ("x=1e999", "x", "1e999"),
        ("x=" + "9" * 5000, "x", "9" * 5000),
        ("x=" + "[" * 100_000, "x", "[" * 100_000),
        ("key=${API_KEY}", "key", "${API_KEY}"),
    ],
)
def test_a_param_argument_is_json_where_it_can_be(argument, name, value):
    assert parse_param_argument(argument) == (name, value)


@pytest.mark.parametrize("argument", ["imgsz", "=640", ""])
def test_a_param_argument_without_a_name_is_refused(argument):
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        parse_param_argument(argument)


# --- mistakes, and where they are


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[servce]\nx = 1", "there is no section [servce]. Did you mean [service]?"),
        ("[zzz]\nx = 1", "There are [service], [bucket], [input], [source], [run], [watch], "),
        ("[service]\ntokn = 'x'", '[service] has no key "tokn". Did you mean "token"? It has end'),
        ("[run]\nConcurrency = 1", 'Did you mean "concurrency"?'),
        ("token = 'x'", '"token" stands outside any section; it belongs in [service]'),
        ("verify = true", "it belongs in [service] or [bucket]"),
        ("run = 5", "run is a section: write [run] on its own line"),
        ("[run]\ntimeout = 'x'", "[run] timeout: expected a duration"),
        ("[service]\nendpoint = 5", "[service] endpoint: expected a text in quotes, got 5"),
        ("[service]\nendpoint = ' '", "[service] endpoint: expected a text in quotes"),
        ("[service]\nendpoint = 'https://${A-B}'", '("$$" stands for a dollar sign)'),
        ("[service]\nendpoint = 'https://${A'", "${NAME}"),
        ("[service]\nverify = 'maybe'", '[service] verify: expected true or false, got "maybe"'),
        ("[params]\nwhen = 2026-01-01", "dates and times are written in quotes, got 2026-01-01"),
        ("[params]\na = [1, 12:00:00]", "dates and times are written in quotes, got a list"),
        ("[params]\na = nan", "[params] a: expected a finite number"),
        ("[params]\na = '${'", "[params] a: expected"),
        ("[run\n", "is not valid TOML"),
        ("[run]\nrate = 1\nrate = 2", "is not valid TOML"),
        (b"[params]\na = '\xff'", "is not UTF-8 text"),
        ("x = " + "[" * 100_000, "is not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(write, text, message):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, {})

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"BATCHINFER_SERVICE_TOKE": "x"}, 'Did you mean "BATCHINFER_SERVICE_TOKEN"?'),
        ({"BATCHINFER_TOKEN": "x"}, 'Did you mean "BATCHINFER_SERVICE_TOKEN"?'),
        ({"BATCHINFER_PARAMS_imgsz": "640"}, "use `params` or [params]"),
        ({"BATCHINFER_RUN_RATE": "x"}, "environment: BATCHINFER_RUN_RATE: expected a rate"),
    ],
)
def test_a_mistake_in_the_environment_is_named(env, message):
    with pytest.raises(ConfigError) as caught:
        load_config(None, env, {})

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("run.concurency", 'Did you mean "concurrency"?'),
        ("runs.rate", "Did you mean [run]?"),
        ("rate", "there is no section"),
    ],
)
def test_an_unknown_flag_is_named(flag, message):
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, {flag: 1})

    assert message in str(caught.value)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match=r"batchinfer init .*none\.toml"):
        load_config(tmp_path / "none.toml", {}, {})


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path, {}, {})


@pytest.mark.parametrize("value", ["hunter2${X}", "${hunter2", 5, ["hunter2"], " "])
@pytest.mark.parametrize("key", ["service.token", "bucket.access_key", "bucket.secret_key"])
def test_a_secret_that_is_refused_is_not_shown(key, value):
    with pytest.raises(ConfigError, match="not shown") as caught:
        load_config(None, {}, {key: value})

    assert "hunter2" not in str(caught.value)


def test_no_repr_shows_a_secret(write):
    config = of(write, FULL, flags={"service.token": "hunter2"})

    assert "hunter2" not in repr(config)
    assert "s3cret" not in repr(config)
    assert str(config.service.token) == f"{config.service.token}" == "***"


# --- what a run directory keeps


def test_a_run_keeps_what_was_given_unexpanded_and_no_literal_secret(write, tmp_path):
    assert of(write, FULL).to_tables() == {
        "service": {
            "endpoint": "https://example.eu/run/x",
            "token": "${OSCAR_TOKEN}",
            "ca_file": str(tmp_path / "cluster.pem"),
            "verify": False,
        },
        "bucket": {
            "endpoint": "https://minio.example.eu",
            "name": "x",
            "access_key": "${MINIO_ACCESS_KEY}",
            "region": "eu-1",
            "ca_file": "/etc/cluster.pem",
        },
        "input": {"file_param": "image", "glob": "**/*.jpg"},
        "params": {
            "imgsz": 640,
            "conf": 0.25,
            "classes": ["cat", 3, True],
            "nested": {"a": 1},
            "api_key": "${API_KEY}",
        },
        "run": {
            "mode": "async",
            "concurrency": "4-50",
            "rate": 5.0,
            "bandwidth": 10_000_000.0,
            "memory": 1 << 30,
            "max_reply": 8_000_000,
            "timeout": 5400.0,
            "connect_timeout": 5.0,
            "send_timeout": 20.0,
            "first_byte_timeout": 300.0,
            "max_attempts": 3,
            "max_failures": "5%",
            "cold_start": 60.0,
            "give_up_after": 7200.0,
            "deadline": 10_800.0,
            "hedge": False,
        },
    }


def test_defaults_are_not_kept_but_the_mode_is():
    assert Config().to_tables() == {"run": {"mode": "sync"}}


def test_what_is_kept_is_read_again(write):
    config = of(write, FULL.replace("s3cret$$key", "${MINIO_SECRET_KEY}"))
    again = load_stored_config(config.to_tables(), {}, {})

    assert again == config
    assert not find_differences(config.to_tables(), again.to_tables())


def test_what_concerns_one_process_is_not_kept_with_the_run(write, tmp_path):
    config = of(write, "[run]\nstop_after = '3h50m'\ngrace = 90\nscratch = 'local'")

    assert (config.run.stop_after, config.run.grace) == (13_800.0, 90.0)
    assert config.run.scratch == str(tmp_path / "local")
    assert config.to_tables() == {"run": {"mode": "sync"}}


VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A dollar sign begins a reference; those have tests of their own.
    | st.text(st.characters(codec="utf-8", exclude_characters="$")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=3))
def test_any_parameter_survives_the_run_directory(params):
    config = load_config(None, {}, {f"params.{name}": value for name, value in params.items()})
    stored = json.loads(json.dumps(config.to_tables()))

    assert load_stored_config(stored, {}, {}).params == config.params == params
    assert not find_differences(stored, config.to_tables())


def test_what_is_kept_is_overruled_by_file_environment_and_flags(write):
    stored = {"service": {"endpoint": "https://old"}, "run": {"timeout": 1, "rate": 1}}
    path = write("[service]\nendpoint = 'https://new'\ntoken = 'x'\n[run]\ntimeout = 2\nrate = 2")
    config = load_stored_config(
        stored, {"BATCHINFER_RUN_RATE": "3", "BATCHINFER_RUN_TIMEOUT": "3"}, {"run.rate": 4}, path
    )

    assert config.service == ServiceSection(endpoint="https://new", token=Secret("x"))
    assert (config.run.timeout, config.run.rate) == (3, 4)


def test_a_kept_setting_that_this_version_does_not_know_is_an_error():
    with pytest.raises(ConfigError, match=r"run directory: \[run\] has no key"):
        load_stored_config({"run": {"teleport": True}}, {}, {})


# --- what sets two configurations apart


def apart(stored, now):
    return list(find_differences(stored, now))


SYNC = {"service": {"endpoint": "https://a/run/x"}, "run": {"mode": "sync"}}
ASYNC = {"bucket": {"endpoint": "https://m", "name": "x"}, "run": {"mode": "async"}}


@pytest.mark.parametrize(
    ("stored", "now", "sentences"),
    [
        (SYNC, SYNC, []),
        (SYNC, SYNC | {"service": {"endpoint": "https://a/run/x/"}}, []),
        (
            SYNC,
            SYNC | {"service": {"endpoint": "https://b"}},
            ['service.endpoint "https://a/run/x" (you asked for "https://b")'],
        ),
        (SYNC, SYNC | {"bucket": {"name": "x"}}, []),
        (SYNC, SYNC | {"run": {"mode": "sync", "timeout": 5.0}}, []),
        (SYNC, SYNC | {"run": {"mode": "async"}}, ["mode sync (you asked for async)"]),
        (
            ASYNC,
            ASYNC | {"bucket": {"endpoint": "https://n", "name": "y"}},
            [
                'bucket.endpoint "https://m" (you asked for "https://n")',
                'bucket.name "x" (you asked for "y")',
            ],
        ),
        (SYNC, SYNC | {"input": {"file_param": "files"}}, []),
        (
            SYNC,
            SYNC | {"input": {"file_param": "image"}},
            ['input.file_param "files" (you asked for "image")'],
        ),
        (
            SYNC | {"params": {"imgsz": 640, "gone": [1], "same": {"a": 1, "b": 2}}},
            SYNC | {"params": {"imgsz": 1280, "new": True, "same": {"b": 2, "a": 1}}},
            [
                "params.imgsz 640 (you asked for 1280)",
                "params.gone [1] (you asked for none)",
                "no params.new (you asked for true)",
            ],
        ),
        (
            SYNC | {"params": {"half": True}},
            SYNC | {"params": {"half": 1}},
            ["params.half true (you asked for 1)"],
        ),
    ],
)
def test_what_must_not_be_mixed_is_said_in_sentences(stored, now, sentences):
    assert apart(stored, now) == sentences


def test_the_template_loads_and_names_every_key(write):
    config = of(write, CONFIG_TEMPLATE)
    commented_out = {
        line.removeprefix("# ").split(" =")[0]
        for line in CONFIG_TEMPLATE.splitlines()
        if line.startswith("# ") and " = " in line
    }
    given = {name.split(".")[1] for name in config.origins}

    assert {each.name for keys in SECTIONS.values() for each in fields(keys)} <= (
        given | commented_out
    )
    assert Path(config.origins["run.mode"].split(":")[0]).name == "c.toml"


def test_what_the_template_shows_as_default_is_the_default(write):
    none = {"rate", "max_failures", "bandwidth", "first_byte_timeout", "deadline"}
    none |= {"stop_after", "grace", "scratch", "reuse", "service"}
    for key in {each.name for each in fields(RunSection)} - none - {"mode"}:
        assert f"# {key} =" in CONFIG_TEMPLATE
    live = CONFIG_TEMPLATE.partition("[run]")[2]
    for key in {each.name for each in fields(RunSection)} - none:
        live = live.replace(f"# {key} =", f"{key} =")

    assert of(write, "[run]" + live).run == RunSection(mode=Mode.SYNC, timeout=600.0)


# What of a source is sent ------------------------------------------------------------------------


def test_patterns_are_a_text_or_a_list_and_kinds_are_names(write):
    text = '[input]\ninclude = "*.jpg"\nexclude = ["a*", "b/"]\nonly = ["Images", "audio"]\n'
    assert of(write, text).input == InputSection(
        include=("*.jpg",), exclude=("a*", "b/"), only=("images", "audio")
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("include = 3", "a list of texts"),
        ('include = ["*.jpg", 3]', "a list of texts"),
        ('exclude = ""', "a list of texts"),
        ('only = "pictures"', "one or several of images, audio, video"),
        ("only = 3", "one or several of images, audio, video"),
    ],
)
def test_what_chooses_nothing_is_refused_with_its_place(write, line, expected):
    with pytest.raises(ConfigError, match=rf"\[input\] .*{expected}"):
        of(write, f"[input]\n{line}\n")


def test_a_later_place_replaces_include_and_its_older_name_together(write):
    path = write('[input]\ninclude = "*.a"\nglob = "*.b"\nexclude = "*.c"\n')
    assert load_config(path, {}, {}).input == InputSection(
        include=("*.a",), glob=("*.b",), exclude=("*.c",)
    )
    by_flag = load_config(path, {}, {"input.glob": ("*.d", "*.e"), "input.include": ()}).input
    assert by_flag == InputSection(glob=("*.d", "*.e"), exclude=("*.c",))
    by_variable = load_config(path, {"BATCHINFER_INPUT_INCLUDE": "*.f"}, {}).input
    assert by_variable == InputSection(include=("*.f",), exclude=("*.c",))


def test_a_run_of_an_older_version_kept_one_pattern_as_a_text():
    assert load_stored_config({"input": {"glob": "*.jpg"}}, {}, {}).input == InputSection(
        glob=("*.jpg",)
    )


def test_flags_override_a_config_that_was_read_before(write):
    flags = {
        "run.timeout": 7,
        "input.include": ["*.png"],
        "params.imgsz": 320,
        "run.hedge": None,
        "service.protocol": "ai4os",
    }
    read = load_config(write(FULL), {}, {})
    assert load_config(read, {}, flags) == load_config(write(FULL), {}, flags)
    assert load_config(read, {}, {}) == read
    with pytest.raises(ConfigError, match="no key"):
        load_config(read, {}, {"run.tiemout": 7})
