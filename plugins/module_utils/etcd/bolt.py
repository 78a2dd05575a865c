# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A read-only reader of bbolt files, the format of etcd's database and of its snapshots.

It exists so that a host without etcd's tools, or with older ones, can tell which etcd wrote a snapshot. The layout is
that of bbolt's ``internal/common/{page,meta,bucket}.go``: pages of one size; two meta pages, of which the valid one with
the higher transaction wins; a tree of branch and leaf pages for each bucket, whose small ones are inline in their
parent. It seeks and reads only what a question needs, and every offset is checked against its page, the page against
the file, and the tree against cycles, pages that overlap and elements out of order: a corrupt file ends in an EtcdError,
never in a loop or a traceback, and one that was made to be expensive costs no more than reading it once.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, Iterator, List, NamedTuple, Optional, Set, Tuple

from ..core.errors import EtcdError

_MAGIC = 0xED0CDAED
_VERSION = 2
_HEADER = 16  # bytes of a page's header: id u64, flags u16, count u16, overflow u32
_META = 64  # bytes of a meta: magic, version, pageSize, flags u32; root, sequence, freelist, pgid, txid, checksum u64
_ELEMENT = 16  # bytes of an element of a leaf (flags, pos, ksize, vsize u32) and of a branch (pos, ksize u32, pgid u64)
_BRANCH, _LEAF = 0x01, 0x02
_BUCKET = 0x01  # flag of a leaf's element whose value is a bucket
_PAGE_SIZES = tuple(1024 << shift for shift in range(7))  # 1 KiB to 64 KiB, the page sizes of real machines
_LONGEST_KEY = 1 << 15  # bytes, bbolt's own limit
_LARGEST = 64 << 20  # bytes; no value of etcd's comes near it, a corrupt length does
_DEEPEST = 32  # levels of pages; with two children each that is more than there are pages in any file
_CYCLE = "the tree of its pages has a cycle"


class Meta(NamedTuple):
    """What a meta page says. ``order`` is struct's sign of the writer's byte order, ``pages`` the end of the used ones."""

    order: str
    page_size: int
    root: int
    pages: int
    txid: int


class _Page(NamedTuple):
    """A page, or the inline page of a small bucket. ``start`` and ``end`` are offsets in the file, ``length`` is in elements."""

    start: int
    end: int
    flags: int
    length: int


class _Leaf(NamedTuple):
    """An element of a leaf page; offsets are in the file."""

    flags: int
    key: bytes
    value_at: int
    value_size: int


class Bolt:
    """An open bbolt file. Use it as a context manager. Every method raises EtcdError where the file is malformed."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        except OSError as error:
            raise EtcdError(f"{path} cannot be opened: {error.strerror}.") from error
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self.meta = self._newest_meta()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Bolt:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()

    def buckets(self) -> List[bytes]:
        """The names of the top-level buckets, sorted."""
        return [leaf.key for leaf in self._walk(self._page(self.meta.root)) if leaf.flags & _BUCKET]

    def get(self, bucket: bytes, key: bytes, largest: int = _LARGEST) -> Optional[bytes]:
        """The value of ``key`` in a top-level bucket; None where the key or the bucket is missing.

        A value of more than ``largest`` bytes is not what it should be, and an EtcdError.
        """
        place = self.place(bucket, key)
        if place is None:
            return None
        at, size = place
        if size > largest:
            raise self._malformed(f"the value of {key!r} in {bucket!r} has {size} bytes")
        return self._read(at, size)

    def place(self, bucket: bytes, key: bytes) -> Optional[Tuple[int, int]]:
        """Where in the file the value of ``key`` is: its first byte, and how many. None where it is missing."""
        root = self._bucket(bucket)
        leaf = self._find(root, key) if root else None
        return None if leaf is None or leaf.flags & _BUCKET else (leaf.value_at, leaf.value_size)

    def items(self, bucket: bytes, head: int = _LARGEST) -> Iterator[Tuple[bytes, bytes]]:
        """Every (key, value) of a top-level bucket in the order of the keys; nothing for a missing bucket.

        Of each value at most the first ``head`` bytes are read.
        """
        root = self._bucket(bucket)
        for leaf in self._walk(root) if root else ():
            if not leaf.flags & _BUCKET:
                yield leaf.key, self._read(leaf.value_at, min(leaf.value_size, head))

    def last_key(self, bucket: bytes) -> Optional[bytes]:
        """The greatest key of a top-level bucket, read along one path of the tree; None where there is none."""
        page = self._bucket(bucket)
        for _level in range(_DEEPEST):
            if page is None or not page.length:
                return None
            if page.flags & _LEAF:
                return self._leaf(page, page.length - 1).key
            page = self._child(page, page.length - 1)
        raise self._malformed(_CYCLE)

    # The tree.

    def _bucket(self, name: bytes) -> Optional[_Page]:
        """The root page of a top-level bucket."""
        leaf = self._find(self._page(self.meta.root), name)
        if leaf is None or not leaf.flags & _BUCKET:
            return None
        if leaf.value_size < _HEADER:
            raise self._malformed(f"bucket {name!r} has no header")
        root = self._unpack("Q", leaf.value_at)[0]
        if root:
            return self._page(root)
        # Root page 0 means: the page follows the bucket's header (root, sequence) in the value itself.
        return self._page_at(leaf.value_at + 16, leaf.value_at + leaf.value_size)

    def _find(self, page: _Page, key: bytes) -> Optional[_Leaf]:
        for _level in range(_DEEPEST):
            if page.flags & _LEAF:
                index = self._position(page, key)
                leaf = self._leaf(page, index) if index < page.length else None
                return leaf if leaf and leaf.key == key else None
            index = self._position(page, key)
            # A branch's key is the first of its child: where it is not equal, the child before it is meant.
            if index == page.length or self._branch(page, index)[0] != key:
                index -= 1
            if index < 0:
                return None
            page = self._child(page, index)
        raise self._malformed(_CYCLE)

    def _position(self, page: _Page, key: bytes) -> int:
        """The index of the first element whose key is not less than ``key``."""
        low, high = 0, page.length
        while low < high:
            middle = (low + high) // 2
            found = self._leaf(page, middle).key if page.flags & _LEAF else self._branch(page, middle)[0]
            if found < key:
                low = middle + 1
            else:
                high = middle
        return low

    def _walk(self, root: _Page) -> Iterator[_Leaf]:
        """The leaf elements below ``root``, in order.

        Nothing is given twice: no page is in two places, all of them together are no larger than the file, and within a page
        each element begins where the one before has ended, with a greater key.
        """
        stack, seen, left = [root], {root.start}, self._size
        before: Optional[bytes] = None
        while stack:
            page = stack.pop()
            left -= page.end - page.start
            if left < 0:
                raise self._malformed("its pages overlap")
            if not page.flags & _LEAF:
                stack += self._children(page, seen)
                continue
            free = page.start + _HEADER + page.length * _ELEMENT
            for index in range(page.length):
                leaf = self._leaf(page, index)
                if leaf.value_at - len(leaf.key) < free or (before is not None and leaf.key <= before):
                    raise self._malformed(f"the elements of the page at byte {page.start} are not in order")
                before, free = leaf.key, leaf.value_at + leaf.value_size
                yield leaf

    def _children(self, page: _Page, seen: Set[int]) -> List[_Page]:
        children = []
        for index in reversed(range(page.length)):
            child = self._child(page, index)
            if child.start in seen:
                raise self._malformed(_CYCLE)
            seen.add(child.start)
            children.append(child)
        return children

    def _child(self, page: _Page, index: int) -> _Page:
        """A child of a branch page: it holds something, since bbolt takes an empty one out of the tree."""
        child = self._page(self._branch(page, index)[1])
        if not child.length:
            raise self._malformed(f"the page at byte {child.start} is empty")
        return child

    # Pages and their elements.

    def _page(self, number: int) -> _Page:
        if not 2 <= number < self.meta.pages:
            raise self._malformed(f"page {number} is outside of its {self.meta.pages} pages")
        start = number * self.meta.page_size
        overflow = self._unpack("I", start + 12)[0]
        if number + overflow >= self.meta.pages:
            raise self._malformed(f"page {number} reaches beyond its {self.meta.pages} pages")
        if self._unpack("Q", start)[0] != number:
            raise self._malformed(f"page {number} says it is another page")
        return self._page_at(start, start + (overflow + 1) * self.meta.page_size)

    def _page_at(self, start: int, end: int) -> _Page:
        if start + _HEADER > end:
            raise self._malformed(f"the page at byte {start} has no header")
        flags, count = self._unpack("HH", start + 8)
        if flags not in (_BRANCH, _LEAF):
            raise self._malformed(f"the page at byte {start} is neither a branch nor a leaf")
        if start + _HEADER + count * _ELEMENT > end or (flags == _BRANCH and not count):
            raise self._malformed(f"the page at byte {start} cannot have {count} elements")
        return _Page(start, end, flags, count)

    def _leaf(self, page: _Page, index: int) -> _Leaf:
        at = page.start + _HEADER + index * _ELEMENT
        flags, position, key_size, value_size = self._unpack("IIII", at)
        if at + position + key_size + value_size > page.end or key_size > _LONGEST_KEY:
            raise self._malformed(f"an element at byte {at} reaches beyond its page")
        key_at = at + position
        return _Leaf(flags, self._read(key_at, key_size), key_at + key_size, value_size)

    def _branch(self, page: _Page, index: int) -> Tuple[bytes, int]:
        """The (first key, page number) of a branch page's child."""
        at = page.start + _HEADER + index * _ELEMENT
        position, key_size, number = self._unpack("IIQ", at)
        if at + position + key_size > page.end or key_size > _LONGEST_KEY:
            raise self._malformed(f"an element at byte {at} reaches beyond its page")
        return self._read(at + position, key_size), number

    # Meta pages.

    def _newest_meta(self) -> Meta:
        """The valid meta page with the higher transaction; etcd itself falls back to the other one in the same way."""
        first = self._meta_at(0)
        sizes = (first.page_size,) if first else _PAGE_SIZES
        metas = [meta for meta in [first, *(self._meta_at(size) for size in sizes)] if meta]
        if not metas:
            raise EtcdError(f"{self.path} is not a bbolt file: neither of its meta pages is valid.")
        newest = max(metas, key=lambda meta: meta.txid)
        if newest.pages * newest.page_size > self._size:
            raise self._malformed(f"its {newest.pages} pages need more than its {self._size} bytes, so it was cut off")
        return newest

    def _meta_at(self, start: int) -> Optional[Meta]:
        return None if start + _HEADER + _META > self._size else _meta_of(self._read(start + _HEADER, _META))

    # Bytes.

    def _unpack(self, shape: str, at: int) -> Tuple[int, ...]:
        shape = self.meta.order + shape
        return struct.unpack(shape, self._read(at, struct.calcsize(shape)))

    def _read(self, at: int, size: int) -> bytes:
        if size > _LARGEST or at + size > self._size:
            raise self._malformed(f"{size} bytes at byte {at} are not in it")
        try:
            self._file.seek(at)
            data = self._file.read(size)
        except OSError as error:
            raise EtcdError(f"{self.path} cannot be read: {error.strerror}.", "check the disk.") from error
        if len(data) != size:
            raise self._malformed(f"it ends before byte {at + size}")
        return data

    def _malformed(self, why: str) -> EtcdError:
        return EtcdError(f"{self.path} is a damaged bbolt file: {why}.", "use another snapshot.")


def size_by_head(head: bytes) -> Optional[int]:
    """The bytes of the pages of the database that begins with ``head``; None where neither meta page is in it."""
    places = (size + _HEADER for size in (0, *_PAGE_SIZES))
    metas = (_meta_of(head[at : at + _META]) for at in places if at + _META <= len(head))
    return max((meta.pages * meta.page_size for meta in metas if meta), default=None)


def _meta_of(raw: bytes) -> Optional[Meta]:
    # bbolt writes in the byte order of its machine; s390x is a big-endian one.
    for order in "<>":
        magic, version, page_size, _flags, root, _seq, _free, pages, txid, checksum = struct.unpack(order + "4I6Q", raw)
        if magic == _MAGIC and version == _VERSION and checksum == fnv1a(raw[:56]) and page_size in _PAGE_SIZES:
            return Meta(order, page_size, root, pages, txid)
    return None


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash of ``data``, with which bbolt protects its meta pages."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
