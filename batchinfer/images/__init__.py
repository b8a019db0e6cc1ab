"""Pictures: what they are, and small ones of them. By Pillow, which the extra `report` brings.

Rules of the room: every file is hostile. Only a header is read in this process; pixels are decoded
in worker processes, which may die. What cannot be looked at is `UnreadableImage`, with a word why,
and never stops the rest. Pillow's settings of this process stay as they are.
"""

from batchinfer.images.image_info import ImageInfo, UnreadableImage, read_image_info
from batchinfer.images.thumbnails import Thumbnail, ThumbnailJob, make_thumbnails
from batchinfer.images.upright_coordinates import to_upright_box, to_upright_points

__all__ = [
    "ImageInfo",
    "Thumbnail",
    "ThumbnailJob",
    "UnreadableImage",
    "make_thumbnails",
    "read_image_info",
    "to_upright_box",
    "to_upright_points",
]
