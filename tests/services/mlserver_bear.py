"""A model for MLServer."""

import base64
import hashlib

from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Bear(MLModel):
    """Tells the digest of each picture."""

    async def load(self):
        return True

    async def predict(self, payload):
        (tensor,) = payload.inputs
        (content,) = tensor.data.root
        digest = hashlib.sha256(base64.b64decode(content, validate=True)).hexdigest()
        output = ResponseOutput(name="sha256", shape=[1], datatype="BYTES", data=[digest])
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
