"""Images: size, orientation and metadata from their headers; thumbnails. By Pillow (`report`).

Every file is treated as hostile: this process reads headers only, pixels are decoded in worker
processes, which may die. What cannot be read is an `UnreadableImage` with the reason, and never
stops the rest. Pillow's settings in this process are not changed.
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
