"""Made-up people: what customers of the simulated shop are called. Nobody real is meant."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Ints
from nba.simulation.scene import Scene

_FAMILY: Final = tuple("王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许邓冯韩曹")
_GIVEN_FEMALE: Final = (
    "静怡", "雨桐", "思琪", "婉清", "晓雯", "梦瑶", "佳宁", "诗涵", "若溪", "语嫣", "丽", "敏",
    "娟", "秀兰", "雅楠", "可欣", "芷晴", "安然", "慧", "蓉",
)  # fmt: skip
_GIVEN_MALE: Final = (
    "子轩", "浩然", "俊杰", "明远", "志强", "宇航", "文博", "嘉树", "天佑", "锐", "磊", "建国",
    "一鸣", "思远", "承泽", "昊",
)  # fmt: skip
_ENGLISH_FIRST: Final = (
    "Olivia", "Emma", "Grace", "Nina", "Chloe", "Alice", "Sofia", "Iris", "Tom", "Daniel",
    "Marcus", "Leo", "Henry", "Oscar",
)  # fmt: skip
_ENGLISH_LAST: Final = ("Bell", "Hart", "Marsh", "Novak", "Reed", "Silva", "Stone", "Weber")
#: Titles that a clerk puts behind a given name, by gender.
_FAMILIAR: Final = (("姐", "小姐姐"), ("哥", "老师"))
ALIAS_SHARE: Final = 0.25
NAMED_SHARE: Final = 0.97


def identities(scene: Scene, who: Ints) -> dict[str, pl.Series]:
    """Return name, alias, external_id and phone_tail of some customers; the same every time."""
    draw, people = scene.streams.uniform, scene.people
    is_male = people.gender[who] == 1
    named = draw("named", who) < NAMED_SHARE
    aliased = named & (draw("aliased", who) < ALIAS_SHARE)
    picks = {part: draw(part, who) for part in ("family", "given", "familiar")}
    names, aliases = [], []
    for at, male in enumerate(is_male):
        family, given, familiar = (float(picks[part][at]) for part in picks)
        if people.english[who[at]]:
            name = f"{_one(_ENGLISH_FIRST, given)} {_one(_ENGLISH_LAST, family)}"
            alias = name.partition(" ")[0]
        else:
            given_name = _one(_GIVEN_MALE if male else _GIVEN_FEMALE, given)
            name = _one(_FAMILY, family) + given_name
            alias = given_name[-1] + _one(_FAMILIAR[int(male)], familiar)
        names.append(name if named[at] else None)
        aliases.append(alias if aliased[at] else None)
    tail = (10_000 * draw("phone_tail", who)).astype(np.int64)
    return {
        "name": pl.Series(names, dtype=pl.String),
        "alias": pl.Series(aliases, dtype=pl.String),
        "external_id": pl.Series("wm" + scene.customer_ids.gather(who)),
        "phone_tail": pl.Series([f"{number:04d}" for number in tail], dtype=pl.String),
    }


def _one(names: tuple[str, ...], draw: float) -> str:
    return names[int(draw * len(names))]
