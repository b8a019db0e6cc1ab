"""A DEEPaaS model that writes down each call, and raises what DEEPaaS never recovers from.

Found by an entry point of its own, beside the one of `bi_probe`, where a test puts it on the path.
"""

import hashlib
import os
from pathlib import Path

from aiohttp import web
from webargs import fields


def get_metadata():
    return {"id": "not the name", "name": "A model that hangs"}


def get_train_args():
    return {}


def get_predict_args():
    return {
        "image": fields.Field(
            required=True, metadata={"type": "file", "location": "form", "description": "A file."}
        )
    }


def predict(image):
    path = Path(image.filename)
    data = path.read_bytes()
    path.unlink()
    digest = hashlib.sha256(data).hexdigest()
    with Path(os.environ["HANGING_JOURNAL"]).open("a") as journal:
        journal.write(f"{digest}\n")
    if b"hang" in data and "HANGING_REPAIRED" not in os.environ:
        raise web.HTTPException(reason="this model cannot read that")  # as modules do
    return {"sha256": digest, "name": image.original_filename}
