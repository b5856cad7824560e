"""Weights & Biases over the network: whose key, whether it answers, and wandb's own client that sends.

The key goes to the server in a header and to the client in its environment; it stands in no command line, no file and
no message.
"""

import base64
import json
import netrc
import os
import shutil
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from hpc.adapters.files import make_folder
from hpc.adapters.wandb_files import marker
from hpc.core.errors import InputError, TemporaryError
from hpc.core.extras import MissingPackage

CLOUD = "https://api.wandb.ai"
ANSWER_S = 20.0
"""How long the server has for its first answer."""
_START_S, _FILE_S, _BYTES_PER_S = 60.0, 60.0, 50_000
"""What one call of the client gets: it tries for ever when the network goes."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OF_ONE_RUN = frozenset({
    "WANDB_MODE", "WANDB_DISABLED", "WANDB_RUN_ID", "WANDB_RESUME", "WANDB_NAME", "WANDB_PROJECT", "WANDB_ENTITY",
    "WANDB_RUN_GROUP", "WANDB_NOTES", "WANDB_TAGS", "WANDB_DIR", "WANDB_SILENT",
})  # fmt: skip
"""What a shell may say of its own run, and not of those that are sent."""
_PARTLY = "incomplete record"


@dataclass(frozen=True)
class Key:
    """A key, which no representation shows.

    Attributes:
        value: The key.
        source: Where it stands.
    """

    value: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class Sent:
    """What became of one file.

    Attributes:
        ok: Whether it is there.
        partly: All that could be read is there: its writer was killed.
        message: What the client said of it; without the key.
    """

    ok: bool
    partly: bool = False
    message: str = ""


def base_url(environment: Mapping[str, str]) -> str:
    """The server: WANDB_BASE_URL, else wandb's own.

    Raises:
        InputError: It is no address, or holds a password.
    """
    url = environment.get("WANDB_BASE_URL") or CLOUD
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise InputError(
            f"WANDB_BASE_URL is not an address such as {CLOUD} (http or https, and no key or password in it)"
        )
    return url.rstrip("/")


def key_file(environment: Mapping[str, str]) -> Path:
    """The file that may hold the key, and nothing else."""
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "hpc" / "wandb_key"


def netrc_file(environment: Mapping[str, str]) -> Path:
    """The file that ``wandb login`` writes to."""
    return Path(environment.get("NETRC") or Path.home() / ".netrc")


def find_key(environment: Mapping[str, str]) -> Key:
    """Find the key: WANDB_API_KEY, else a file of ours, else ~/.netrc.

    Raises:
        InputError: There is none, or its file can be read by others.
    """
    if given := environment.get("WANDB_API_KEY", "").strip():
        return Key(_usable(given, "WANDB_API_KEY"), "WANDB_API_KEY")
    own = key_file(environment)
    if own.is_file():
        _check_private(own)
        return Key(_usable(own.read_text(encoding="utf-8", errors="replace").strip(), str(own)), str(own))
    login = netrc_file(environment)
    host = urlsplit(base_url(environment)).hostname or ""
    if password := _netrc_password(login, host):
        _check_private(login)
        return Key(_usable(password, str(login)), str(login))
    raise InputError(
        f"no key for {host}: export WANDB_API_KEY=…, or type `wandb login` once (it writes {login}); find the key at https://wandb.ai/authorize"
    )


def _netrc_password(path: Path, host: str) -> str:
    try:
        found = netrc.netrc(str(path)).hosts.get(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return ""
    return found[2] or "" if found else ""


def _check_private(path: Path) -> None:
    told = path.stat()
    if told.st_mode & _OTHERS:
        raise InputError(f"{path} holds a key and can be read by others: chmod 600 {path}")
    if told.st_uid != os.geteuid():
        raise InputError(f"{path} holds a key and belongs to somebody else: export WANDB_API_KEY=…")


def _usable(key: str, source: str) -> str:
    """The key, where it can be one: it goes into a header."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"{source} holds no key: it should be one word, as https://wandb.ai/authorize shows it")
    return key


class _Stay(urllib.request.HTTPRedirectHandler):
    """The key goes to the server that was named, and not where that sends us."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def ask_entity(url: str, key: Key) -> str:
    """Ask the server who we are: the entity that runs go to by default; empty where it does not tell.

    Raises:
        TemporaryError: It does not answer.
        InputError: It refuses the key.
    """
    body = json.dumps({"query": "query Viewer { viewer { username entity } }"}).encode()
    word = base64.b64encode(f"api:{key.value}".encode()).decode()
    headers = {"Authorization": f"Basic {word}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/graphql", body, headers)  # noqa: S310  http or https: `base_url`
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=ANSWER_S) as answer:
            told = json.loads(answer.read(1 << 20))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise InputError(f"{url} refuses the key of {key.source}; type `wandb login --relogin`") from None
        if error.code == 429 or error.code >= 500:
            raise TemporaryError(f"{url} answers {error.code}; try again later") from None
        return ""
    except (OSError, urllib.error.URLError) as error:
        why = getattr(error, "reason", error)
        raise TemporaryError(
            f"{url} does not answer ({why}); nothing is lost: type the same command on a machine that has a network"
        ) from None
    except ValueError:  # somebody answers, and not as wandb does
        return ""
    viewer = told.get("data", {}).get("viewer", {}) if isinstance(told, dict) and told.get("data") else {}
    if viewer is None:
        raise InputError(f"{url} refuses the key of {key.source}; type `wandb login --relogin`")
    return str(viewer.get("entity") or viewer.get("username") or "")


def client_command() -> list[str]:
    """How wandb's own command is called.

    Raises:
        MissingPackage: It is not installed.
    """
    if find_spec("wandb") is not None and not shutil.which("wandb"):
        return [sys.executable, "-P", "-m", "wandb"]
    if found := shutil.which("wandb"):
        return [found]
    raise MissingPackage("wandb", "hpc sync")


def send_files(
    files: Sequence[Path], key: Key, environment: Mapping[str, str], home: Path, entity: str = "", project: str = ""
) -> dict[Path, Sent]:
    """Send offline runs by ``wandb sync``; what it says of each. Its exit code tells nothing: it marks what it sent.

    Args:
        files: Files of offline runs; those of one run id go in the order of their start.
        key: The key, handed on by the environment.
        environment: What else the client finds, such as proxies.
        home: Folder for its own files.
        entity: Where they go; empty is as each file says.
        project: Likewise.
    """
    for file in files:
        marker(file).unlink(missing_ok=True)  # of an earlier call, perhaps to another server
    make_folder(home)
    words = [*client_command(), "sync", "--include-synced"]
    words += ["--entity", entity] if entity else []
    words += ["--project", project] if project else []
    own = {name: value for name, value in environment.items() if name not in _OF_ONE_RUN}
    own |= {"WANDB_API_KEY": key.value, "WANDB_DIR": str(home)}
    patience = _START_S + _FILE_S * len(files) + sum(file.stat().st_size for file in files) / _BYTES_PER_S
    said, in_time = _call([*words, *map(str, files)], own, home, patience)
    said = said.replace(key.value, "…")
    return {file: _judge(file, said, in_time, alone=len(files) == 1) for file in files}


def _call(words: Sequence[str], environment: Mapping[str, str], home: Path, patience: float) -> tuple[str, bool]:
    """Run the client with what it starts; return what it printed and whether it ended by itself."""
    with subprocess.Popen(
        words, cwd=home, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    ) as child:  # fmt: skip
        try:
            return child.communicate(timeout=patience)[0], True
        except subprocess.TimeoutExpired:
            _end(child)
            return child.communicate()[0], False
        except BaseException:
            _end(child)
            raise


def _end(child: "subprocess.Popen[str]") -> None:
    """End it with the service that it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        child.kill()


def _judge(file: Path, said: str, in_time: bool, *, alone: bool) -> Sent:
    """What became of one file of a call; what is said of none in particular is said of the one that was sent alone."""
    lines = [line.removeprefix("wandb: ").strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    complaint = " ".join(line for line in errors if alone or file.parent.name in line)
    if marker(file).exists():
        return Sent(ok=True)
    if not in_time:
        return Sent(ok=False, message="wandb did not finish; the network may be down")
    if _PARTLY in complaint:
        return Sent(ok=True, partly=True, message=complaint)
    return Sent(ok=False, message=(complaint or (lines or ["wandb said nothing"])[-1])[:300])
