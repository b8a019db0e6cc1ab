"""Where a DEEPaaS has its model, its list of models and its description. Pure.

An endpoint may name the deployment (`https://host`, or a path before `/v2`), or the model
(`https://host/v2/models/NAME`, with `/predict` or without).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote

from batchinfer.domain import Failure
from batchinfer.errors import FatalError
from batchinfer.protocols.http_refusals import classify_refusal
from batchinfer.protocols.inference_protocol import HttpAnswer

_MODEL_PATH: Final = re.compile(r"(?P<prefix>.*?)/v2/models/+(?P<model>[^/]+)(/predict)?/*")
_OWN_PATH: Final = re.compile(r"/+(v2(/models)?|api|ui|swagger\.json)?/*$")
"""What a person may have copied behind the address of a deployment."""


def get_prefix(endpoint_path: str) -> str:
    """The path of the deployment, without a slash at its end."""
    if found := _MODEL_PATH.fullmatch(endpoint_path):
        return found["prefix"]
    return _OWN_PATH.sub("", endpoint_path)


def get_model_name(endpoint_path: str) -> str | None:
    """The model that a path names; None: none."""
    found = _MODEL_PATH.fullmatch(endpoint_path)
    return unquote(found["model"]) if found else None


def make_predict_path(prefix: str, model: str) -> str:
    """Where a model predicts; the slash at its end belongs to it."""
    return f"{prefix}/v2/models/{quote(model, safe='')}/predict/"


def make_models_path(prefix: str) -> str:
    """Where the models are listed."""
    return f"{prefix}/v2/models/"


def make_description_path(prefix: str) -> str:
    """Where DEEPaaS describes itself (Swagger 2.0)."""
    return f"{prefix}/swagger.json"


def find_model(answer: HttpAnswer) -> str | Failure | FatalError:
    """The only model of a deployment, in its list of models."""
    if answer.status != 200:  # noqa: PLR2004
        return classify_refusal(answer)
    names = _list_models(answer.body)
    if names is None:
        return FatalError(
            "bad_endpoint",
            "what answers at the endpoint is no DEEPaaS, for it has no list of models "
            "(/v2/models/): [service] endpoint is the address of the deployment",
        )
    if len(names) == 1:
        return names[0]
    if not names:
        return FatalError("no_model", "this DEEPaaS has no model: its module is not installed")
    listed = ", ".join(sorted(names))
    return FatalError(
        "several_models",
        f"this DEEPaaS has several models: name one of them as [protocol] model ({listed})",
    )


def _list_models(body: bytes) -> Sequence[str] | None:
    try:
        models = json.loads(body)["models"]
        return [name for each in models if (name := _get_name(each))]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _get_name(model: Mapping[str, object]) -> str:
    """The name in its path: what a module says of itself may replace its `id`."""
    links = model.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link["href"], str):
            return unquote(link["href"].rstrip("/").rpartition("/")[2])
    return str(model.get("id", ""))
