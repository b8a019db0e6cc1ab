"""What DEEPaaS asks of a module. Its parameters are of every type that modules use."""

from webargs import fields, validate

from bi_probe.answers import ANSWERS


def _file(description):
    return fields.Field(
        load_default=None,
        metadata={"type": "file", "location": "form", "description": description},
    )


def get_metadata():
    return {"name": "bi-probe", "version": "1"}


def get_train_args():
    return {}


def get_predict_args():
    return {
        "mode": fields.Str(
            required=True,
            metadata={"description": "What to answer.\nOne of many ways, 100 % sure."},
        ),
        "text": fields.Str(load_default="a text", metadata={"description": "Any text."}),
        "colour": fields.Str(
            load_default="red",
            validate=validate.OneOf(["red", "green"]),
            metadata={"enum": ["red", "green"], "description": "One of two."},
        ),
        "number": fields.Int(load_default=1, metadata={"description": "A whole number."}),
        "percent": fields.Int(
            load_default=50,
            validate=validate.Range(min=0, max=100),
            metadata={"description": "A whole number from 0 to 100."},
        ),
        "ratio": fields.Float(load_default=0.1),
        "flag": fields.Bool(load_default=False, metadata={"description": "Yes or no."}),
        "options": fields.Dict(load_default={"a": 0}, metadata={"description": "A dictionary."}),
        "weights": fields.List(
            fields.Float(), load_default=[0.1, 0.9], metadata={"description": "Numbers."}
        ),
        "image": _file("An image."),
        "audio": _file("A sound."),
        "video": _file("A film."),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json", "image/png"]),
            metadata={"enum": ["application/json", "image/png"], "location": "headers"},
        ),
    }


def predict(**params):
    return ANSWERS[params["mode"]](params)
