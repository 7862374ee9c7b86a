"""Categories, products and content of the shops, with Chinese and English names."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.schema.languages import BETWEEN
from nba.schema.words import CategoryKind
from nba.simulation.config import TIER_RATIO, Assortments, Sector, WorldConfig
from nba.simulation.streams import Streams

TASTE_DIMENSIONS: Final = 4


@dataclass(frozen=True)
class CategorySpec:
    """A category: how often it is bought, at what price and margin, in which season.

    `topic` is the place of the clerks' group that talks about it, -1 for none.
    """

    category: str
    name: str
    sector: Sector
    kind: CategoryKind
    replenishable: bool
    gap_days: float
    regularity: float
    price: float
    margin_rate: float
    return_rate: float
    season: float
    peak_day: int
    nouns: tuple[str, ...]
    topic: int = -1


_A, _F, _L = Sector.APPAREL, Sector.FAMILY, Sector.LUXURY
_S, _G, _P = CategoryKind.SHORT, CategoryKind.GROUP, CategoryKind.PREMIUM

FASHION: Final = (
    CategorySpec("tops", "上装 Tops", _A, _S, False, 130, 1.3, 199, 0.55, 0.08, 0.25, 300,
                 ("针织衫 Knit Top", "衬衫 Shirt", "卫衣 Sweatshirt", "T恤 Tee")),
    CategorySpec("bottoms", "下装 Bottoms", _A, _S, False, 180, 1.3, 239, 0.55, 0.08, 0.2, 290,
                 ("牛仔裤 Jeans", "阔腿裤 Wide Trousers", "半身裙 Skirt", "西裤 Trousers")),
    CategorySpec("shoes", "鞋履 Shoes", _A, _S, False, 210, 1.4, 399, 0.50, 0.09, 0.2, 280,
                 ("小白鞋 Sneakers", "乐福鞋 Loafers", "短靴 Ankle Boots", "凉鞋 Sandals")),
    CategorySpec("snacks", "零食 Snacks", _A, _S, True, 90, 1.6, 39, 0.35, 0.01, 0.2, 20,
                 ("坚果 Nuts", "肉脯 Jerky", "曲奇 Cookies", "果干 Dried Fruit")),
    CategorySpec("household", "日用 Household", _A, _S, True, 115, 2.5, 49, 0.30, 0.01, 0.05, 310,
                 ("洗衣液 Laundry Liquid", "抽纸 Tissues", "洗发水 Shampoo", "牙膏 Toothpaste")),
    CategorySpec("formula", "奶粉 Infant Formula", _F, _G, True, 50, 4.0, 268, 0.25, 0.02, 0.0, 0,
                 ("一段奶粉 Stage 1", "二段奶粉 Stage 2", "三段奶粉 Stage 3", "羊奶粉 Goat Milk"),
                 0),
    CategorySpec("diapers", "纸尿裤 Diapers", _F, _G, True, 46, 4.0, 129, 0.22, 0.01, 0.0, 0,
                 ("纸尿裤 Diapers", "拉拉裤 Pants", "夜用裤 Night Pants", "湿巾 Wipes"), 0),
    CategorySpec("toys", "玩具 Toys", _F, _G, False, 140, 1.2, 159, 0.45, 0.04, 0.3, 150,
                 ("积木 Blocks", "绘本 Picture Book", "拼图 Puzzle", "滑板车 Scooter"), 0),
    CategorySpec("skin_care", "护肤 Skin Care", _F, _G, True, 120, 3.0, 320, 0.60, 0.03, 0.1, 320,
                 ("精华 Serum", "面霜 Cream", "防晒 Sunscreen", "洁面 Cleanser"), 1),
    CategorySpec("running", "跑步 Running", _F, _G, False, 200, 1.3, 499, 0.45, 0.07, 0.2, 100,
                 ("跑鞋 Running Shoes", "速干衣 Dry Tee", "压缩裤 Tights", "腰包 Run Belt"), 2),
    CategorySpec("handbags", "手袋 Handbags", _L, _P, False, 240, 1.2, 8800, 0.60, 0.04, 0.2, 350,
                 ("托特包 Tote", "链条包 Chain Bag", "晚宴包 Clutch", "水桶包 Bucket Bag")),
    CategorySpec("jewellery", "珠宝 Jewellery", _L, _P, False, 280, 1.1, 6800, 0.60, 0.03, 0.3, 40,
                 ("项链 Necklace", "耳环 Earrings", "手镯 Bangle", "戒指 Ring")),
    CategorySpec("premium_beauty", "高端美妆 Premium Beauty", _L, _P, True, 62, 3.0, 1180, 0.65,
                 0.02, 0.1, 340,
                 ("精华液 Elixir", "眼霜 Eye Cream", "香水 Perfume", "面膜 Mask"), 1),
    CategorySpec("accessories", "配饰 Accessories", _L, _P, False, 145, 1.2, 2600, 0.60, 0.04, 0.2,
                 340,
                 ("丝巾 Silk Scarf", "皮带 Belt", "墨镜 Sunglasses", "羊绒围巾 Cashmere Scarf")),
)  # fmt: skip

#: Another kind of shop: other names, rhythms and margins, and kinds that cross the sectors.
EVERYDAY: Final = (
    CategorySpec("coffee", "咖啡 Coffee", _A, _S, True, 32, 3.0, 79, 0.42, 0.01, 0.05, 10,
                 ("咖啡豆 Beans", "挂耳 Drip Bags", "胶囊 Capsules", "冷萃 Cold Brew")),
    CategorySpec("pet_food", "宠物食品 Pet Food", _A, _S, True, 38, 4.5, 189, 0.28, 0.01, 0.0, 0,
                 ("猫粮 Cat Food", "狗粮 Dog Food", "罐头 Tins", "冻干 Treats")),
    CategorySpec("books", "图书 Books", _A, _S, False, 75, 1.1, 58, 0.38, 0.02, 0.15, 60,
                 ("小说 Novel", "传记 Biography", "画册 Art Book", "漫画 Comic")),
    CategorySpec("home_textiles", "家纺 Home Textiles", _A, _G, False, 230, 1.2, 369, 0.5, 0.07,
                 0.2, 300, ("四件套 Bedding", "毛巾 Towels", "窗帘 Curtains", "地毯 Rug")),
    CategorySpec("baby_food", "辅食 Baby Food", _F, _G, True, 28, 4.0, 99, 0.33, 0.01, 0.0, 0,
                 ("米粉 Cereal", "果泥 Puree", "泡芙 Puffs", "面条 Noodles"), 0),
    CategorySpec("make_up", "彩妆 Make-up", _F, _G, True, 95, 2.0, 239, 0.62, 0.04, 0.1, 330,
                 ("口红 Lipstick", "粉底 Foundation", "眼影 Eye Shadow", "腮红 Blush"), 1),
    CategorySpec("fitness", "健身 Fitness", _F, _G, False, 170, 1.3, 429, 0.46, 0.06, 0.25, 80,
                 ("瑜伽垫 Yoga Mat", "哑铃 Dumbbells", "护膝 Knee Pads", "跳绳 Rope"), 2),
    CategorySpec("vitamins", "营养 Vitamins", _F, _S, True, 58, 4.0, 168, 0.58, 0.01, 0.1, 350,
                 ("维生素 Vitamins", "鱼油 Fish Oil", "益生菌 Probiotics", "钙片 Calcium")),
    CategorySpec("wine", "葡萄酒 Wine", _L, _P, True, 70, 1.8, 980, 0.45, 0.01, 0.35, 355,
                 ("红酒 Red", "白酒 White", "香槟 Champagne", "甜酒 Dessert Wine")),
    CategorySpec("watches", "腕表 Watches", _L, _P, False, 330, 1.1, 7600, 0.5, 0.03, 0.25, 350,
                 ("机械表 Automatic", "计时表 Chronograph", "石英表 Quartz", "怀表 Pocket Watch")),
    CategorySpec("audio", "音响 Audio", _L, _G, False, 210, 1.2, 2900, 0.38, 0.05, 0.2, 315,
                 ("耳机 Headphones", "音箱 Speaker", "唱机 Turntable", "功放 Amplifier")),
    CategorySpec("tea", "茶叶 Tea", _L, _P, True, 48, 3.0, 520, 0.6, 0.01, 0.1, 110,
                 ("龙井 Longjing", "普洱 Pu'er", "岩茶 Rock Tea", "白茶 White Tea")),
)  # fmt: skip

SPECS: Final = MappingProxyType({Assortments.FASHION: FASHION, Assortments.EVERYDAY: EVERYDAY})

KINDS: Final = tuple(CategoryKind)
_LINES: Final = (
    "经典 Classic",
    "云感 Cloud",
    "轻奢 Lumière",
    "东方 Orient",
    "森系 Forest",
    "都市 Urban",
)
_BRANDS: Final = ("青禾 Qinghe", "Luma", "南山 Nanshan", "Vero", "小满 Xiaoman", "Atelier 9")


@dataclass(frozen=True)
class Assortment:
    """All products, category by category; product `c * slots + s` is slot s of category c."""

    specs: tuple[CategorySpec, ...]
    slots: int
    category: Ints
    tier: Floats
    price: Floats
    cost: Floats
    style: Floats
    popularity: Floats
    launched: Floats
    retired: Floats
    names: list[str]
    brands: list[str]
    kind: Ints
    gap: Floats
    shape: Floats
    season: Floats
    peak: Floats
    return_rate: Floats
    replenishable: Bools
    sector: Ints

    @property
    def count(self) -> int:
        """Number of products."""
        return len(self.category)

    @property
    def category_names(self) -> pl.Series:
        """Category ids by position."""
        return pl.Series([spec.category for spec in self.specs])


def build_assortment(config: WorldConfig, streams: Streams) -> Assortment:
    """Draw the products: tiers 1 to 5, styles in taste space, launches and retirements."""
    specs = SPECS[config.assortment]
    slots = config.products_per_category
    count = slots * len(specs)
    index = np.arange(count)
    category = index // slots
    tier = (1 + (index % slots) % 5).astype(np.float64)
    base = np.array([c.price for c in specs])[category]
    rate = np.array([c.margin_rate for c in specs])[category]
    raw = base * TIER_RATIO ** (tier - 3) * streams.lognormal("price", index, 0.12)
    price = np.where(raw > 100, np.round(raw / 10) * 10 - 1, np.round(raw) - 0.1)
    style = streams.normal("style", np.arange(count * TASTE_DIMENSIONS))
    fate = streams.uniform("fate", index)
    moment = streams.uniform("moment", index) * (config.days + 180)
    span = np.array([(c.gap_days, c.regularity, c.season, c.peak_day, c.return_rate)
                     for c in specs])  # fmt: skip
    return Assortment(
        specs=specs,
        slots=slots,
        category=category,
        tier=tier,
        price=price,
        cost=np.round(price * (1 - rate) * streams.lognormal("cost", index, 0.05), 2),
        style=style.reshape(count, TASTE_DIMENSIONS),
        popularity=0.6 * streams.normal("popularity", index),
        launched=np.where(fate < 0.12, moment, -400.0 - 300 * streams.uniform("launch", index)),
        retired=np.where(fate > 0.94, moment, np.inf),
        names=[_name(specs, int(i), slots) for i in index],
        brands=[_BRANDS[(int(i) * 7 + int(i) // slots) % len(_BRANDS)] for i in index],
        kind=np.array([KINDS.index(c.kind) for c in specs]),
        gap=span[:, 0],
        shape=span[:, 1],
        season=span[:, 2],
        peak=span[:, 3],
        return_rate=span[:, 4],
        replenishable=np.array([c.replenishable for c in specs]),
        sector=np.array([list(Sector).index(c.sector) for c in specs]),
    )


def _name(specs: tuple[CategorySpec, ...], index: int, slots: int) -> str:
    spec, slot = specs[index // slots], index % slots
    line_zh, line_en = _LINES[(slot // len(spec.nouns)) % len(_LINES)].split(" ", 1)
    noun_zh, noun_en = spec.nouns[slot % len(spec.nouns)].split(" ", 1)
    series = f" {slot // (len(_LINES) * len(spec.nouns)) + 2}" if slot >= 24 else ""
    return f"{line_zh}{noun_zh}{series}{BETWEEN}{line_en} {noun_en}{series}"
