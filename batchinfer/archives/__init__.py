"""Archives as sources: the files in a zip or a tar, read where they lie, never unpacked to a disk.

`archive_uris` names them, `ArchiveScheme` lists and opens them. An archive is a file of this
machine, or any input that another scheme opens. Rules:

* What an archive holds is found out once, step by step, into an index on the disk (`MemberIndex`):
  memory does not grow with the number of its files.
* A zip, and a tar that is not compressed, are read at the place of each file; a compressed tar from
  its beginning on, in one pass for files in order (`ForwardReader`).
* Names are what they are called below the archive, with `/` between folders. A name that leads out
  of it (absolute, or with `..`), a link and a device are skipped and counted. A second file of the
  same name is called `name (2).jpg`.
* An archive in an archive is a file like any other, and is not opened.
* A file that unpacks to far more than is packed is refused (`bomb_limits`).
"""
