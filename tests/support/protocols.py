"""The protocol that most tests speak."""

from batchinfer.protocols.ai4os.ai4os_protocol import Ai4osBucket, Ai4osProtocol

AI4OS = Ai4osProtocol()
AI4OS_BUCKET = Ai4osBucket()
