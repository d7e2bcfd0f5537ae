"""Archives: zip and tar files from strangers, unpacked without leaving the folder that they are given."""

import errno
import gzip
import hashlib
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from transferability.data.names import shown
from transferability.errors import InputError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

# A file or folder counts as a block of the disk at least, and all of them as at most so many times the archive: images
# are compressed already. Small archives may unpack to SMALL bytes in any case.
BLOCK = 4096
EXPANSION = 100
SMALL = 2**30

# What may be read into memory at once: the headers of a tar file's member, the directory of a zip file.
TAR_HEADER = 2**22
ZIP_DIRECTORY = 2**29

# What readers of damaged archives raise.
DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    OSError,
    ValueError,
)


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its name."""
    return path.name.lower().endswith(SUFFIXES)


def check_md5(path: Path, expected: str) -> None:
    """Refuse a file whose MD5 is another."""
    with open(path, "rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 != expected:
        raise InputError(
            f"{path}: its md5 is {md5}, not {expected} as datasets.*.images.md5 says; get the file once more"
        )


@dataclass(frozen=True)
class Guarded:
    """A file that an archive's reader reads, and that refuses to be read into memory by more than `limit` at once."""

    file: IO[bytes] | gzip.GzipFile
    path: Path
    limit: int

    def read(self, size: int = -1) -> bytes:
        if size <= self.limit:
            data = self.file.read(size if size >= 0 else self.limit + 1)
            if len(data) <= self.limit:
                return data
        raise InputError(
            f"{shown(str(self.path))}: has a header of more than {self.limit:,} bytes, which no archive of images has; "
            "if you trust it, unpack it yourself and name the folder"
        )

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True


@dataclass(frozen=True)
class Member:
    """One member of an archive: a file with its size and open content, a hard link to an earlier file, or a folder."""

    name: str
    size: int = 0
    content: IO[bytes] | None = None
    link: str | None = None


def no_plain_file(path: Path, name: str) -> InputError:
    """The error of a member that is no file, folder or hard link."""
    return InputError(f"{shown(str(path))}: holds {name!r}, which is no plain file; pack it without that")


def zip_members(path: Path) -> Iterator[Member]:
    """A zip file's members in turn."""
    with open(path, "rb") as file, zipfile.ZipFile(Guarded(file, path, ZIP_DIRECTORY)) as archive:
        for entry in archive.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir():
                yield Member(entry.filename)
            elif kind not in (0, stat.S_IFREG):
                raise no_plain_file(path, entry.filename)
            else:
                with archive.open(entry) as content:
                    yield Member(entry.filename, entry.file_size, content)


def tar_members(path: Path) -> Iterator[Member]:
    """A tar file's members in turn, decompressed where its name says that it is compressed."""
    with open(path, "rb") if path.name.lower().endswith(".tar") else gzip.open(path) as stream:
        guarded: Any = Guarded(stream, path, TAR_HEADER)
        with tarfile.open(fileobj=guarded, mode="r:") as archive:
            for entry in archive:
                # It would remember every member, of a million.
                archive.members = []  # type: ignore[attr-defined]
                if entry.isdir():
                    yield Member(entry.name)
                elif entry.islnk():
                    yield Member(entry.name, link=entry.linkname)
                elif not entry.isreg():
                    raise no_plain_file(path, entry.name)
                else:
                    with archive.extractfile(entry) or io.BytesIO() as content:
                        yield Member(entry.name, entry.size, content)
        # The check sum is behind what a tar file says is its end.
        while stream.read(2**20):
            pass


def checked_place(path: Path, name: str) -> PurePosixPath:
    """Where a member goes, relative to the folder; a name that leads out of that is an InputError."""
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\0" in name:
        raise InputError(
            f"{shown(str(path))}: holds {name!r}, which leads out of its folder; do not trust this archive"
        )
    return place


@dataclass
class Unpacking:
    """An archive that is being unpacked into a folder, and the bytes that it has taken so far."""

    path: Path
    into: Path
    allowed: int
    free: int
    total: int = 0

    def count(self, size: int) -> None:
        """Count a member's bytes before it is written; more than an archive or the disk can hold are an InputError."""
        self.total += max(size, BLOCK)
        if self.total > self.allowed:
            raise InputError(
                f"{self.path}: unpacks to more than {self.allowed:,} bytes, which an archive of images of its size "
                "does not; if you trust it, unpack it yourself and name the folder"
            )
        if self.total > self.free:
            raise InputError(
                f"{self.path}: unpacks to more than the {self.free:,} bytes that are free in {self.into.parent}"
            )

    def write(self, member: Member) -> None:
        """Write a file, a copy of what a link names, or a folder."""
        target = self.into / checked_place(self.path, member.name)
        origin = self.linked(member, member.link) if member.link is not None else None
        self.count(origin.stat().st_size if origin else member.size)
        if origin:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(exist_ok=False)
            shutil.copyfile(origin, target)
            return
        if member.content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            shutil.copyfileobj(member.content, file, 2**20)
            if file.tell() != member.size:
                raise EOFError(f"{member.name} is cut off")

    def linked(self, member: Member, link: str) -> Path:
        """The file that a hard link is a second name of, if it has been unpacked; any other link is an InputError."""
        place = PurePosixPath(link)
        if place.is_absolute() or ".." in place.parts or "\0" in link:
            raise no_plain_file(self.path, member.name)
        if not (self.into / place).is_file():
            raise InputError(
                f"{shown(str(self.path))}: holds {member.name!r}, a link to {link!r}, which is not in the "
                "archive before it; pack it anew with tar --hard-dereference, or unpack it yourself and name the folder"
            )
        return self.into / place


def unpack(path: Path, into: Path) -> None:
    """Unpack an archive into a new folder, whole or not at all.

    Refused, with nothing left behind, are names that lead out of the folder, links to what is not in the archive,
    devices, and more content than an archive of this size or the disk can hold.
    """
    temporary = into.with_name(f"{into.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    allowed = max(SMALL, EXPANSION * path.stat().st_size)
    unpacking = Unpacking(path, temporary, allowed, shutil.disk_usage(temporary).free)
    try:
        with damages_named(path):
            for member in zip_members(path) if path.name.lower().endswith(".zip") else tar_members(path):
                try:
                    unpacking.write(member)
                except (FileExistsError, NotADirectoryError, IsADirectoryError):
                    raise InputError(
                        f"{path}: holds {member.name!r} twice; unpack it yourself and name the folder"
                    ) from None
        temporary.rename(into)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def damages_named(path: Path) -> Iterator[None]:
    """Make an InputError of what the readers of an archive raise."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be unpacked ({error}); unpack it yourself and name the folder") from None
    except DAMAGES as error:
        # Without a number it is a decompressor's, and EINVAL an offset that is none; any other is the disk's.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise InputError(f"{path}: not a whole archive ({error}); get the file once more") from None
