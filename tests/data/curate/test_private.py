"""Addresses of people and their computers are replaced; what only looks like one stays."""

import random
from pathlib import Path

import pandas as pd
import pytest
from curation.curating import curated, paragraphs, write_jsonl

from scaling.data.curate.text.private import EMAIL, IPV4, IPV6, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mail jane.doe+x@mail.example.edu.", f"mail {EMAIL}."),
        ("<jane@host.org>, joe_2@a-b.co.uk;", f"<{EMAIL}>, {EMAIL};"),
        ("mailto:j@163.com?subject=x", f"mailto:{EMAIL}?subject=x"),
        ("\u8054\u7cfbjane@qq.com\u8c22\u8c22", f"\u8054\u7cfb{EMAIL}\u8c22\u8c22"),
        ("j\u00fcrgen@m\u00fcller.de", EMAIL),
        ("jane@host.com2019", f"{EMAIL}2019"),
        ("from 8.8.8.8, or (141.20.1.3).", f"from {IPV4}, or ({IPV4})."),
        ("8.8.8.8:443 http://93.184.216.34/x", f"{IPV4}:443 http://{IPV4}/x"),
        ("2001:4860:4860::8888 and [2a00:1450:4001:81b::200e]:80", f"{IPV6} and [{IPV6}]:80"),
        ("2001:4860:4860::8844: closed", f"{IPV6}: closed"),
        ("jane@host.org 8.8.8.8", f"{EMAIL} {IPV4}"),
    ],
)
def test_addresses_are_replaced(text: str, masked: str) -> None:
    assert mask([text]).texts == [masked]
    assert mask([masked]).texts == [masked]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "@b.org",
        "at 5 @ 3.50",
        "@property",
        "@scope/package@1.2.3",
        "lodash@4.17.21",
        "jane@localhost",
        "user@example.com and firstname.lastname@example.org",
        "192.168.0.1 10.1.2.3 127.0.0.1 172.16.9.9 169.254.1.1 0.0.0.0 255.255.255.255 192.0.2.77",
        "version 1.2.3.4, v1.2.3.4, Version: 8.8.8.8, section 3.1.4.1, v. 5.6.7.8",
        "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.02.03.04", "1.2.3.4b", "a1.2.3.4", "20.11.2024", "1,234.5.6.7x",
        "at 12:30:45 or 2024:12:30", "std::vector", "2001:db8::7", "fe80::1", "a::b", "2001:4860:4860:::1", "2fff:",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_address_stays(text: str) -> None:
    found = mask([text])
    assert (found.texts, found.emails, found.addresses) == ([text], 0, 0)


REPLACED = {" jo@host.org": f" {EMAIL}", " 9.9.9.9": f" {IPV4}", " 2a00:1450::5": f" {IPV6}"}


def test_the_rest_of_many_texts_is_as_it_was() -> None:
    chance = random.Random(3)
    texts, expected, emails, addresses = [], [], 0, 0
    for text in [*paragraphs(20), "", "x"]:
        made, kept = [], []
        for word in text.split(" "):
            kind = chance.choice(["", "", "", *REPLACED])
            made.append(word + kind)
            kept.append(word + REPLACED.get(kind, ""))
            emails, addresses = emails + ("@" in kind), addresses + (kind != "" and "@" not in kind)
        texts.append(" ".join(made))
        expected.append(" ".join(kept))
    found = mask(texts)
    assert found.texts == expected
    assert (found.emails, found.addresses) == (emails, addresses)
    assert [mask([text]).texts[0] for text in texts] == expected


def test_the_step_counts_and_drops_nothing(tmp_path: Path) -> None:
    texts = paragraphs(20)
    path = write_jsonl(tmp_path / "web.jsonl", [*texts[:19], f"jo@host.org {texts[19]} 9.9.9.9 1.0.0.1"])
    funnel = curated(tmp_path / "out", sources=[str(path)], curate={"private": "mask"}).funnel
    kept = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("*/*.parquet"))))
    assert sorted(kept["text"]) == sorted([*texts[:19], f"{EMAIL} {texts[19]} {IPV4} {IPV4}"])
    found = next(step for step in funnel["steps"] if step["name"] == "private")
    assert found["notes"] == {"masked e-mail": 1, "masked IP": 2}
    assert (found["documents"], found["reasons"], found["changed"]["documents"]) == (0, [], 1)
