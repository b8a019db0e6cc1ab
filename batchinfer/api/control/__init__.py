"""Controls a running job from another process, through a socket in its run directory.

`commands` are what can be sent, `controller` carries them out, `control_socket` is the server's end
of the socket and `control_client` the other one. A command holds for the running process only:
nothing is written to the run.
"""

from batchinfer.lazy_exports import lazy_exports

__getattr__ = lazy_exports(__name__)
