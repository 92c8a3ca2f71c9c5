"""E-mail addresses and public IP addresses of texts, replaced by addresses that are nobody's."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import accumulate

EMAIL, IPV4, IPV6 = "email@example.com", "192.0.2.1", "2001:db8::1"
"""What stands in their place: FineWeb's first name in a domain of examples (RFC 2606), and addresses of documentation
(RFC 5737, 3849). FineWeb takes turns with several, so that its text depends on the order of the documents."""
_EXAMPLES = ("example.com", "example.org", "example.net")

# Each begins with the sign that is rarest in text, which is found much faster than a class of signs.
_LETTERS = "0-9A-Za-z\u00c0-\u024f"
_DOMAIN = re.compile(rf"@((?:[{_LETTERS}](?:[{_LETTERS}-]{{0,61}}[{_LETTERS}])?\.)+[A-Za-z\u00c0-\u024f]{{2,63}})")
_NAME = re.compile(rf"[{_LETTERS}_][{_LETTERS}_.+%-]{{0,63}}\Z")
_NUMBERS = re.compile(r"\.(?<=[0-9]\.)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?!\w|\.[0-9])", re.ASCII)
_NUMBER = re.compile(r"(?<![\w.])[0-9]{1,3}\Z", re.ASCII)
_GROUPS = re.compile(r":(?<=[23][0-9A-Fa-f]{3}:)[0-9A-Fa-f:]+(?!\w)", re.ASCII)
_GROUP = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{4}\Z", re.ASCII)
_NO_ADDRESS = re.compile(r"\b(?:version|release|section|chapter|ver|sec|v)[.:]?\s\Z", re.IGNORECASE)
_BEFORE = 65
"""Characters before the rare sign that are looked at."""


@dataclass(frozen=True)
class Masked:
    """Texts without private data.

    Attributes:
        texts: of all documents.
        emails: how many e-mail addresses were replaced.
        addresses: how many IP addresses were.
    """

    texts: list[str]
    emails: int
    addresses: int


def mask(texts: Sequence[str]) -> Masked:
    """Replaces e-mail addresses, and public IPv4 and IPv6 addresses, as FineWeb (2406.17557) does.

    An e-mail address has a domain of two names at least, the last of letters. IP addresses of private and reserved
    ranges stay. Four numbers behind a word such as version or section are no address; elsewhere they are one, although
    1.2.3.4 may be a version.

    Args:
        texts: without NUL characters.
    """
    joined = "\0".join(texts)
    emails = list(_emails(joined))
    addresses = [*_four(joined), *_six(joined)]
    found = sorted([*emails, *addresses])
    if not found:
        return Masked(list(texts), 0, 0)
    starts = [0, *accumulate(len(text) + 1 for text in texts)]
    made: dict[int, list[str]] = {}
    done: dict[int, int] = {}
    for begin, end, replacement in found:
        place = bisect_right(starts, begin) - 1
        before = done.get(place, 0)
        made.setdefault(place, []).extend((texts[place][before : begin - starts[place]], replacement))
        done[place] = end - starts[place]
    masked = list(texts)
    for place, pieces in made.items():
        masked[place] = "".join([*pieces, texts[place][done[place] :]])
    return Masked(masked, len(emails), len(addresses))


def _emails(text: str) -> Iterator[tuple[int, int, str]]:
    """Begin, end and replacement of each e-mail address."""
    end = 0
    for domain in _DOMAIN.finditer(text):
        name = _NAME.search(text[max(end, domain.start() - _BEFORE) : domain.start()])
        if name is not None and domain[1].lower() not in _EXAMPLES:
            yield domain.start() - len(name[0]), domain.end(), EMAIL
            end = domain.end()


def _four(text: str) -> Iterator[tuple[int, int, str]]:
    for numbers in _NUMBERS.finditer(text):
        before = text[max(0, numbers.start() - _BEFORE) : numbers.start()]
        first = _NUMBER.search(before)
        if first is None or _NO_ADDRESS.search(before[: first.start()]):
            continue
        if _public(first[0] + numbers[0]):
            yield numbers.start() - len(first[0]), numbers.end(), IPV4


def _six(text: str) -> Iterator[tuple[int, int, str]]:
    for groups in _GROUPS.finditer(text):
        first = _GROUP.search(text[max(0, groups.start() - _BEFORE) : groups.start()])
        written = groups[0].removesuffix(":") if not groups[0].endswith("::") else groups[0]
        if first is not None and _public(first[0] + written):
            yield groups.start() - len(first[0]), groups.start() + len(written), IPV6


def _public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False
