"""The options of the protocol `oscar`, and the names of objects in the buckets of its services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config import load_config, resolve_run_settings
from batchinfer.errors import ConfigError
from batchinfer.protocols.oscar import stems
from batchinfer.protocols.oscar.oscar_options import OscarOptions, parse_options
from batchinfer.protocols.registry import load_protocol

STEM = "run1-000000001-2-epoch123" + "0" * 16


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_path": "a/../b"}, "input_path is a folder of the bucket"),
        ({"input_path": ""}, "input_path is a folder of the bucket"),
        ({"input_path": 3}, "input_path is a folder of the bucket"),
        ({"output_path": "inputs/out"}, "output_path must be another folder"),
        ({"output_path": "inputs"}, "output_path must be another folder"),
        ({"outputs": ["*.json"]}, "outputs is a list of names that begin with {stem}"),
        ({"outputs": [3]}, "outputs is a list of names that begin with {stem}"),
        ({"outputs": True}, "outputs is a list of names that begin with {stem}"),
        ({"quiet": "soon"}, 'quiet is a duration, as "30s"'),
        ({"quiet": True}, 'quiet is a duration, as "30s"'),
        ({"quiet": -1}, 'quiet is a duration, as "30s"'),
        ({"encoding": "zip"}, "encoding is one of: base64, raw"),
        ({"answer": ["file"]}, "answer is one of: auto, file, text"),
        ({"output_bucket": "No Bucket"}, "output_bucket is the name of a bucket"),
        ({"qiuet": "3s"}, "qiuet is no option of this protocol. Did you mean"),
    ],
)
def test_an_option_that_cannot_be_is_refused_and_its_value_not_quoted(options, said):
    with pytest.raises(ConfigError) as refused:
        load_protocol("oscar", options)
    assert f"[protocol] {said}" in str(refused.value)
    assert "No Bucket" not in str(refused.value)


def test_options_have_defaults_and_patterns_wait_longer():
    assert parse_options({}) == OscarOptions()
    assert parse_options({"outputs": "{stem}*.json"}).quiet == 60.0
    assert parse_options({"outputs": "{stem}*.json", "quiet": "1.5m"}).quiet == 90.0
    assert parse_options({"quiet": 2}).quiet == 2.0
    paths = parse_options({"input_path": "/a/in/", "output_path": "a/out"})
    assert (paths.input_path, paths.output_path) == ("a/in", "a/out")


def test_the_options_of_a_configuration_arrive(tmp_path):
    (tmp_path / "c.toml").write_text(
        '[service]\nprotocol = "oscar"\n[bucket]\nendpoint = "http://127.0.0.1:9"\nname = "b"\n'
        'access_key = "access-key"\nsecret_key = "secret-key"\n[protocol]\noutput_path = "res"\n'
        'outputs = ["{stem}*.json"]\nquiet = 7\n[run]\nmode = "async"\n'
    )
    settings = resolve_run_settings(load_config(tmp_path / "c.toml", {}, {}), {})
    bucket = load_protocol(settings.protocol, settings.protocol_options).bucket
    assert (bucket.outputs_prefix, bucket.quiet_seconds) == ("res/", 7.0)
    assert tuple(bucket.patterns) == ("{stem}*.json",)


@pytest.mark.parametrize(
    ("path", "head", "extension"),
    [
        ("/a/b.jpg", b"", ".jpg"),
        ("/a/My Photo (1).v2.JPG", b"", ".jpg"),
        ("/a/scan.nii.gz", b"", ".nii.gz"),
        ("/a/photo", b"\x89PNG\r\n\x1a\n", ".png"),
        ("/a/no-one-knows", b"\0\1", ""),
        ("/a/.hidden", b"\0\1", ""),
        ("/a/b.j;p $(g)", b"\0\1", ""),
        ("/a.b/c", b"\0\1", ""),
    ],
)
def test_an_input_keeps_the_extension_of_its_file_and_nothing_else(path, head, extension):
    assert stems.add_extension(STEM, path, head) == STEM + extension


@given(path=st.text(), head=st.binary(max_size=20))
def test_whatever_a_file_is_called_its_object_is_read_back(path, head):
    name = stems.add_extension(STEM, path, head)
    assert stems.get_stem(name) == STEM
    assert stems.parse_name("run1", name) == stems.parse_name("run1", STEM)
    assert stems.parse_name("run2", name) is None
    assert name.isascii()
    assert not set(name) & set(" ;$'\"\\/\n")


@given(rest=st.text(min_size=1, max_size=30))
def test_whatever_stands_behind_the_stem_is_no_part_of_it(rest):
    parsed = stems.parse_output_name("run1", STEM + rest)
    assert parsed is None if rest.endswith("/") else parsed.base_name == STEM
