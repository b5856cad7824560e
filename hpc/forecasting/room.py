"""Room where runs are written: free space and files of the file system, and what the user's quota there leaves."""

from pathlib import Path

from hpc.adapters.shared_disk import free_files, free_mib, mount_at, nearest_folder, read_quotas
from hpc.core.immutable import immutable


@immutable
class Room:
    """How much can still be written.

    Attributes:
        folder: The folder that was looked at: the nearest that exists.
        free_mib: Free space for this user, in MiB.
        free_files: Files and folders that may still be made; None where the file system does not count them.
        quota_mib: What the quota leaves, in MiB; None without a quota, or where nobody could be asked.
        quota_files: The same for files.
    """

    folder: Path
    free_mib: float
    free_files: int | None = None
    quota_mib: float | None = None
    quota_files: int | None = None

    @property
    def least_mib(self) -> float:
        """What is left by the tighter of both."""
        return self.free_mib if self.quota_mib is None else min(self.free_mib, self.quota_mib)

    @property
    def least_files(self) -> int | None:
        """The same for files; None where neither is counted."""
        return min((each for each in (self.free_files, self.quota_files) if each is not None), default=None)

    @property
    def is_by_quota(self) -> bool:
        """Whether the quota is what bounds the space."""
        return self.quota_mib is not None and self.quota_mib < self.free_mib


def look_at_room(path: Path) -> Room:
    """Ask how much can be written below a folder, which may not exist yet."""
    folder = nearest_folder(path)
    mount = mount_at(folder)
    there = [each for each in read_quotas(mount) if mount and each.where in (mount.source, mount.point)]
    space = [_left(each.used_kib, each.soft_kib, each.hard_kib) for each in there]
    files = [_left(each.files, each.soft_files, each.hard_files) for each in there]
    return Room(folder, free_mib(folder), free_files(folder), _tightest(space, 1024.0), _tightest_count(files))


def _left(used: int, soft: int, hard: int) -> int | None:
    """What the tighter of two limits leaves; None where neither is set."""
    bounds = [each for each in (soft, hard) if each]
    return max(0, min(bounds) - used) if bounds else None


def _tightest(left: list[int | None], unit: float) -> float | None:
    least = _tightest_count(left)
    return None if least is None else least / unit


def _tightest_count(left: list[int | None]) -> int | None:
    return min((each for each in left if each is not None), default=None)
