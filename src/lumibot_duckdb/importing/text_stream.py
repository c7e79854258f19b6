"""The text of a file as UTF-8 bytes: unpacked up to a limit, decoded, and with quotes that are not closed taken out."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from lumibot_duckdb.importing import zip_archive
from lumibot_duckdb.importing.errors import FileRefusedError

MAX_EXPANSION = 100
"""How many times larger than the file its unpacked text may be. Bars take three to fifteen times the space."""

LONGEST_LINE = 8 << 20
_CHUNK_BYTES = 1 << 20
_SAMPLE_BYTES = 256 << 10
# A small file may be all repetition; what it unpacks to does no harm.
_ALWAYS_ALLOWED_BYTES = 256 << 20
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", zip_archive.MAGIC: "zip"}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DUCKDB = b"DUCK"  # after a checksum of 8 bytes


class TextFile:
    """A text file, compressed or not, in any encoding that is recognised."""

    def __init__(self, path: Path, max_expansion: int = MAX_EXPANSION) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._max_expansion = max_expansion
        with path.open("rb") as file:
            start = file.read(4)
        self._compression = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
        self._encoding = self._find_encoding()
        self.unclosed: set[int] = set()
        """The numbers of lines in which a quote is not closed, as far as the file was read."""

    @contextmanager
    def open(self) -> Iterator[TextStream]:
        """Open the text for reading from its start."""
        with pa.OSFile(str(self._path)) as raw:
            unpacked = self._unpacked(raw)  # closes the file when it is no longer referenced
            yield TextStream(self._closed_quotes(self._decoded(unpacked)), raw, self._size)

    def first_text(self) -> str:
        """Return the beginning of the text. Raises `FileRefusedError` if it is one line that does not end."""
        with self.open() as stream:
            text = stream.read(_SAMPLE_BYTES).decode(errors="ignore")
        if len(text.encode()) >= _SAMPLE_BYTES - 4 and len(text.splitlines()) == 1:
            raise FileRefusedError(f"its first line is longer than {_SAMPLE_BYTES >> 10} KB: it is not a table of bars")
        return text

    def _find_encoding(self) -> str:
        with pa.OSFile(str(self._path)) as raw:
            sample = self._unpacked(raw).read(_SAMPLE_BYTES)
        if sample.startswith(_UTF_16):
            return "utf-16"
        if b"\x00" in sample.rstrip(b"\x00"):
            if sample[8:].startswith(_DUCKDB):
                raise FileRefusedError(
                    "it is a DuckDB database: if it is a store, `lumibot-duckdb merge` adds its bars"
                )
            raise FileRefusedError("it is neither text nor Parquet, Feather or Arrow")
        try:
            sample.decode()
        except UnicodeDecodeError as error:
            # The sample may end within a character.
            return "utf-8" if error.start > len(sample) - 4 else "latin-1"
        return "utf-8"

    def _unpacked(self, raw: pa.NativeFile) -> pa.NativeFile | zip_archive.ZippedFile:
        if self._compression == "zip":
            return zip_archive.ZippedFile(raw)
        return pa.CompressedInputStream(raw, self._compression) if self._compression else raw

    def _decoded(self, unpacked: pa.NativeFile | zip_archive.ZippedFile) -> Iterator[bytes]:
        """Yield the text as UTF-8; bytes that are invalid in its encoding become "\ufffd"."""
        decoder = codecs.getincrementaldecoder(self._encoding)(errors="replace")
        limit = max(self._size * self._max_expansion, _ALWAYS_ALLOWED_BYTES) if self._compression else None
        total = 0
        while data := unpacked.read(_CHUNK_BYTES):
            total += len(data)
            if limit is not None and total > limit:
                raise FileRefusedError(
                    f"it unpacks to more than {self._max_expansion} times its size: if it is not damaged, allow more "
                    "with --max-expansion"
                )
            yield decoder.decode(data).encode()
        yield decoder.decode(b"", final=True).encode()

    def _closed_quotes(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Take the quotes out of lines that have an odd number of them: such a quote would swallow all lines below.

        Bars have no text of several lines, so that a quote that is open at the end of its line is a mistake.
        """
        rest, line, end = b"", 1, b""
        for chunk in chunks:
            rest += chunk
            end = end or (b"\n" if b"\n" in rest else b"\r" if b"\r" in rest else b"")
            if end and end in chunk:
                whole, found, rest = rest.rpartition(end)
                lines = whole + found
                yield self._with_closed_quotes(lines, end, line) if b'"' in lines else lines
                line += lines.count(end)
            if len(rest) > LONGEST_LINE:
                raise FileRefusedError(f"line {line} is longer than {LONGEST_LINE >> 20} MB: it is not a table of bars")
        yield self._with_closed_quotes(rest, end or b"\n", line)

    def _with_closed_quotes(self, text: bytes, end: bytes, first: int) -> bytes:
        lines = text.split(end)
        odd = [index for index, line in enumerate(lines) if line.count(b'"') % 2]
        for index in odd:
            lines[index] = lines[index].replace(b'"', b"")
        self.unclosed.update(first + index for index in odd)
        return end.join(lines) if odd else text


class TextStream:
    """A readable stream of bytes, for Arrow."""

    closed = False

    def __init__(self, chunks: Iterator[bytes], raw: pa.NativeFile, size: int) -> None:
        self._chunks = chunks
        self._raw = raw
        self._size = size
        self._waiting = b""
        self._unpacked = 0

    def progress(self, used: int) -> float:
        """Return the part of the file, from 0 to 1, that a reader has used which may have read further ahead.

        `used` is the number of bytes of text from the start.
        """
        return float(self._raw.tell() / max(self._size, 1)) * min(used / max(self._unpacked, 1), 1.0)

    def read(self, size: int) -> bytes:
        """Return the next bytes: as many as asked for, or fewer at the end."""
        parts, length = [self._waiting], len(self._waiting)
        while length < size and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            length += len(chunk)
            self._unpacked += len(chunk)
        data = b"".join(parts)
        self._waiting = data[size:]
        return data[:size]

    def close(self) -> None:
        """Do nothing; the file belongs to the caller."""
