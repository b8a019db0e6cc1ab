import anyio
import gallery
import pytest


@pytest.fixture(scope="session")
def hung(tmp_path_factory):
    return anyio.run(gallery.hung, tmp_path_factory.mktemp("gallery"))
