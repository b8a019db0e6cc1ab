"""Where items come from: folders, patterns, files, manifests, lists of paths, plugins.

Rules of the package:

* Memory does not grow with the source: folders are read in bounded chunks, manifests line by line.
  Nothing is kept per item.
* The same source, unchanged, gives the same items in the same order: resuming reads it again.
* What is wrong with a *source* raises `SourceError`, as early as it can be seen; so does a file
  that a manifest names and that is not there, unless the run has begun. What is wrong with one
  *file* of a folder (a broken link, unreadable) is no error here: its item is yielded with unknown
  size and becomes one failed item later. What is neither (a folder that cannot be opened, a socket)
  is reported in `notices`. What is skipped is counted.
* What batchinfer itself wrote is never an item: skipped in folders, refused where it is named.

What a spec is, first match wins:

=====================  ============================================  ===========================
spec                   items                                         key
=====================  ============================================  ===========================
``-``                  lines of a manifest on standard input         see manifest
``files-from:FILE``    files that a list names, a path a line        the path as written
``as-file:FILE``       that file, whatever it is called              the path as typed
``FORMAT:PATH``        what is of that format (`source_formats`)    as the format names it
``SCHEME://...``       what the plugin of that scheme lists          as the plugin names it
a data set             its tables (`hf_dataset`)                     split and name, else row
a folder               its files, recursively, as selected           path below the folder
an archive, by name    the files in it: .zip .tar .tar.gz ...        its name, ``!``, name in it
a manifest, by name    its lines: .csv .tsv .jsonl .ndjson, + .gz    `key`, else path as written
a table, by name       its rows: .parquet .arrow .feather .xlsx      `key`, else path as written
any other file         that file                                     the path as typed
a pattern, * ? [ ]     files that match it, ** spans folders         path below the fixed part
=====================  ============================================  ===========================

A single source that looks like a list but cannot be read as one (.txt, .json, .ods, ...) is
refused with a question, not sent. An archive beside plain files is one of them. In the place of a
video there may be frames of it (`video_frames`).

Keys are `/`-separated and normalized (no `./`, no `//`). In an absolute file spec `/./` marks where
the key begins: that is how `specs` remembers a path typed relatively, so that a resumed run finds
the same keys.
"""

from batchinfer.lazy_exports import lazy_exports

__getattr__ = lazy_exports(__name__)
