"""Sending word out of the machine: a command, a webhook, e-mail.

Bounded in time, and what may be a secret (the URL of a webhook) is never repeated.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from http.client import HTTPException
from typing import Any

COMMAND_S = 60.0
WEBHOOK_S = 10.0
TRIES = 3
MAX_VARIABLE = 8000
"""Characters of a text in an environment variable: Linux takes 128 KiB at most."""
_SENDMAIL_FOLDERS = "/usr/sbin:/usr/lib:/sbin"


class NotSent(Exception):  # noqa: N818  the caller writes it down and goes on
    """A notice did not leave; the text says why and holds no secret."""


def send_by_command(line: str, text: str, variables: Mapping[str, str], timeout_s: float = COMMAND_S) -> None:
    """Run a command line without a shell: values in its environment, the text as its input.

    Raises:
        NotSent: It is not there, failed or took too long; it is then ended with everything it started.
    """
    argv = shlex.split(line)
    values = {name: _one_piece(value)[:MAX_VARIABLE] for name, value in variables.items()}
    # In memory, as the disk may be full; a pipe would have to be watched while the program reads it, or does not.
    with os.fdopen(os.memfd_create("notice"), "w+b") as file:
        file.write(text.encode("utf-8", "replace"))
        file.seek(0)
        try:
            process = subprocess.Popen(
                argv, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, **values}, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise NotSent(f"{argv[0]} does not start: {_name_of(error)}") from None
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise NotSent(f"{argv[0]} took longer than {timeout_s:g} s") from None
    if process.returncode:
        raise NotSent(f"{argv[0]} ended with exit code {process.returncode}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer, not a place to go to: the text is for the address that was given."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def send_by_webhook(
    url: str,
    fields: Mapping[str, str],
    timeout_s: float = WEBHOOK_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """POST JSON, again after 1 and 2 s where the other side did not answer or was busy (429, 5xx).

    Raises:
        NotSent: The URL is none, or nobody took it.
    """
    if not re.match(r"https?://", url, re.IGNORECASE):
        raise NotSent("the variable does not hold an http or https URL")
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(), _NoRedirect(),
    ):  # fmt: skip
        opener.add_handler(handler)
    body = json.dumps(fields).encode()
    why = ""
    for attempt in range(TRIES):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        try:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310  the scheme is checked
            opener.open(request, timeout=timeout_s).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            why = f"HTTP status {error.code}"
            if error.code != 429 and error.code < 500:
                break
        except (OSError, HTTPException, ValueError) as error:
            why = _name_of(getattr(error, "reason", error))
    raise NotSent(why)


def send_by_mail(address: str, title: str, text: str, timeout_s: float = COMMAND_S) -> None:
    """Send e-mail by this machine's sendmail, or its mail command.

    Raises:
        NotSent: There is neither, or it refused.
    """
    path = f"{os.environ.get('PATH', '')}:{_SENDMAIL_FOLDERS}"
    if sendmail := shutil.which("sendmail", path=path):
        message = EmailMessage()
        message["To"], message["Subject"] = address, _one_line(title)
        message.set_content(text.encode("utf-8", "replace").decode())  # of a path that is no UTF-8
        send_by_command(f"{shlex.quote(sendmail)} -t -i", message.as_string(), {}, timeout_s)
    elif mail := shutil.which("mail", path=path):
        send_by_command(shlex.join([mail, "-s", _one_line(title), address]), text, {}, timeout_s)
    else:
        raise NotSent(f"neither sendmail nor mail is installed on {socket.gethostname()}")


def _one_piece(text: str) -> str:
    return text.replace("\0", "")


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200]


def _name_of(error: object) -> str:
    """Say what went wrong by the system's own words: other errors may repeat the URL, which is a secret."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
