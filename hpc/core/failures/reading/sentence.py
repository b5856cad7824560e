"""The sentence in a line: its words without paths, addresses, settings and identifiers. Pure.

``RuntimeError: cannot bind rank_0 at tcp://dataset-node:29500 (cfg.config=/data/labels.csv)`` speaks neither of data
nor of a configuration.
"""

import re

_NAMES = re.compile(
    r"\b\w{1,12}://\S{1,400}"  # addresses
    r"|(?<![\w.])[~.]{0,2}/[\w.@%+,=:~-]{1,200}(?:/[\w.@%+,=:~-]{0,200}){0,40}"  # paths
    r"|\b[\w-]{1,80}(?:/[\w.-]{1,80}){1,20}\b"  # relative ones, and names of repositories
    r"|(?<![\w.])-{0,2}[A-Za-z_][\w.-]{0,80}=[^\s,;)]{1,200}"  # settings
    r"|\b(?!state_dict)[A-Za-z]\w{0,60}(?:(?:_|::)\w{1,60}){1,10}\b(?:\(\))?"  # identifiers
)
_EXCEPTION = re.compile(r"^\s{0,40}(?:\w{1,60}\.){0,8}\w{1,80}(?=:|$)")


def sentence_of(text: str) -> str:
    """The line, with a placeholder for everything that only names something; an exception's own name stays."""
    name = _EXCEPTION.match(text)
    begin = name.end() if name else 0
    return text[:begin] + _NAMES.sub("·", text[begin:])
