"""Configure Apptainer for a root that lacks capabilities: `root_capabilities.py ETC_APPTAINER`.

In some virtual machines and containers even root may not hold every capability, and Apptainer, which asks for all of
them, then fails with "Requesting capability set … while permitted …". Two settings cure that: in the configuration,
for `exec` and for the containers inside a build; in the environment (APPTAINER_DROP_CAPS), for `%post`.
Prints the missing capabilities, comma separated, for the second; an empty line where root has all of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# In the order of their numbers: linux/capability.h.
# fmt: off
NAMES = [
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
]
# fmt: on
ALL, LISTED = "\nroot default capabilities = full\n", "\nroot default capabilities = file\n"


def split_capabilities(bounding: int, last: int) -> tuple[list[str], list[str]]:
    """Names of the capabilities held and lacking, from the bounding set's bits and the kernel's highest number."""
    known = [(f"CAP_{name.upper()}", bounding >> number & 1) for number, name in enumerate(NAMES) if number <= last]
    return [name for name, held in known if held], [name for name, held in known if not held]


def main(folder: Path) -> int:
    """Write the configuration where one is needed."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    bounding = int(next(line for line in status if line.startswith("CapBnd")).split()[1], 16)
    held, lacking = split_capabilities(bounding, int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii")))
    if lacking:
        configuration = folder / "apptainer.conf"
        text = configuration.read_text(encoding="utf-8")
        if ALL not in text:
            print(f"root_capabilities: no line {ALL.strip()!r} in {configuration}", file=sys.stderr)  # noqa: T201
            return 1
        configuration.write_text(text.replace(ALL, LISTED), encoding="utf-8")
        (folder / "capability.json").write_text(json.dumps({"users": {"root": held}}), encoding="utf-8")
    print(",".join(lacking))  # noqa: T201 - read by install-apptainer
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
