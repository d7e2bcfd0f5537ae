"""Data sets: images read once from where they are, and packed for everything that follows.

A packed data set is a folder of three files:
  images.npy  stored as pixels: uint8 (N, C, H, W), memory-mapped by its readers; as jpeg: uint8 (bytes,), JPEG files
              end to end
  index.csv   one row an image: index, class, part (the source's own, or empty), file, sha256 of its pixels or of its
              JPEG file, and for jpeg the end of that file in images.npy; of images of several labels these stand in
              class, with | between, and two columns more have the labels whose objects are all difficult, and, as
              JSON, the boxes in shares of the stored image: label, left, top, right, bottom, difficult, truncated;
              where there are masks, a column more has that of each image, a PNG in base64, of those that have one
  card.json   where it came from, its classes, parts and sets with their counts, what could not be read or was left
              out, mean and deviation of each channel, the hash of index.csv, which names the content, and the listing
              of the folder or archive, by which a later start tells whether the images are still those

Until it is whole there are hidden files beside them, from which the next start goes on: the images so far, and a
journal of the chunks that are done.
"""

import argparse
import csv
import errno
import gc
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from transferability import files
from transferability.data import images
from transferability.data.annotations import Annotated, stored_boxes
from transferability.data.entries import SEPARATOR, Entry, Source, labels_of, note
from transferability.data.masks import Masks
from transferability.data.names import shown
from transferability.data.sources import open_source
from transferability.errors import InputError, exit_plainly
from transferability.forms.fields import SEVERAL
from transferability.forms.packed import PackedCard
from transferability.forms.split import Split
from transferability.locks import only_writer
from transferability.provenance import fingerprint
from transferability.words import counted

# Images that are read, written and noted in the journal together. The packed bytes do not depend on it.
CHUNK = 200

# Below so many images a further process costs more than it saves.
IMAGES_A_PROCESS = 1000

# A forked process has the source at once; elsewhere than on Linux forking is not safe.
START_METHOD = "fork" if sys.platform == "linux" else None

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The start of an .npy file of uint8: as long for any number of images, because numpy leaves room for it."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


@dataclass(frozen=True)
class Job:
    """What is packed, and how: the file of images begins with `offset` bytes of header."""

    source: Source
    storage: str
    size: int
    channels: int
    interpolation: str
    square: str
    sets: tuple[str, ...]
    file: Path
    offset: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.size, self.size

    @property
    def several(self) -> bool:
        """Whether images may have several labels."""
        return isinstance(self.source, Annotated)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the index."""
        end, annotation = ("end",) if self.storage == "jpeg" else (), ("difficult", "boxes") if self.several else ()
        mask = ("mask",) if self.masks is not None else ()
        return ("index", "class", "part", "file", "sha256", *end, *annotation, *mask)

    def annotation(self, number: int) -> tuple[str, ...]:
        """What an entry has in the last columns of the index, where images may have several labels."""
        if not isinstance(self.source, Annotated):
            return ()
        annotation = self.source.annotations[number]
        told = (
            SEPARATOR.join(annotation.difficult),
            json.dumps(stored_boxes(annotation, self.size, self.square == "warp")),
        )
        if self.masks is None or annotation.size is None:
            return told
        file = self.source.entries[number].file
        return (*told, self.masks.stored(file, annotation.size, self.size, self.square))

    @property
    def masks(self) -> Masks | None:
        """The masks of the source's images, if there are some."""
        return self.source.masks if isinstance(self.source, Annotated) else None

    @property
    def image_bytes(self) -> int:
        """The bytes of an image's pixels."""
        return math.prod(self.shape)

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return math.ceil(len(self.source.entries) / CHUNK)

    def entries(self, chunk: int) -> list[Entry]:
        """The entries of a chunk."""
        return self.source.entries[chunk * CHUNK : (chunk + 1) * CHUNK]

    def identity(self, chunk: int) -> str:
        """What a chunk is made of."""
        listing = "\n".join(f"{entry.part}\0{entry.file}\0{entry.stamp}" for entry in self.entries(chunk))
        return hashlib.sha256(listing.encode()).hexdigest()


@dataclass(frozen=True)
class Chunk:
    """A chunk that is packed, one row of each list an image.

    `classes`: None for what is left out. `hashes`: None too. `lengths`: bytes of each JPEG file. `reasons`: why an
    image cannot be read. `sums`: of each channel's levels and of their squares.
    """

    number: int
    identity: str
    classes: list[str | None]
    hashes: list[str | None]
    lengths: list[int]
    reasons: list[str | None]
    sums: list[list[int]]


def reason(error: Exception) -> str:
    """Why an image cannot be read, without what differs from run to run."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known form: {', '.join(images.formats())}"
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shown(" ".join(words.split())) or type(error).__name__


def write_at(descriptor: int, data: bytes | memoryview, position: int) -> None:
    """Write all of the data; a full disk is an OSError here, where in a memory map it would kill the process."""
    left = memoryview(data).cast("B")
    while left:
        written = os.pwrite(descriptor, left, position)
        position, left = position + written, left[written:]


def stored_form(job: Job, image, data: bytes | None) -> tuple[np.ndarray, bytes]:
    """An image's pixels as they will be read, (C, H, W), and the bytes that are stored of it."""
    fitted = images.fit(image, job.size, job.channels, job.interpolation, job.square)
    if job.storage == "pixels":
        return fitted, fitted.tobytes()
    if data is not None and images.is_stored_form(image, job.size, job.channels):
        return fitted, data
    encoded = images.encode(fitted)
    return images.decode(encoded), encoded


def channel_sums(pixels: np.ndarray) -> list[list[int]]:
    """The sums of each channel's levels and of their squares over images (n, C, H, W)."""
    # Integers, so that no order of adding changes them; those of one image fit 32 bits up to 256 pixels.
    integer = np.uint32 if pixels.shape[-1] <= 256 else np.uint64
    return [
        levels.sum(axis=(2, 3), dtype=integer).sum(axis=0, dtype=np.uint64).tolist()
        for levels in (pixels, np.multiply(pixels, pixels, dtype=np.uint16))
    ]


def write_pixels(job: Job, pixels: np.ndarray, first: int) -> None:
    """Write the pixels of images where they belong, from the image `first` on."""
    descriptor = os.open(job.file, os.O_WRONLY)
    try:
        write_at(descriptor, pixels.data, job.offset + first * job.image_bytes)
    finally:
        os.close(descriptor)


def pack_chunk(job: Job, number: int) -> tuple[Chunk, bytes]:
    """Read a chunk's images; pixels are written where they belong, JPEG files are returned end to end."""
    first, count = number * CHUNK, len(job.entries(number))
    pixels, jpegs, lengths = np.zeros((count, *job.shape), np.uint8), list[bytes](), [0] * count
    classes, hashes, reasons = (list[str | None]([None] * count) for _ in range(3))
    for row in range(count):
        try:
            name, image, data = job.source.read(first + row)
            if name is None:
                continue
            pixels[row], stored = stored_form(job, image, data)
        except InputError:
            raise
        except Exception as error:
            # Files come from strangers, and their readers fail in many ways.
            reasons[row] = reason(error)
            continue
        classes[row], hashes[row] = name, hashlib.sha256(stored).hexdigest()
        if job.storage == "jpeg":
            jpegs.append(stored)
            lengths[row] = len(stored)
    if job.storage == "pixels":
        write_pixels(job, pixels, first)
    chunk = Chunk(number, job.identity(number), classes, hashes, lengths, reasons, channel_sums(pixels))
    return chunk, b"".join(jpegs)


class Worker:
    """A process that packs chunks. It ends with the process that started it, however that ends."""

    job: Job

    @classmethod
    def start(cls, job: Job) -> None:
        """Take the job, and wait for the other process's end."""
        cls.job = job
        # A million entries that never change would be searched for garbage again and again.
        gc.freeze()

        def follow() -> None:
            if parent := multiprocessing.parent_process():
                wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()

    @classmethod
    def pack(cls, number: int) -> tuple[Chunk, bytes]:
        """Pack one chunk."""
        return pack_chunk(cls.job, number)


def pack_chunks(job: Job, numbers: list[int], processes: int) -> Iterator[tuple[Chunk, bytes]]:
    """Pack chunks, and give them in order."""
    if processes == 1:
        for number in numbers:
            yield pack_chunk(job, number)
        return
    executor = ProcessPoolExecutor(
        processes, multiprocessing.get_context(START_METHOD), initializer=Worker.start, initargs=(job,)
    )
    try:
        waiting, under_way = deque(numbers), deque[Future[tuple[Chunk, bytes]]]()
        while waiting or under_way:
            # Not all at once: JPEG files wait in memory for their turn.
            while waiting and len(under_way) < 4 * processes:
                under_way.append(executor.submit(Worker.pack, waiting.popleft()))
            yield under_way.popleft().result()
    except BrokenProcessPool:
        raise InputError(
            f"{job.file.parent}: a process that read images was killed, perhaps for want of memory; run again, with "
            "fewer cores if need be: what is packed so far is kept"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def key_of(job: Job, options: dict) -> str:
    """What all chunks depend on beside their entries: the options, images that are no files, and the code."""
    import PIL

    options = {name: value for name, value in options.items() if name != "on_bad"}
    whole = [options, job.source.stamp, CHUNK, PIL.__version__, fingerprint("data.packing")]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def is_there(job: Job, chunk: Chunk, position: int, descriptor: int) -> bool:
    """Whether the bytes of a chunk of the journal are in the file, which a power cut or a full disk may have cut."""
    if job.storage == "pixels":
        length = job.image_bytes
        lengths = [length] * len(chunk.hashes)
    else:
        lengths = chunk.lengths
    data = memoryview(os.pread(descriptor, sum(lengths), position))
    if len(data) != sum(lengths):
        return False
    start = 0
    for expected, length in zip(chunk.hashes, lengths, strict=True):
        if expected is not None and hashlib.sha256(data[start : start + length]).hexdigest() != expected:
            return False
        start += length
    return True


def whole_chunks(job: Job, lines: Iterator[str], descriptor: int) -> Iterator[Chunk]:
    """The chunks of a journal that are whole and made of what the source has now.

    JPEG files lie end to end: of them only what comes before the first gap is of use.
    """
    position, expected = job.offset, 0
    for line in lines:
        try:
            chunk = Chunk(**json.loads(line))
        except (ValueError, TypeError):
            # The last line of a run that was killed: what came before it counts.
            return
        fits = chunk.number < job.chunks and chunk.identity == job.identity(chunk.number)
        if job.storage == "pixels":
            position = job.offset + chunk.number * CHUNK * job.image_bytes
        elif not fits or chunk.number != expected:
            return
        if fits and is_there(job, chunk, position, descriptor):
            yield chunk
        elif job.storage == "jpeg":
            return
        position, expected = position + sum(chunk.lengths), expected + 1


def take_up(job: Job, key: str, journal: Path) -> dict[int, Chunk]:
    """The chunks that an earlier run left whole, by number; the journal and the file keep these alone."""
    done: dict[int, Chunk] = {}
    with (
        suppress(FileNotFoundError, ValueError, TypeError),
        open(journal, encoding="utf-8") as file,
        open(job.file, "rb") as stored,
    ):
        if json.loads(next(file, "null")) == key:
            for chunk in whole_chunks(job, file, stored.fileno()):
                done[chunk.number] = chunk
    if not done:
        job.file.unlink(missing_ok=True)
    with files.replacing(journal) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in (key, *map(vars, done.values())))
    return done


def check_room(job: Job, end: int) -> None:
    """Refuse pixels that the disk has no room for."""
    used = job.file.stat().st_blocks * 512 if job.file.exists() else 0
    free = shutil.disk_usage(job.file.parent).free
    if end - used > free:
        raise InputError(
            f"{job.file.parent}: the packed images need {end / 1e6:,.0f} MB of the disk, where "
            f"{free / 1e6:,.0f} MB are free; make room, or choose a smaller size or storage: jpeg"
        )


def allocate(job: Job, done: dict[int, Chunk]) -> int:
    """Bring the file of images to its size, on the disk too, and give where the next JPEG file goes."""
    pixels = job.storage == "pixels"
    if pixels:
        end = job.offset + len(job.source.entries) * job.image_bytes
        check_room(job, end)
    else:
        end = job.offset + sum(sum(chunk.lengths) for chunk in done.values())
    with open(job.file, "ab") as file:
        try:
            os.ftruncate(file.fileno(), end)
            if pixels and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, end)
        except OSError:
            if not done:
                job.file.unlink()
            raise
    return end


@contextmanager
def progress(total: int, done: int) -> Iterator[Callable[[int], None]]:
    """Tell how many images are packed: a bar on a terminal, elsewhere a line now and then."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        # Its thread would be forked with the process.
        tqdm.monitor_interval = 0
        with tqdm(total=total, initial=done, unit=" images", desc="packing") as bar:
            yield bar.update
        return
    if done:
        note(f"{done:,} of {total:,} images are packed already")
    told = time.monotonic()

    def tell(count: int) -> None:
        nonlocal done, told
        done += count
        if time.monotonic() - told >= 30:
            told = time.monotonic()
            note(f"packed {done:,} of {total:,} images")

    yield tell


def pack_all(job: Job, key: str, journal: Path, threads: int) -> list[Chunk]:
    """Pack what an earlier run has not, and note each chunk in the journal when it is done."""
    done = take_up(job, key, journal)
    end = allocate(job, done)
    left = [number for number in range(job.chunks) if number not in done]
    processes = max(1, min(threads, len(left) * CHUNK // IMAGES_A_PROCESS))
    total = len(job.source.entries)
    with (
        open(journal, "a", encoding="utf-8") as notes,
        open(job.file, "rb+", buffering=0) as file,
        progress(total, sum(len(chunk.classes) for chunk in done.values())) as tell,
    ):
        for chunk, data in pack_chunks(job, left, processes):
            write_at(file.fileno(), data, end)
            end += len(data)
            notes.write(json.dumps(vars(chunk)) + "\n")
            notes.flush()
            done[chunk.number] = chunk
            tell(len(chunk.classes))
    return [done[number] for number in range(job.chunks)]


def close_holes(job: Job, kept: list[int]) -> None:
    """Move the pixels of the images that are kept together, and cut off the rest."""
    length = job.image_bytes
    with open(job.file, "rb+", buffering=0) as file:
        for target, origin in enumerate(kept):
            if target != origin:
                row = os.pread(file.fileno(), length, job.offset + origin * length)
                write_at(file.fileno(), row, job.offset + target * length)
        file.truncate(job.offset + len(kept) * length)


def check_bad(bad: list[dict[str, str]], total: int, source: Source, on_bad: str) -> None:
    """Refuse images that cannot be read, all of them in one sentence, or tell that they are left out."""
    if not bad:
        return
    first = ", ".join(f"{shown(entry['file'])} ({entry['reason']})" for entry in bad[:3])
    unreadable = f"{source.place}: {len(bad):,} of {counted(total, 'image')} cannot be read" + (
        f": {first}" if len(bad) <= 3 else f", such as {first}"
    )
    if on_bad == "fail":
        raise InputError(f"{unreadable}; mend or remove them, or set on_bad: skip in datasets.*.images")
    note(f"{unreadable}; left out, and listed in card.json")


def tell_left_out(source: Source) -> None:
    """Tell what the source has left out, one line a reason."""
    for entry in source.left_out:
        rest = entry["count"] - len(entry["such as"])
        names = ", ".join(entry["such as"]) + (f" and {rest:,} more" if rest else "")
        note(f"{source.place}: left out {entry['count']:,} ({entry['reason']}): {names}")


def statistics(chunks: list[Chunk], pixels: int) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel, in units of 0..1, from the chunks' sums over so many pixels."""
    total, squares = (
        [sum(channel) for channel in zip(*(chunk.sums[power] for chunk in chunks), strict=True)] for power in (0, 1)
    )
    mean = [value / pixels / 255 for value in total]
    # In whole numbers as far as they go: the difference of two large ones would lose digits.
    variance = [(pixels * square - value**2) / pixels**2 / 255**2 for value, square in zip(total, squares, strict=True)]
    return {
        "mean": [round(value, 6) for value in mean],
        "std": [round(math.sqrt(value), 6) for value in variance],
    }


@dataclass(frozen=True)
class Outcome:
    """All that chunks say together: rows of the index, the entries that these are of, and what cannot be read."""

    rows: list[tuple]
    kept: list[int]
    bad: list[dict[str, str]]
    end: int

    @classmethod
    def of(cls, job: Job, chunks: list[Chunk]) -> "Outcome":
        """Number the images that are kept."""
        rows, kept, bad, end, number = list[tuple](), list[int](), list[dict[str, str]](), 0, 0
        for chunk in chunks:
            for row, name in enumerate(chunk.classes):
                entry = job.source.entries[number]
                if (unreadable := chunk.reasons[row]) is not None:
                    bad.append({"file": entry.file, "reason": unreadable})
                elif name is not None:
                    end += chunk.lengths[row]
                    place = (end,) if job.storage == "jpeg" else ()
                    stored = (entry.part, entry.file, chunk.hashes[row], *place)
                    rows.append((len(rows), name, *stored, *job.annotation(number)))
                    kept.append(number)
                number += 1
        return cls(rows, kept, bad, end)


def class_counts(job: Job, outcome: Outcome) -> dict[str, int]:
    """The images of each class, in order; one of several labels counts for each."""
    counts = Counter(name for row in outcome.rows for name in (labels_of(row[1]) if job.several else (row[1],)))
    return {name: counts[name] for name in sorted(counts)}


def check_outcome(job: Job, outcome: Outcome, on_bad: str) -> None:
    """Refuse a set without images or without those of a class that is asked for."""
    source = job.source
    check_bad(outcome.bad, len(source.entries), source, on_bad)
    classes = class_counts(job, outcome)
    missing = [name for name in source.wanted if name not in classes]
    if missing:
        raise InputError(f"{source.place}: has no image of the class {missing[0]!r}; take it out of classes")
    if not outcome.rows:
        raise InputError(f"{source.place}: holds no images that can be read")


def write_index(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Write the table of images."""
    with files.replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def masks_of(job: Job, outcome: Outcome) -> dict:
    """What the card says of masks: their labels in order, and how many images have one; nothing where there are none.

    That no image has one is an InputError.
    """
    if job.masks is None:
        return {}
    count, place = sum(row[-1] != "" for row in outcome.rows), shown(str(job.masks.folder))
    if not count:
        raise InputError(f"{place}: has no mask of any image of the set; leave datasets.*.images.masks out")
    return {"masks": {"labels": job.masks.classes, "images": count}}


def card_of(job: Job, outcome: Outcome, chunks: list[Chunk]) -> dict:
    """What the card says of the images; where they come from and their content come to it."""
    classes, parts = class_counts(job, outcome), Counter(row[2] for row in outcome.rows)
    sets = {name: [key for key in classes if key.startswith(f"{name}/")] for name in job.sets}
    return {
        "storage": job.storage,
        "images": len(outcome.rows),
        "shape": list(job.shape),
        "interpolation": job.interpolation,
        **({"labels": SEVERAL} if job.several else {}),
        **({"square": job.square} if job.several or job.square != "crop" else {}),
        "classes": classes,
        "parts": {name: parts[name] for name in sorted(parts)},
        **({"sets": sets} if sets else {}),
        **masks_of(job, outcome),
        "bad": outcome.bad,
        "left_out": job.source.left_out,
        "listing": job.source.listing,
        "versions": images.versions(),
        **statistics(chunks, len(outcome.rows) * job.size**2),
    }


def finish(job: Job, on_bad: str, description: dict, chunks: list[Chunk], folder: Path) -> None:
    """Write index and card, and bring the images under their name."""
    outcome = Outcome.of(job, chunks)
    check_outcome(job, outcome, on_bad)
    tell_left_out(job.source)
    write_index(folder / "index.csv", job.columns, outcome.rows)
    content = files.sha256(folder / "index.csv")
    files.write_json(folder / "card.json", {"source": description, **card_of(job, outcome, chunks), "content": content})
    if job.storage == "pixels":
        close_holes(job, outcome.kept)
    shape = (len(outcome.rows), *job.shape) if job.storage == "pixels" else (outcome.end,)
    with open(job.file, "rb+", buffering=0) as file:
        write_at(file.fileno(), npy_header(shape), 0)
        os.fsync(file.fileno())
    # Last, so that what is there under this name is whole.
    job.file.replace(folder / "images.npy")


def pack(options: dict, folder: Path, threads: int = 1, description: dict | None = None) -> None:
    """Read the images that `options` (datasets.*.images of the params) describe and write the packed set.

    Its card names as their source the options, or, where they are said to be, those of them that say what the images
    are, not where they lie.
    With `threads` processes where that pays; the files are the same bytes for any number. A run that was cut short
    is taken up where its options, code and files are the same.
    """
    storage = options.get("storage", "pixels")
    try:
        source = open_source(options, folder)
        folder.mkdir(parents=True, exist_ok=True)
        shape = (options["channels"], options["size"], options["size"])
        offset = len(npy_header((len(source.entries), *shape) if storage == "pixels" else (0,)))
        job = Job(
            source=source,
            storage=storage,
            size=options["size"],
            channels=options["channels"],
            interpolation=options.get("interpolation", "bilinear"),
            # What an image shows may lie anywhere in it.
            square=options.get("square", "warp" if isinstance(source, Annotated) else "crop"),
            sets=tuple(options.get("sets", ())),
            file=folder / ".images.npy.part",
            offset=offset,
        )
        journal = folder / ".journal"
        chunks = pack_all(job, key_of(job, options), journal, threads)
        finish(job, options.get("on_bad", "fail"), description or options, chunks, folder)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise InputError(
            f"{folder}: the disk is full ({error.strerror}); make room and run again: what is packed so far is kept"
        ) from None
    journal.unlink()
    for unpacked in folder.glob(".unpacked-*"):
        shutil.rmtree(unpacked)


def check_splits(folder: Path, splits: Path) -> None:
    """Refuse a packed set whose source is that of splits made from other images; an InputError names one of them.

    Splits name their images by content: networks of a colleague's images must not be mixed with one's own.
    """
    card = files.read_json(folder / "card.json", PackedCard)
    for path in sorted(splits.glob("*.json")):
        split = files.read_json(path, Split)
        if split.get("source") == card["source"] and split["content"] != card["content"]:
            raise InputError(
                f"{folder}: these are not the images that {path} was made from (content {card['content'][:12]}, not "
                f"{split['content'][:12]}); get those images, or delete {splits} to start anew with these"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Pack a data set: decode every image once.")
    parser.add_argument(
        "--source", type=files.json_argument, required=True, help="datasets.*.images of the params, as JSON"
    )
    parser.add_argument("--description", type=files.json_argument, help="the same without its places, for the card")
    parser.add_argument("--threads", type=int, required=True, help="processes to read with; changes no byte")
    parser.add_argument("--splits", type=Path, help="folder of splits, which name the images that they were made from")
    parser.add_argument("--into", type=Path, required=True, help="the folder of the packed set")
    arguments = parser.parse_args()
    # A job may outlive the snakemake that started it, and the next one starts another.
    with only_writer([arguments.into.with_name(f"{arguments.into.name}.lock")]):
        pack(arguments.source, arguments.into, arguments.threads, arguments.description)
        if arguments.splits is not None:
            check_splits(arguments.into, arguments.splits)


if __name__ == "__main__":
    exit_plainly(main)
