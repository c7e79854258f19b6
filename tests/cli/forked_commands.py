"""`lumibot-duckdb` for pages of many commands: one process runs them, and forks for those that import Lumibot.

That saves most of the time of a page. What a command imports, and what only a new process can show, is tested in
`test_command.py`. `run` starts a new process here too, because its script decides what is imported, and when.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cli.files import PROGRAM

# The next command must not find Lumibot imported.
FORKED = ("compare", "demo", "doctor")

# Python without `site` starts in a hundredth of a second.
CLIENT = """#!{python} -ISE
import json, os, socket, sys
if sys.argv[1:2] == ["run"]:
    os.execv({program!r}, [{program!r}, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({socket!r})
call = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [call], [0, 1, 2])
sys.exit(int(server.recv(16)))
"""


@contextmanager
def forked_commands(folder: Path, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Create an executable `lumibot-duckdb` in the folder, and yield the environment whose `PATH` begins with it."""
    folder.mkdir()
    program, address = folder / "lumibot-duckdb", str(folder / "socket")
    program.write_text(CLIENT.format(python=sys.executable, program=str(PROGRAM), socket=address))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        code = f"from cli.forked_commands import serve; serve({listening.fileno()})"
        paths = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        server = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**environment, "PYTHONPATH": paths},
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
        )
    try:
        yield {**environment, "PATH": os.pathsep.join([str(folder), str(PROGRAM.parent), os.environ["PATH"]])}
    finally:
        server.terminate()
        server.wait()


def serve(descriptor: int) -> None:
    """Run commands, one after the other, until the process is ended."""
    from lumibot_duckdb.comparison import runner

    runner.warm_up = lambda: None  # it is for files that have not been read since the machine started
    own = [os.dup(number) for number in range(3)]
    with socket.socket(fileno=descriptor) as listening:
        while True:
            client, _ = listening.accept()
            call, descriptors, _, _ = socket.recv_fds(client, 1 << 20, 3)
            words, folder, environment = json.loads(call)
            _connect(descriptors)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            code = _in_a_child(words) if words[1:2] and words[1] in FORKED else _run(words)
            for each in descriptors:
                os.close(each)
            _connect(own)  # the reader of the output sees its end
            client.send(str(code).encode())
            client.close()


def _connect(descriptors: Sequence[int]) -> None:
    """Make descriptors the standard input, output and error."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # it lasts as long as the command


def _run(words: list[str]) -> int:
    from lumibot_duckdb.cli.main import main

    sys.argv = words
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _in_a_child(words: list[str]) -> int:
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    code = _run(words)
    atexit._run_exitfuncs()
    os._exit(code)  # Python would free all that is imported, which takes longer than most commands
