from pathlib import Path

import pytest

from batchinfer.store.network_file_systems import (
    find_network_file_system,
    parse_macos_mounts,
    parse_mountinfo,
)

MOUNTINFO = r"""
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:25 / /home rw,relatime shared:12 - nfs4 filer:/home rw,vers=4.2,addr=10.0.0.1
31 30 254:1 / /home/local rw - xfs /dev/vdb rw
32 27 0:26 / /lustre/work rw,flock - lustre 10.0.0.2@tcp:/work rw
33 27 0:27 / /mnt/my\040disk rw - cifs //nas/share rw
34 27 0:28 / /remote rw master:3 propagate_from:2 - fuse.sshfs u@h:/ rw,user_id=0
35 27 0:29 / /windows rw - fuseblk /dev/vdc rw
36 27 0:30 / /mirror rw - fuse.bindfs /home rw
37 27 0:31 / /odd rw - fuse none rw
38 27 0:32 / /cluster rw - fuse.something-new x rw
39 27 0:33 / /twice rw - nfs filer:/x rw
40 39 254:1 / /twice rw - ext4 /dev/vdb rw
41 27 0:34 / /homework rw - tmpfs none rw
"""


@pytest.fixture
def mounts(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTINFO)
    return path


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/tmp/run", None),
        ("/home/me/run", "nfs4"),
        ("/home", "nfs4"),
        ("/home/local/run", None),
        ("/homework/run", None),
        ("/lustre/work/a/b", "lustre"),
        ("/mnt/my disk/run", "cifs"),
        ("/remote/run", "fuse.sshfs"),
        ("/windows/run", None),
        ("/mirror/run", None),
        ("/odd/run", None),
        ("/cluster/run", "fuse.something-new"),
        ("/twice/run", None),  # what was mounted later hides the other
    ],
)
def test_the_nearest_mount_above_counts(folder, expected, mounts):
    assert find_network_file_system(Path(folder), mounts) == expected


def test_a_link_leads_where_it_leads(tmp_path, mounts):
    (tmp_path / "link").symlink_to("/home/me")
    assert find_network_file_system(tmp_path / "link" / "run", mounts) == "nfs4"


def test_where_nothing_is_known_nothing_is_refused(tmp_path):
    assert find_network_file_system(tmp_path, tmp_path / "none") is None
    (tmp_path / "broken").write_bytes(b"\xff - \n1 2 3 4\n - nfs\n")
    assert find_network_file_system(tmp_path, tmp_path / "broken") is None


def test_the_folder_of_the_tests_is_local(tmp_path):
    assert find_network_file_system(tmp_path) is None


def test_a_line_of_the_table_that_is_none_is_left_out():
    assert list(parse_mountinfo("nonsense\n\n1 2 3 - x\n")) == []


def test_what_macos_prints_is_understood():
    printed = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@nas/share on /Volumes/my share (smbfs, nodev, nosuid, mounted by me)
filer:/home on /Network/home (nfs, nodev)
me@host: on /Users/me/far (macfuse, nodev, nosuid, synchronous, mounted by me)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
"""
    assert list(parse_macos_mounts(printed)) == [
        ("/", "apfs"),
        ("/Volumes/my share", "smbfs"),
        ("/Network/home", "nfs"),
        ("/Users/me/far", "macfuse"),
        ("/System/Volumes/Data/home", "autofs"),
    ]
