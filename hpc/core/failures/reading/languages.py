"""What the C library and shells say in other languages, put into English, so that one rule knows it in all of them.

The phrases are those of glibc's `strerror` and `strsignal` and of bash, as their translations have them; older and
newer wordings stand side by side. Data and one function. Pure, linear.
"""

import re

from hpc.core.failures.engine import Finder

PHRASES: tuple[tuple[str, str], ...] = (
    ("No such file or directory",
     "Datei oder Verzeichnis nicht gefunden|Aucun fichier ou (?:dossier|répertoire) de ce (?:type|nom)"
     "|No existe el (?:fichero|archivo) o el directorio|File o directory non esistente"
     "|Arquivo ou diretório inexistente"
     "|没有那个文件或目录|沒有此一檔案或目錄|そのようなファイルやディレクトリはありません"
     "|그런 파일이나 디렉터리가 없습니다"
     "|Нет такого файла или каталога|Nie ma takiego pliku ani katalogu|Bestand of map bestaat niet"),
    ("Permission denied",
     "Keine Berechtigung|Permission non accordée|Permiso denegado|Permesso negato|Permissão negada|权限不够"
     "|拒絕不符權限的操作"
     "|許可がありません|허가 거부|Отказано в доступе|Brak dostępu"),
    ("No space left on device",
     "Auf dem Gerät ist kein Speicherplatz mehr verfügbar|Kein (?:Speicherp|P)latz mehr auf dem Gerät(?: verfügbar)?"
     "|Aucun espace disponible sur le périphérique|Plus d'espace disponible sur le périphérique"
     "|No queda espacio en el dispositivo|Spazio esaurito sul device|Não há espaço disponível no dispositivo"
     "|设备上没有空间|裝置上已無多餘空間|デバイスに空き領域がありません|장치에 남은 공간이 없음"
     "|На устройстве (?:не осталось|кончилось) мест[оа]|Brak miejsca na urządzeniu"),
    ("Disk quota exceeded",
     r"(?:Der zugewiesene Plattenplatz|Plattenplatz\w*) \(Quota\) ist überschritten"
     r"|Débordement du quota d'espace disque"
     "|Quota d'espace disque dépassé|Se ha excedido la cuota de disco|Quota disco superata|超出磁盘限额"
     "|磁碟使用量超出限額"
     "|ディスク使用量制限を超過しました|Превышена дисковая квота"),
    ("Input/output error",
     "Eingabe-/Ausgabefehler|Erreur d'entrée/sortie|Error de entrada/salida|Errore di input/output"
     "|Erro de entrada/saída"
     "|输入/输出错误|輸入/輸出錯誤|入力/出力エラー(?:です)?|입력/출력 오류|Ошибка ввода/вывода|Błąd wejścia/wyjścia"),
    ("Stale file handle",
     r"Veraltete Dateizugriffsnummer|(?:Identificateur|Descripteur) de fichier (?:obsolète|périmé)"
     r"|`?handle'? de fichero en desuso|过旧的文件(?:控柄|句柄)|失效文件句柄|古いファイルハンドル(?:です)?"
     r"|Устаревший дескриптор файла"),
    ("Read-only file system",
     "Das Dateisystem ist nur lesbar|Système de fichiers accessible en lecture seulement"
     "|Sistema de (?:ficheros|archivos) de s[óo]lo lectura|只读文件系统|唯讀檔案系統"
     "|読み込み専用ファイルシステム(?:です)?"
     "|Файловая система доступна только для чтения"),
    ("Cannot allocate memory",
     "Nicht genügend Hauptspeicher verfügbar|Kann keinen Hauptspeicher allozieren|Der Speicher reicht nicht aus"
     "|(?:Impossible d'|Ne peut )allouer de la mémoire|No se (?:pudo|puede) asignar (?:la )?memoria"
     "|Impossibile allocare (?:la )?memoria|Não foi possível alocar memória|无法分配内存|無法配置記憶體"
     "|メモリ(?:ー)?を(?:確保|割り当て)(?:できません|ることができません)|메모리를 할당할 수 없습니다"
     "|(?:Не удалось|Невозможно) выделить память|Nie można przydzielić pamięci"),
    ("Connection refused",
     "Verbindungsaufbau abgelehnt|Connexion refusée|Conexión rehusada|Connessione rifiutata|Conexão recusada"
     "|拒绝连接|连接被拒绝"
     "|拒絕連線|接続を拒否されました|В соединении отказано"),
    ("Connection reset by peer",
     "Die Verbindung wurde vom Kommunikationspartner zurückgesetzt|Connexion ré-?initialisée par le correspondant"
     "|Conexión reinicializada por la máquina remota|连接被对方重设|接続が相手からリセットされました"),
    ("Connection timed out",
     "Die Wartezeit für die Verbindung ist abgelaufen|Connexion terminée par expiration du délai d'attente"
     "|Expiró el tiempo de conexión|连接超时|連線逾時|接続がタイムアウトしました"),
    ("Too many open files",
     "Zu viele offene Dateien|Trop de fichiers ouverts|Demasiados (?:archivos|ficheros) abiertos|打开的文件过多"
     "|開いているファイルが多すぎます"),
    ("Resource temporarily unavailable",
     "Die Ressource ist zur Zeit nicht verfügbar|Ressource temporairement non disponible"
     "|Recurso (?:temporalmente )?no disponible|资源暂时不可用|リソースが一時的に利用できません"),
    ("command not found",
     "(?:Kommando|Befehl) nicht gefunden|commande introuvable|(?:orden|comando) no encontrad[oa]"
     "|no se encontró la orden"
     "|comando non trovato|comando não encontrado|未找到命令|找不到指令|コマンドが見つかりません"
     "|명령어를 찾을 수 없음"
     "|команда не найдена|nie znaleziono polecenia"),
    ("Segmentation fault",
     "Speicherzugriffsfehler|Erreur de segmentation|Violación de segmento|Fallo de segmentación"
     "|Errore di segmentazione"
     "|段错误|程式記憶體區段錯誤|セグメンテーション(?:違反|フォルト)(?:です)?|Ошибка сегментирования"
     "|Naruszenie ochrony pamięci"),
    ("Illegal instruction",
     "Ungültiger Maschinenbefehl|Instruction (?:non permise|illégale)|Instrucción ilegal|非法指令|不正な命令です"),
    ("Bus error", "Bus-?Zugriffsfehler|Erreur (?:du|de) bus|Error (?:en el|de) bus|总线错误|バスエラー"),
    ("Floating point exception",
     "Gleitkomma-Ausnahme|Exception en (?:point|virgule) flottante?|Excepción de coma flotante|浮点数例外"
     "|浮動小数点例外"),
    ("Killed", "Getötet|Processus arrêté|Terminado \\(killed\\)|已杀死|強制終了"),
)  # fmt: skip
"""What it is in English; a pattern of what it is elsewhere."""

NEEDLES = (
    "nicht gefunden", "fichier", "existe el", "inexistente", "non esistente", "没有", "沒有", "ありません",
    "없", "нет так", "nie ma", "berechtigung", "accordée", "denegado", "negato", "权限", "權限", "отказано",
    "speicher", "kein platz", "plattenplatz", "aucun espace", "plus d'espace", "queda espacio", "há espaço",
    "spazio", "устройств", "miejsca", "cuota", "限额", "限額", "超過", "ausgabefehler", "sortie", "salida",
    "错误", "錯誤", "エラー", "오류", "ошибка", "veraltet", "句柄", "控柄", "ハンドル", "lesbar",
    "en lecture", "lectura", "只读", "mémoire", "asignar", "内存", "記憶體", "メモリ", "память", "verbindung",
    "connexion", "conexi", "连接", "接続", "offene dateien", "ouverts", "abiertos", "过多", "多すぎ",
    "ressource", "temporairement", "资源", "introuvable", "encontrad", "未找到", "找不到", "見つかりません",
    "erreur de seg", "violación de seg", "fallo de seg", "errore di seg", "naruszenie", "セグメ", "非法",
    "instruction non", "instruction ill", "instrucción ilegal", "バス", "总线", "gleitkomma", "浮", "getötet",
    "arrêté", "杀死", "強制終了", "無法", "无法", "できません",
)  # fmt: skip
"""Beginnings of trouble in these languages, lower case: as `hpc.core.failures.log_scan.NEEDLES`."""

_ANY = Finder("|".join(pattern for _, pattern in PHRASES))
_EACH = tuple((english, re.compile(pattern, re.IGNORECASE)) for english, pattern in PHRASES)


def in_english(text: str) -> str:
    """A line with known phrases of other languages put into English; others as they are."""
    if not _ANY.found(text):
        return text
    for english, phrase in _EACH:
        text = phrase.sub(english, text)
    return text
