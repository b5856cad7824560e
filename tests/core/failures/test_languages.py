"""Errors in other languages are known by the rules of the English ones."""

from pathlib import Path

import pytest

from hpc.adapters.logs import read_log
from hpc.core.failures import log_scan
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, LogLine
from hpc.core.failures.reading.languages import PHRASES, in_english

SAID = {
    "cp: Schreibfehler auf 'x': Auf dem Gerät ist kein Speicherplatz mehr verfügbar": "storage",
    "OSError: [Errno 122] Débordement du quota d'espace disque": "storage",
    "cp: error al escribir 'x': No queda espacio en el dispositivo": "storage",
    "cp: 書き込みエラー: デバイスに空き領域がありません": "storage",
    "输入/输出错误": "storage",
    "fork: Impossible d'allouer de la mémoire": "oom_host",
    "fork: 无法分配内存": "oom_host",
    "run.sh: Zeile 4:  1234 Speicherzugriffsfehler  ./a.out": "code_bug",
    "run.sh: 行 4: 1234 段错误 (核心已转储) ./a.out": "code_bug",
    "bash: ligne 3: python3: commande introuvable": "environment",
    "bash: 行 3: mpirun: コマンドが見つかりません": "environment",
}


@pytest.mark.parametrize("line", SAID)
def test_errors_are_known_in_other_languages(line: str) -> None:
    """By the C library's and the shell's own translations; the line is quoted as it stands."""
    verdict = classify(Evidence(exit_code=1, log=(LogLine("log", 1, "step 1 loss 2.0"), LogLine("log", 2, line))))
    assert verdict.category == SAID[line]
    assert verdict.evidence[0].text == line


@pytest.mark.parametrize("line", SAID)
def test_a_long_log_keeps_what_other_languages_say(line: str, tmp_path: Path) -> None:
    """Their words are among those that are looked for in logs of gigabytes."""
    assert log_scan.suspicious(line)
    log = tmp_path / "x.log"
    log.write_text("\n".join([*["calm line of a program"] * 5000, line, *["calm line of a program"] * 5000]) + "\n")
    assert line in [kept.text for kept in read_log(log, "log")]


def test_english_lines_stay_as_they_are() -> None:
    """Nothing is put into English that is English already, and each phrase leads to its own."""
    for english, _ in PHRASES:
        assert in_english(f"x: {english}") == f"x: {english}"
    assert in_english("instruction tuning of segment 3, Platz 4") == "instruction tuning of segment 3, Platz 4"
