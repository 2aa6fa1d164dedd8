"""Starts commands, kernels and workers as forks of one process that has everything loaded: it spares their imports.

A fork is a process of its own: it can be killed and has its own exit code, environment and files. A small process
stands for it, started as any other: it passes signals on and ends as the fork ends, and the fork ends with it.
Its file is `sys.executable` in a fork, so that a run starts its kernel, and a batch its workers, in the same way.
"""

import fcntl
import gc
import importlib
import json
import multiprocessing
import os
import random
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

SOCKET_VARIABLE, PIDS_VARIABLE = "WARM_SOCKET", "WARM_PIDS"
LOADED = ("ipykernel.kernelapp", "ipykernel.ipkernel", "misp_playbook_lib.cli", "misp_playbook_lib.playbook")
LOADED += ("misp_playbook_lib.forms", "misp_playbook_lib.runner", "misp_playbook_lib.batch", "debugpy.server.api")
LOADED += ("pygal", "wcwidth", "importlib_metadata", "IPython.extensions.storemagic", "mistune.plugins.table")
LOADED += ("mistune.plugins.url", "mistune.plugins.task_lists", "mistune.plugins.def_list", "multiprocessing.spawn")
HASTE = 15
"""How much shorter than a user's the time of a call is here: a cell that hangs must not take minutes."""
HIGH = 500
"""Descriptors from here on are in nobody's way."""


class Warm:
    """The process that forks. Its files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._socket, self._python = folder / "warm.socket", folder / "python"
        self._python.write_text(f'#!/bin/sh\nexec {sys.executable} -ISE {__file__} stand "$@"\n')
        self._python.chmod(0o700)
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(self._socket), str(self._python)],
            env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        )
        while not self._socket.exists():
            if self._process.poll() is not None:
                raise RuntimeError("the warm process did not start")
            time.sleep(0.05)  # it loads

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> "subprocess.Popen[bytes]":
        """Start `misp-playbook` with these arguments in `folder`, its output in files there."""
        with (folder / f"{arguments[0]}.out").open("ab") as out, (folder / f"{arguments[0]}.err").open("ab") as err:
            return subprocess.Popen(
                [str(self._python), "-m", "misp_playbook_lib", *arguments],
                env={**environment, SOCKET_VARIABLE: str(self._socket), PIDS_VARIABLE: str(folder)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def load() -> None:
    """Load everything that a fork would have to, and let every call have a fraction of its time."""
    for name in LOADED:
        importlib.import_module(name)
    import nbformat  # noqa: PLC0415 - only this process loads the library

    from misp_playbook_lib.clients import deadline  # noqa: PLC0415
    from misp_playbook_lib.report import filing, html  # noqa: PLC0415

    html.prepare()
    with tempfile.TemporaryDirectory() as archive:
        filing.write_index(Path(archive))  # compiles its template
    nbformat.validate(nbformat.v4.new_notebook())
    within = deadline.within
    deadline.within = lambda seconds: within(seconds / HASTE)
    gc.collect()
    gc.freeze()


class Server:
    """Forks for every connection to a socket; `python` is what forks have as `sys.executable`."""

    def __init__(self, path: Path, python: str) -> None:
        self._python = python
        self._forks: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, waker = socket.socketpair()
        for one in (self._woken, waker):
            one.setblocking(False)
        self._waker = waker
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path.with_suffix(".new")))
        self._listener.listen(64)
        path.with_suffix(".new").rename(path)
        for one in (self._listener, self._woken):
            self._selector.register(one, selectors.EVENT_READ)

    def serve(self) -> None:
        """Fork and reap; does not return."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._fork()
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                else:  # whoever stood for it is gone
                    self._selector.unregister(key.fileobj)
                    with suppress(ProcessLookupError):
                        os.kill(key.data, signal.SIGKILL)
            with suppress(ChildProcessError):
                while self._reaped():
                    pass

    def _fork(self) -> None:
        connection, _ = self._listener.accept()
        message, descriptors, _, _ = socket.recv_fds(connection, 1_000_000, 100)
        if not message:  # it was killed before it asked
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            run(json.loads(message), descriptors, self._python)
        for descriptor in descriptors:
            os.close(descriptor)
        self._forks[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        with suppress(OSError):
            connection.sendall(f"{pid}\n".encode())

    def _reaped(self) -> bool:
        """Tell who stands for a fork how it ended, if one did."""
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return False
        with self._forks.pop(pid) as connection:
            with suppress(KeyError):  # nobody stands for it any more
                self._selector.unregister(connection)
            with suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        return True


def run(wanted: dict[str, Any], descriptors: list[int], python: str) -> None:
    """Be the process that was wanted; does not return."""
    code: object = 1
    try:
        os.setsid()
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, HIGH) for descriptor in descriptors]
        os.closerange(0, HIGH)
        for number, descriptor in zip(wanted["descriptors"], high, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for name in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(name, signal.SIG_DFL)
        random.seed()
        os.chdir(wanted["cwd"])
        os.environ.clear()
        os.environ.update(wanted["environment"])
        sys.executable = python
        multiprocessing.set_executable(python)
        arguments = wanted["arguments"]
        while arguments[0] not in ("-m", "-c"):  # what Python itself is told
            arguments.pop(0)
        flag, module, *arguments = arguments
        role = "worker" if flag == "-c" else "kernel" if "ipykernel" in module else "runner"
        Path(os.environ[PIDS_VARIABLE], role).write_text(str(os.getpid()))
        sys.argv = ["-c" if flag == "-c" else module, *arguments]
        try:
            if flag == "-c":
                exec(module, {"__name__": "__main__"})  # noqa: S102 - as Python does
            else:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        code = 130
    except BaseException:  # noqa: BLE001 - as Python does at its end
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(int(str(code)))


def stand(arguments: list[str]) -> None:
    """Stand for a fork that runs these arguments of Python's; does not return."""
    found = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
    inherited = [one for one in found if Path(f"/proc/self/fd/{one}").exists()]  # but for that of the folder itself
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.environ[SOCKET_VARIABLE])
    wanted = {"arguments": arguments, "cwd": str(Path.cwd()), "environment": dict(os.environ), "descriptors": inherited}
    socket.send_fds(connection, [json.dumps(wanted).encode()], inherited)
    for descriptor in inherited[3:]:
        os.close(descriptor)
    lines = connection.makefile()
    pid = int(lines.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    parent = os.getppid()
    connection.settimeout(0.5)
    text = b""
    while not text.endswith(b"\n"):
        try:
            text += connection.recv(100) or b"1\n"
        except TimeoutError:
            if os.getppid() != parent:  # as ipykernel does
                os._exit(1)
    code = int(text)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        load()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        Server(Path(sys.argv[2]), sys.argv[3]).serve()
    else:
        stand(sys.argv[2:])
