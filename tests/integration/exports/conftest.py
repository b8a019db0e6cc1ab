import anyio
import pytest

from support import gallery


@pytest.fixture(scope="session")
def hung(tmp_path_factory):
    return anyio.run(gallery.hung, tmp_path_factory.mktemp("gallery"))
