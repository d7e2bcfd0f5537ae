"""Archives: zip and tar files from strangers, unpacked without leaving the folder that they are given."""

import errno
import gzip
import hashlib
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from transferability.errors import InputError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

# A file or folder counts as a block of the disk at least, and all of them as at most so many times the archive: images
# are compressed already. Small archives may unpack to SMALL bytes in any case.
BLOCK = 4096
EXPANSION = 100
SMALL = 2**30

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


def is_noise(name: str) -> bool:
    """Whether a name is a hidden file's, or of what one system adds to everything that it packs."""
    return name.startswith(".") or name in ("__MACOSX", "Icon\r")


def check_md5(path: Path, expected: str) -> None:
    """Refuse a file whose MD5 is another."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != expected:
        raise InputError(
            f"{path}: its md5 is {found}, not {expected} as datasets.*.images.md5 says; get the file once more"
        )


def open_stream(path: Path) -> BinaryIO:
    """A tar file as a stream, decompressed where its name says that it is compressed."""
    return open(path, "rb") if path.name.lower().endswith(".tar") else gzip.open(path)


def members(path: Path) -> Iterator[tuple[str, int, BinaryIO | None]]:
    """An archive's members in turn: name, size in bytes, and the open content, None for a folder.

    A member that is neither file nor folder is an InputError.
    """
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir():
                    yield entry.filename, 0, None
                elif kind not in (0, stat.S_IFREG):
                    raise InputError(f"{path}: holds {entry.filename!r}, which is no plain file; pack it without that")
                else:
                    with archive.open(entry) as content:
                        yield entry.filename, entry.file_size, content
    else:
        with open_stream(path) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                for entry in archive:
                    # It would remember every member, of a million.
                    archive.members = []
                    if entry.isdir():
                        yield entry.name, 0, None
                    elif not entry.isreg():
                        raise InputError(f"{path}: holds {entry.name!r}, which is no plain file; pack it without that")
                    else:
                        with archive.extractfile(entry) as content:
                            yield entry.name, entry.size, content
            # The check sum is behind what a tar file says is its end.
            while stream.read(2**20):
                pass


def unpack(path: Path, into: Path) -> None:
    """Unpack an archive into a new folder, whole or not at all.

    Refused, with nothing left behind, are names that lead out of the folder, links and devices, and more content
    than an archive of this size or the disk can hold. Hidden files are left out.
    """
    temporary = into.with_name(f"{into.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    allowed = max(SMALL, EXPANSION * path.stat().st_size)
    free = shutil.disk_usage(temporary).free
    total = 0
    try:
        for name, size, content in members(path):
            place = PurePosixPath(name)
            if place.is_absolute() or ".." in place.parts or "\0" in name:
                raise InputError(f"{path}: holds {name!r}, which leads out of its folder; do not trust this archive")
            if any(map(is_noise, place.parts)):
                continue
            total += max(size, BLOCK)
            if total > allowed:
                raise InputError(
                    f"{path}: unpacks to more than {allowed:,} bytes, which an archive of images of its size does not; "
                    "if you trust it, unpack it yourself and name the folder"
                )
            if total > free:
                raise InputError(f"{path}: unpacks to more than the {free:,} bytes that are free in {into.parent}")
            if content is None:
                (temporary / place).mkdir(parents=True, exist_ok=True)
                continue
            (temporary / place).parent.mkdir(parents=True, exist_ok=True)
            with open(temporary / place, "xb") as file:
                shutil.copyfileobj(content, file, 2**20)
                if file.tell() != size:
                    raise EOFError(f"{name} is cut off")
        temporary.rename(into)
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be unpacked ({error}); unpack it yourself and name the folder") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"{path}: holds {name!r} twice; unpack it yourself and name the folder") from None
    except DAMAGES as error:
        # Without a number it is a decompressor's, and EINVAL an offset that is none; any other is the disk's.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise InputError(f"{path}: not a whole archive ({error}); get the file once more") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
