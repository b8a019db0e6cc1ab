"""Kinds of files, by the endings of their names."""

from __future__ import annotations

from typing import Final

FILE_KINDS: Final = {
    "images": (
        *("jpg", "jpeg", "jpe", "jfif", "jp2", "j2k", "jpx", "jxl", "png", "webp", "avif", "heic"),
        *("heif", "tif", "tiff", "bmp", "dib", "gif", "pbm", "pgm", "ppm", "pnm", "tga", "exr"),
        *("hdr", "dcm", "nii", "nii.gz", "nrrd", "mha", "mhd"),
    ),
    "audio": (
        *("wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "aac", "aif", "aiff", "wma", "amr"),
        *("au", "w64", "caf"),
    ),
    "video": (
        *("mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "wmv", "flv", "mts", "m2ts"),
        *("3gp", "ogv"),
    ),
}
"""What `--only` takes, by the ending of the name, in any case. Images are what models read as such:
pictures, and volumes of medical imaging; not the raw files of cameras."""
