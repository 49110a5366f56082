"""A set of texts that keeps none of them."""

from hashlib import blake2b

_FEWEST_PLACES = 1024


class TextSet:
    """Knows texts again by 16 bytes of a hash (BLAKE2b).

    The hashes lie in a table of which a third to two thirds are in use, each at the
    place that its first half names or, where that is taken, at the next free one. So a
    text takes 24 to 48 bytes, however long it is; in a `set` it would take more than
    100 beside its own. Two of a billion texts are alike to it with a probability below
    1 in 10^20.
    """

    def __init__(self) -> None:
        self._table = _empty(_FEWEST_PLACES)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, text: str) -> bool:
        first, second = _halves(text)
        return bool(self._table[self._place(first, second)])

    def add(self, text: str) -> bool:
        """Put a text in; whether it was not there before."""
        first, second = _halves(text)
        place = self._place(first, second)
        if self._table[place]:
            return False
        self._table[place], self._table[place + 1] = first, second
        self._count += 1
        if 3 * self._count > len(self._table):  # two thirds of half as many places
            self._grow()
        return True

    def _place(self, first: int, second: int) -> int:
        """Where a hash lies, or else the free place for it."""
        table, last = self._table, len(self._table) - 1
        place = 2 * first & last
        while table[place] and (table[place] != first or table[place + 1] != second):
            place = place + 2 & last
        return place

    def _grow(self) -> None:
        old, self._table = self._table, _empty(len(self._table))
        for number in range(0, len(old), 2):
            first, second = old[number], old[number + 1]
            if first:
                place = self._place(first, second)
                self._table[place], self._table[place + 1] = first, second


def _halves(text: str) -> tuple[int, int]:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    # 0 marks a free place.
    return int.from_bytes(digest[:8], "big") or 1, int.from_bytes(digest[8:], "big")


def _empty(num_places: int) -> memoryview:
    return memoryview(bytearray(16 * num_places)).cast("Q")
