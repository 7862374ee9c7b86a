"""The tables that the shop itself keeps: goods, stores, clerks, groups, content, events."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Ints
from nba.schema.languages import BETWEEN, LANGUAGES, in_language
from nba.schema.words import CONTACT_MODES
from nba.simulation.life import TOPICS, event_day, group_ids
from nba.simulation.scene import Scene
from nba.simulation.tables import Recorder

_STORE_NAMES: Final = (
    ("静安店 Jing'an", "East"), ("三里屯店 Sanlitun", "North"), ("天河店 Tianhe", "South"),
    ("西湖店 West Lake", "East"), ("春熙路店 Chunxi", "West"), ("南山店 Nanshan", "South"),
)  # fmt: skip
_CLERK_NAMES: Final = (
    "李娜 Li Na", "王芳 Wang Fang", "张伟 Zhang Wei", "刘洋 Liu Yang", "陈静 Chen Jing",
    "杨柳 Yang Liu", "赵敏 Zhao Min", "黄磊 Huang Lei", "周倩 Zhou Qian", "吴桐 Wu Tong",
    "徐然 Xu Ran", "孙悦 Sun Yue", "Mia Chan", "Leo Tan", "何晴 He Qing", "郭晓 Guo Xiao",
)  # fmt: skip
_THEMES: Final = (
    ("new", "本周上新 New this week"), ("care", "换季护理 Care between seasons"),
    ("style", "穿搭灵感 How to wear it"), ("family", "成长问答 Parenting answers"),
    ("sport", "跑步训练 Training for runners"), ("service", "会员礼遇 For members"),
)  # fmt: skip
_LINK: Final = "https://shop.example/"


def opening_rows(scene: Scene, recorder: Recorder) -> None:
    """Record everything that stands on the first day."""
    start = scene.timestamps(np.zeros(1))[0]
    first = pl.lit(start).alias("valid_from")
    recorder.add("categories", pl.DataFrame(
        {
            "category": [c.category for c in scene.assortment.specs],
            "name": [both(c.name) for c in scene.assortment.specs],
            "kind": [str(c.kind) for c in scene.assortment.specs],
            "replenishable": [c.replenishable for c in scene.assortment.specs],
            "margin_rate": [c.margin_rate for c in scene.assortment.specs],
        }
    ))  # fmt: skip
    stores = np.arange(scene.shops.stores)
    recorder.add("stores", pl.DataFrame(
        {
            "store_id": scene.store_ids,
            "name": [both(_numbered(_STORE_NAMES, int(i))[0]) for i in stores],
            "region": [_STORE_NAMES[int(i) % len(_STORE_NAMES)][1] for i in stores],
        }
    ).with_columns(first, pl.lit(scene.config.time_zone).alias("timezone")))  # fmt: skip
    recorder.add("clerks", _clerks(scene).with_columns(first))
    on_sale = np.flatnonzero(scene.assortment.launched < 0)
    recorder.add("products", product_rows(scene, on_sale, retired=False).with_columns(first))
    _groups(scene, recorder)
    _content(scene, recorder)
    for month in (0, 1):
        recorder.add("events", event_rows(scene, month))


def day_rows(scene: Scene, day: int, recorder: Recorder) -> None:
    """Record launches, retirements and newly announced events of a day."""
    goods = scene.assortment
    now = scene.timestamps(np.full(1, float(day)))[0]
    launched = np.flatnonzero((np.floor(goods.launched) == day) & (goods.launched >= 0))
    retired = np.flatnonzero((np.floor(goods.retired) == day) & (goods.launched < day))
    for which, gone in ((launched, False), (retired, True)):
        if not len(which):
            continue
        rows = product_rows(scene, which, retired=gone)
        recorder.add("products", rows.with_columns(pl.lit(now).alias("valid_from")))
    if day and day % 30 == 0:
        recorder.add("events", event_rows(scene, day // 30 + 1))


def product_rows(scene: Scene, which: Ints, *, retired: bool) -> pl.DataFrame:
    """Return product rows as known before or after their retirement."""
    goods = scene.assortment
    ids = scene.product_ids.gather(which)
    end = goods.retired[which] if retired else np.full(len(which), np.inf)
    names = scene.assortment.category_names
    return pl.DataFrame(
        {
            "product_id": ids,
            "name": pl.Series(goods.names).gather(which),
            "category": names.gather(goods.category[which]),
            "brand": pl.Series(goods.brands).gather(which),
            "price": goods.price[which],
            "cost": goods.cost[which],
            "launched_at": scene.timestamps(goods.launched[which]),
            "retired_at": scene.timestamps(end),
            "link": _LINK + ids,
        }
    )


def both(text: str) -> str:
    """Return `中文 English` as the contract writes a text in both languages.

    >>> both("手袋 Handbags"), both("Mia Chan")
    ('手袋 | Handbags', 'Mia Chan')
    """
    first, _, rest = text.partition(" ")
    return text if first.isascii() else first + BETWEEN + rest


def _joined(first: str, second: str) -> str:
    parts = [(in_language(first, one), in_language(second, one)) for one in LANGUAGES]
    return BETWEEN.join(f"{title} · {name}" for title, name in parts)


def _numbered(names: tuple[tuple[str, str], ...], index: int) -> tuple[str, str]:
    name, other = names[index % len(names)]
    again = index // len(names)
    return (f"{name} {again + 1}" if again else name, other)


def _clerks(scene: Scene) -> pl.DataFrame:
    shops = scene.shops
    names = [both(_CLERK_NAMES[i % len(_CLERK_NAMES)]) for i in range(shops.clerks)]
    return pl.DataFrame(
        {
            "clerk_id": scene.clerk_ids,
            "store_id": scene.store_ids.gather(shops.store),
            "name": [
                f"{name} {i // len(_CLERK_NAMES) + 1}" if i >= len(_CLERK_NAMES) else name
                for i, name in enumerate(names)
            ],
            "minutes_per_day": shops.minutes,
            "working_days": [
                "".join(str(d + 1) for d in range(7) if week[d]) for week in shops.working
            ],
            "shift_start": [f"{hour:02d}:00" for hour in shops.shift_start],
            "shift_end": [f"{hour:02d}:00" for hour in shops.shift_end],
            "modes": [[str(m) for m in CONTACT_MODES]] * shops.clerks,
        }
    )


def _groups(scene: Scene, recorder: Recorder) -> None:
    group = np.arange(scene.shops.clerks * len(TOPICS))
    recorder.add("groups", pl.DataFrame(
        {
            "group_id": group_ids(group),
            "clerk_id": scene.clerk_ids.gather(group // len(TOPICS)),
            "topic": pl.Series([both(topic) for topic in TOPICS]).gather(group % len(TOPICS)),
            "created_at": scene.timestamps(np.full(len(group), -900.0)),
        }
    ))  # fmt: skip


def _content(scene: Scene, recorder: Recorder) -> None:
    rows = []
    specs = scene.assortment.specs
    for mode in (0, 1):
        for month in range(12):
            for position, (theme, title) in enumerate(_THEMES):
                category = (month * len(_THEMES) + position * 5 + mode) % len(specs)
                rows.append(
                    {
                        "content_id": f"T{mode}-{month:02d}-{position}",
                        "mode": str(CONTACT_MODES[mode]),
                        "title": _joined(both(title), both(specs[category].name)),
                        "theme": theme,
                        "category": specs[category].category,
                        "product_ids": [scene.product_ids[_lasting(scene, category, month)]],
                        "link": f"{_LINK}content/{mode}-{month:02d}-{position}",
                        "locale": "zh" if position % 3 else "en",
                    }
                )
    recorder.add("content", pl.DataFrame(rows))


def _lasting(scene: Scene, category: int, turn: int) -> int:
    """Return a product of a category that is on sale from the first day on."""
    goods = scene.assortment
    slots = category * goods.slots + np.arange(goods.slots)
    steady = slots[(goods.launched[slots] < 0) & ~np.isfinite(goods.retired[slots])]
    return int(steady[turn % len(steady)]) if len(steady) else int(slots[0])


def event_rows(scene: Scene, month: int) -> pl.DataFrame:
    """Return the events of a 30-day period, one per store."""
    store = np.arange(scene.shops.stores)
    topics = pl.Series([both(topic) for topic in TOPICS]).gather((store + month) % len(TOPICS))
    day = event_day(scene, store, month)
    return pl.DataFrame(
        {
            "event_id": f"E{month:03d}-" + scene.store_ids,
            "topic": topics,
            "store_id": scene.store_ids,
            "starts_at": scene.timestamps(day + 14.0 / 24),
            "capacity": np.full(len(store), 40),
            "link": f"{_LINK}event/{month:03d}-" + scene.store_ids,
        }
    )
