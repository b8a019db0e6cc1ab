"""A model that KServe serves by both of its protocols: `python kserve_bear.py PORT`."""

import base64
import hashlib
import sys

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Bear(Model):
    """Tells the digest of each picture."""

    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        if not isinstance(payload, InferRequest):
            contents = [each["image"]["b64"] for each in payload["instances"]]
            return {"predictions": [{"sha256": digest(content)} for content in contents]}
        (tensor,) = payload.inputs
        (content,) = tensor.data
        output = InferOutput("sha256", [1], "BYTES", [digest(content)])
        return InferResponse(payload.id or "none", self.name, [output])


def digest(content):
    return hashlib.sha256(base64.b64decode(content, validate=True)).hexdigest()


if __name__ == "__main__":
    server = ModelServer(http_port=int(sys.argv[1]), workers=1, enable_grpc=False)
    server.start([Bear("bear")])
