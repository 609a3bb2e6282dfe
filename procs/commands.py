"""Speaking to a running pipeline's parent: one request, one answer, through the socket in the run's folder."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ringsim.errors import BadInput, RingsimError

COMMANDS = {
    "pause": "stop taking input; what is under way stays as it is",
    "resume": "go on after a pause",
    "stop": "end the feed, finish what is under way, end the run",
    "degrade": "inject a failure: orders are provisional until it is healed",
    "heal": "take an injected failure back",
    "kill": "the kill switch: cancel what is open, reject all, until rearmed",
    "rearm": "take the kill switch back",
    "health": "liveness and readiness, with the reasons",
}
_ANSWER_S = 5.0
WHY_MAX = 500  # characters of a reason that are kept: it goes into every answer, line and screen


def ask(folder: Path, command: str, why: str = "") -> dict[str, Any]:
    """Send a command to the run in `folder`; its answer.

    Raises BadInput if no run is going on there, RingsimError if the parent does not answer within 5 s or refuses.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(_ANSWER_S)
        try:
            with through_folder(folder) as short:
                client.connect(f"{short}/{CommandServer.NAME}")
            client.send(msgspec.json.encode({"command": command, "why": why}))
            answer = client.recv(1 << 16)
        except (FileNotFoundError, ConnectionRefusedError):
            raise BadInput(f"no run is going on in {folder}") from None
        except TimeoutError:
            raise RingsimError(f"the parent of the run in {folder} does not answer") from None
    if not answer:
        raise RingsimError(f"the run in {folder} ended before it answered")
    result = msgspec.json.decode(answer, type=dict)
    if not result.get("ok"):
        raise RingsimError(f"{command}: {result.get('error', 'refused')}")
    return result


class Request(msgspec.Struct):
    """What a client may say."""

    command: str
    why: str = ""


class CommandServer:
    """A datagram-like request and reply over a stream socket in the run's folder: one JSON object each way."""

    NAME = "control.sock"

    def __init__(self, folder: Path) -> None:
        self.path = folder / self.NAME
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with through_folder(folder) as short:
            self.socket.bind(f"{short}/{self.NAME}")
        self.path.chmod(0o600)
        self.socket.listen(8)
        self.socket.setblocking(False)

    def serve(self, handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answer one client. A client that says nothing within 0.2 s, or nonsense, is told so and dropped."""
        try:
            client, _ = self.socket.accept()
        except OSError:  # it has gone again
            return
        with client, contextlib.suppress(OSError):
            client.settimeout(0.2)
            try:
                request = msgspec.json.decode(client.recv(1 << 16), type=Request)
            except msgspec.DecodeError as error:
                client.send(msgspec.json.encode({"ok": False, "error": str(error)}))
                return
            client.send(msgspec.json.encode(handle({"command": request.command, "why": request.why[:WHY_MAX]})))

    def close(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)


class through_folder:
    """A short name for a folder: socket addresses hold 107 bytes, paths may be longer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> str:
        self.fd = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self.fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
