"""A toy export as another package would add it: a line of tab-separated JSON per item."""

import json

from batchinfer.errors import ConfigError
from batchinfer.exports import FileExport


class ToyExport(FileExport):
    name = "toy"
    extensions = (".toy",)
    unit = "line"
    description = "a line per item"
    consumers = "cut, awk"

    def write(self, source, file, options):
        count = 0
        for result in source.iter_results():
            if isinstance(result.prediction, dict) and "unwritable" in result.prediction:
                raise ConfigError(f"A toy cannot hold the prediction of {result.key!r}.")
            cells = (result.key, result.state, result.prediction)
            file.write(("\t".join(map(json.dumps, cells)) + "\n").encode())
            count += 1
        return count
