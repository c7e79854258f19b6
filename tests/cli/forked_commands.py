"""`lumibot-duckdb` for pages of many commands: each runs in a process forked from one that has imported everything.

That saves most of the time of a page. What a command imports, and what only a new process can show, is tested in
`test_command.py`. `run` starts a new process here too, because its script decides what is imported, and when.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cli.files import PROGRAM

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
    from importlib import import_module

    from lumibot_duckdb.cli.commands import COMMANDS
    from lumibot_duckdb.comparison import runner

    runner.warm_up = lambda: None  # it is for files that have not been read since the machine started
    for name in ("importing.importer", "migration.run", "doctor.examination", "duckdb_storage"):
        import_module(f"lumibot_duckdb.{name}")
    for command in COMMANDS:
        import_module(f"lumibot_duckdb.cli.{command.module}")
    gc.freeze()  # a collection would copy all memory that the processes share
    with socket.socket(fileno=descriptor) as listening:
        while True:
            client, _ = listening.accept()
            call, descriptors, _, _ = socket.recv_fds(client, 1 << 20, 3)
            child = os.fork()
            if not child:
                client.close()
                listening.close()
                _become(json.loads(call), descriptors)
                return
            for each in descriptors:
                os.close(each)
            _, status = os.waitpid(child, 0)
            client.send(str(os.waitstatus_to_exitcode(status)).encode())
            client.close()


def _become(call: tuple[list[str], str, dict[str, str]], descriptors: list[int]) -> None:
    """Run the client's command with its input and outputs, and exit as the command does."""
    sys.argv, folder, environment = call
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    from lumibot_duckdb.cli.main import main

    code = main()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Python would free all that is imported, which takes longer than most commands
