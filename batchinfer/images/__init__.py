"""Pictures: what they are, and small ones of them. By Pillow, which the extra `report` brings.

Rules of the room: every file is hostile. Only a header is read in this process; pixels are decoded
in worker processes, which may die. What cannot be looked at is `Unseen`, with a word why, and never
stops the rest. Pillow's settings of this process stay as they are.
"""

from batchinfer.images.facts import Facts, Unseen, facts
from batchinfer.images.thumbnails import Job, Thumbnail, thumbnails
from batchinfer.images.turning import upright, upright_points

__all__ = [
    "Facts",
    "Job",
    "Thumbnail",
    "Unseen",
    "facts",
    "thumbnails",
    "upright",
    "upright_points",
]
