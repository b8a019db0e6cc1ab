"""What the model would refuse or misread is seen before; what it takes is let through."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import Failure, Mode
from batchinfer.protocols.ai4os.param_validator import ParamValidator
from batchinfer.protocols.ai4os.payload import encode_params
from batchinfer.protocols.model_schema import ModelSchema, Parameter

SCHEMA = ModelSchema(
    (
        Parameter("image", "str", is_file=True, required=True),
        Parameter("mask", "str", "None", is_file=True),
        Parameter("size", "int", "640"),
        Parameter("share", "float", "0.5"),
        Parameter("flag", "bool", "False"),
        Parameter("imgsz", "list", "[1, 2]"),
        Parameter("extra", "dict", "{}"),
        Parameter("label", "str", ""),
        Parameter("kind", "str", "cat", choices=("cat", "dog")),
        Parameter("level", "int", "1", choices=(1, 2, 3)),
        Parameter("mode", "str", "a"),
        Parameter("model", "str", "m"),
        Parameter("odd"),
        Parameter("conf", "float", "0.25"),
    )
)
RULES = ParamValidator(SCHEMA, Mode.SYNC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 5),
        ("size", -5),
        ("size", "5"),
        ("size", " 5 "),
        ("size", 10**30),
        ("share", 5),
        ("share", -1e-5),
        ("share", "1e-3"),
        ("share", "nan"),
        ("flag", True),
        ("flag", False),
        ("flag", 1),
        ("flag", 0),
        ("flag", "Yes"),
        ("flag", "off"),
        ("imgsz", [1, 2]),
        ("imgsz", "[1, 2]"),
        ("imgsz", "(1, 2)"),
        ("imgsz", 640),  # YOLO takes it, and DEEPaaS lets every literal through
        ("extra", {"a": None}),
        ("extra", "{'a': None}"),
        ("label", "what ever"),
        ("label", 5),
        ("label", [1]),
        ("label", "-5"),
        ("kind", "dog"),
        ("level", 2),
        ("level", "3"),
        ("odd", "anything"),
        ("odd", 1.5),
        ("imgs", [1]),  # short for imgsz
        ("mode", "b"),  # itself, although it begins another one's name
    ],
)
def test_what_arrives_as_it_is_meant_is_fine(name, value):
    assert RULES.validate_value(name, value) is None


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("sise", 1, "no parameter 'sise' (did you mean 'size'?)"),
        ("nothing_like_it", 1, "no parameter 'nothing_like_it'"),
        ("mod", "x", "short for 'mode' or 'model'"),
        ("hel", 1, "no parameter 'hel'"),
        ("help", "", "cannot be sent"),
        ("size", 1.0, "whole number (int), which 1.0 is not: write 1"),
        ("size", 1.5, "which 1.5 is not"),
        ("size", "1.5", "which '1.5' is not"),
        ("size", True, "which True is not"),
        ("size", None, "null has no spelling"),
        ("share", "much", "a number (float), which 'much' is not"),
        ("share", float("inf"), "no JSON number"),
        ("flag", "on", "'on' would silently be taken for false"),
        ("flag", "y", "silently"),
        ("flag", 2, "silently"),
        ("flag", 1.0, "silently"),
        ("imgsz", "[1, true]", "as Python writes it, like [1, 2]"),
        ("imgsz", "1, 2, x", "which '1, 2, x' is not"),
        ("imgsz", {"a": 1}, "takes a list"),
        ("extra", [1], "takes a dict"),
        ("extra", '{"a": null}', "takes a dict as Python writes it, like {'a': 1}"),
        ("extra", 5, "takes a dict"),
        ("label", "-x", "starts with '-'"),
        ("label", "x" * 200_000, "send it as a file"),
        ("kind", "dgo", "one of cat, dog; it is dgo (did you mean 'dog'?)"),
        ("level", 4, "one of 1, 2, 3; it is 4"),
        ("conf", 0.5, "abbreviation of several options"),
        ("event", "x", "use async mode"),
        ("oscar-files", [], "keeps this name for files"),
        ("image", "x.jpg", "takes a file"),
    ],
)
def test_what_cannot_work_is_told(name, value, told):
    assert told in str(RULES.validate_value(name, value))


def test_a_long_value_is_not_shown_whole():
    assert len(str(RULES.validate_value("size", "9x" * 10_000))) < 200


@pytest.mark.parametrize(
    ("params", "files", "told"),
    [
        ({"size": 1}, ("image",), []),
        ({}, ("image", "mask"), []),
        ({}, ("ima",), []),  # short for image
        ({}, (), ["needs a file as 'image'"]),
        ({}, ("label", "image"), []),  # a path is a text, too
        ({}, ("size", "image"), ["'size' takes no file but a value of type int"]),
        ({}, ("imagee",), ["no parameter 'imagee' (did you mean 'image'?); it takes files as"]),
        ({}, ("image", "image"), ["two files for 'image'"]),
        ({"sise": 1, "flag": "on"}, (), ["'sise'", "'flag'", "'image'"]),
    ],
)
def test_an_item_is_judged_whole(params, files, told):
    found = RULES.validate_item(params, files)
    assert len(found) == len(told)
    assert all(part in problem for part, problem in zip(told, found, strict=True))


def test_what_the_config_gives_is_given_to_every_item():
    schema = ModelSchema(
        (Parameter("size", "int", required=True), Parameter("image", is_file=True))
    )
    assert ParamValidator(schema, Mode.SYNC, {"size": 1}).validate_item({}, ("image",)) == []
    assert ParamValidator(schema, Mode.SYNC, {"siz": 1}).validate_item({}, ("image",)) == []
    (lack,) = ParamValidator(schema, Mode.SYNC).validate_item({}, ("image",))
    assert lack == "the model needs the parameter 'size' (int), and it is not given"
    (twice,) = ParamValidator(schema, Mode.SYNC, {"size": 1, "image": "x"}).validate_item(
        {}, ("image",)
    )
    assert "both as a value and as a file" in twice


def test_abbreviations_are_remembered_for_a_notice():
    rules = ParamValidator(SCHEMA, Mode.SYNC)
    rules.validate_item({"imgs": [1], "size": 1}, ("ima",))
    assert rules.abbreviations == {"imgs": "imgsz", "ima": "image"}


def test_async_mode_knows_no_events():
    schema = ModelSchema((Parameter("event", "str"),))
    assert ParamValidator(schema, Mode.ASYNC).validate_value("event", "x") is None
    assert ParamValidator(schema, Mode.SYNC).validate_value("event", "x") is not None


@pytest.mark.parametrize("schema", [None, ModelSchema((), accepts_unlisted=True)])
def test_where_nobody_knows_only_what_cannot_be_sent_is_refused(schema):
    rules = ParamValidator(schema, Mode.SYNC, {"a": 1})
    assert rules.validate_item({"whatever": 1, "x": [1]}, ("files",)) == []
    assert len(rules.validate_item({"conf": 1, "x": None}, ("a",))) == 3


def test_memory_does_not_grow_with_the_names_in_a_manifest():
    rules = ParamValidator(ModelSchema((Parameter("x" * 10_000),)), Mode.SYNC)
    for at in range(1, 5_000):
        assert rules.validate_value("x" * at, 1) is None
        assert rules.validate_item({}, (f"file_{at}",))
    assert len(rules._checks) == len(rules._file_problems) == len(rules.abbreviations) == 1_000


VALUE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1", "1.5", "True", "[1]", "{'a': 1}", "-1", "-x", "0x10", "1_0"])
    | st.lists(st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)
CONVERTERS = {"int": int, "float": float, "list": ast.literal_eval, "dict": ast.literal_eval}


@given(st.sampled_from(["size", "share", "imgsz", "extra"]), VALUE)
def test_what_is_let_through_is_what_the_service_can_convert(name, value):
    spelled = encode_params({name: value}, (), Mode.SYNC)
    if RULES.validate_value(name, value) is None:
        assert not isinstance(spelled, Failure)
        CONVERTERS[SCHEMA.names[name].type](str(spelled[name]))


@given(st.sampled_from(["size", "share"]), VALUE)
def test_what_is_refused_is_what_the_service_cannot_convert(name, value):
    spelled = encode_params({name: value}, (), Mode.SYNC)
    if RULES.validate_value(name, value) is not None and not isinstance(spelled, Failure):
        with pytest.raises(ValueError):
            CONVERTERS[SCHEMA.names[name].type](str(spelled[name]))
