from batchinfer.sources.combined_source import CombinedSource as CombinedSource
from batchinfer.sources.combined_source import open_source as open_source
from batchinfer.sources.own_files import OwnFiles as OwnFiles
from batchinfer.sources.selection import Selection as Selection
