"""System calls of a service that fail on demand."""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class FailingIo:
    """Switches failures of system calls on and off, for services started with `environment` over a data folder."""

    def __init__(self, folder: Path, data: Path) -> None:
        """Compile the library that is preloaded, into `folder`."""
        library = folder / "failing_io.so"
        command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SOURCE)]
        subprocess.run(command, check=True, timeout=60)
        self._switch = folder / "switch"
        self._failures = folder / "switch.failures"
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAILING_IO_SWITCH": str(self._switch),
            "FAILING_IO_FOLDER": str(data.resolve()),
        }

    def fail(self, call: str, end: str) -> None:
        """From now on `call` ("any": all of them) fails on files whose path ends so."""
        new = self._switch.with_suffix(".new")
        new.write_text(f"{call} {end}")
        new.replace(self._switch)

    def work(self) -> int:
        """Nothing fails any more; returns how many calls did."""
        self._switch.unlink()
        if not self._failures.exists():
            return 0
        failures = self._failures.stat().st_size
        self._failures.unlink()
        return failures
