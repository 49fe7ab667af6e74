"""A file system of a few megabytes, in a mount namespace of its own: no privileges are needed, nothing else sees it."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# It ends, and the namespace with it, when its standard input is closed: also when the tests are killed.
MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo mounted && exec cat'
BLOCK_BYTES = 4096


class SmallDisk:
    """A tmpfs at `folder`, as processes that are started with `prefix` see it."""

    def __init__(self, folder: Path, holder: int) -> None:
        enter = ["nsenter", "--target", str(holder), "--user", "--preserve-credentials", "--mount"]
        # Entering leaves the working directory otherwise.
        self.prefix = [*enter, f"--wd={Path.cwd()}"]
        self._filler = Path(f"/proc/{holder}/root{folder}/filler")

    def fill(self, leave_bytes: int = 0) -> None:
        """Leave no room, or only so much."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while filler.write(bytes(BLOCK_BYTES)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
            filler.truncate(max(0, filler.tell() - leave_bytes))

    def free(self) -> None:
        """Give back what was filled."""
        self._filler.unlink()


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount it until the block ends."""
    folder.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", str(size_bytes), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n", "expected to be allowed to mount a tmpfs in a user namespace"
        yield SmallDisk(folder, holder.pid)
        # Leaving closes its standard input, and waits for it.
