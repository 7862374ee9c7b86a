"""The words of the page, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from nba.schema.languages import LANGUAGES, Language

_TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "title": ("主动联系带来了多少收益", "What contacting earned"),
        "span": ("{first} 至 {last}({weeks} 周)", "{first} to {last} ({weeks} weeks)"),
        "other_language": ("English", "中文"),
        "earned": (
            "与不联系相比,多赚了 {total} 毛利",
            "Contacting earned {total} more gross margin than leaving alone",
        ),
        "cost": (
            "与不联系相比,少赚了 {total} 毛利",
            "Contacting cost {total} of gross margin against leaving alone",
        ),
        "open": (
            "目前还不能断定联系是否带来收益",
            "It cannot be told yet whether contacting pays",
        ),
        "no_control": (
            "没有留出对照组,无法证明联系的收益",
            "Nobody was held out, so a gain cannot be proven",
        ),
        "between": (
            "95% 的把握在 {lower} 与 {upper} 之间;估计值 {total}",
            "between {lower} and {upper} with 95 % confidence; best estimate {total}",
        ),
        "beats_lists": (
            "引擎比最好的简单名单({arm})每位顾客多赚 {estimate}(95% 区间 {lower} 至 {upper})",
            "The engine earned {estimate} more per customer than the best simple list, {arm} "
            "({lower} to {upper} with 95 % confidence)",
        ),
        "below_lists": (
            "引擎每位顾客比最好的简单名单({arm})少赚 {estimate}(95% 区间 {lower} 至 {upper})",
            "The engine earned {estimate} less per customer than the best simple list, {arm} "
            "({lower} to {upper} with 95 % confidence)",
        ),
        "level_with_lists": (
            "引擎与最好的简单名单({arm})还分不出高下:每位顾客相差 {lower} 至 {upper}",
            "It cannot be told yet whether the engine beats the best simple list, {arm}: "
            "{lower} to {upper} per customer",
        ),
        "own_beats": (
            "试验组「{arm}」(改了{changes})每位顾客比引擎多赚 {estimate}"
            "(95% 区间 {lower} 至 {upper})",
            "The test arm {arm} (other {changes}) earned {estimate} more per customer than the "
            "engine ({lower} to {upper} with 95 % confidence)",
        ),
        "own_below": (
            "试验组「{arm}」(改了{changes})每位顾客比引擎少赚 {estimate}"
            "(95% 区间 {lower} 至 {upper})",
            "The test arm {arm} (other {changes}) earned {estimate} less per customer than the "
            "engine ({lower} to {upper} with 95 % confidence)",
        ),
        "own_level": (
            "试验组「{arm}」(改了{changes})与引擎还分不出高下:每位顾客相差 {lower} 至 {upper}",
            "It cannot be told yet whether the test arm {arm} (other {changes}) beats the engine: "
            "{lower} to {upper} per customer",
        ),
        "drawn_by_units": (
            "试验分组按{unit}整体抽签(参与比较的共 {count} 个),误差也按此计算,"
            "因此区间比按顾客抽签更宽",
            "The arms of the test were drawn by {unit} ({count} of them are compared), and so are "
            "their intervals, which are wider than where each customer draws",
        ),
        "whole_clerk": ("导购", "whole clerks"),
        "whole_store": ("门店", "whole stores"),
        "whole_group": ("社群", "whole groups"),
        "own_catalogue": ("行动目录", "catalogue"),
        "own_contact policy": ("联系规则", "contact policy"),
        "own_levers": ("权重", "levers"),
        "own_texts": ("话术", "texts"),
        "wait": (
            "若效果保持现状,约再需 {weeks} 周可得出结论",
            "if it goes on as it looks, about {weeks} more weeks will tell",
        ),
        "wait_long": (
            "若效果保持现状,两年内也得不出结论:顾客或对照组太少",
            "if it goes on as it looks, two years will not tell: there are too few customers, "
            "or too few held out",
        ),
        "hold_out": (
            "在 nba.yaml 的 arms 下设置 holdout(例如 0.1),下一期报告即可给出答案",
            "set `arms: {{holdout: 0.1}}` in nba.yaml; the report then has an answer",
        ),
        "early": (
            "还太早:{first_known} 起才有第一天的结果",
            "Too early to say: the outcome of the first day is known on {first_known}",
        ),
        "early_note": (
            "一次联系带来的收益按之后 {days} 天计算;下面的表格显示已经做了什么。",
            "What a contact brings is counted over {days} days. The tables below say what was "
            "done so far.",
        ),
        "gains": ("名单的排序是否有效", "Did the lists put first whom it pays to contact?"),
        "gains_ranks": (
            "是:名单靠前的顾客联系后多赚更多(比随机排序高 {qini},"
            "95% 区间 {lower} 至 {upper};即 Qini)",
            "Yes: contacting those at the top of the lists gains most ({qini} over a list in "
            "random order, {lower} to {upper} with 95 % confidence; the Qini)",
        ),
        "gains_misranks": (
            "否:名单靠前的顾客联系后反而多赚更少(与随机排序相比 {qini},"
            "95% 区间 {lower} 至 {upper};即 Qini)",
            "No: contacting those at the top of the lists gains least ({qini} against a list in "
            "random order, {lower} to {upper} with 95 % confidence; the Qini)",
        ),
        "gains_open": (
            "还看不出(与随机排序相比 {qini},95% 区间 {lower} 至 {upper};即 Qini)",
            "It cannot be told yet ({qini} against a list in random order, {lower} to {upper} with "
            "95 % confidence; the Qini)",
        ),
        "gains_note": (
            "从左到右:按估值从高到低依次列入的顾客比例;高度:由此多赚的毛利。虚线是不排序的名单。"
            "依据 {rows} 个人·天的抽取概率。",
            "From left to right: the share of customers listed, the highest valued first; height: "
            "the margin that it gains. Dashed: a list without order. From {rows} customer days "
            "with known chances.",
        ),
        "follow": ("引擎旁观:如果照名单去做", "The engine watches: if the lists were followed"),
        "follow_gain": (
            "按这些名单联系,每周约多赚 {worth} 毛利(95% 区间 {lower} 至 {upper})",
            "Following these lists would be worth {worth} of gross margin a week ({lower} to "
            "{upper} with 95 % confidence)",
        ),
        "follow_loss": (
            "按这些名单联系,每周会少赚约 {worth} 毛利(95% 区间 {lower} 至 {upper})",
            "Following these lists would cost {worth} of gross margin a week ({lower} to {upper} "
            "with 95 % confidence)",
        ),
        "follow_open": (
            "目前还看不出按名单联系值多少钱{wait}",
            "It cannot be told yet what following the lists would be worth{wait}",
        ),
        "follow_early": (
            "还太早:还没有任何一天的结果已知",
            "Too early to say: the outcome of no day is known yet",
        ),
        "follow_no_overlap": (
            "现有数据无法回答:名单中 {outside} 的顾客是导购从不联系的",
            "The log cannot say: {outside} of the lists are customers whom clerks never contact",
        ),
        "follow_wait": (",约再需 {weeks} 周", "; about {weeks} more weeks are needed"),
        "follow_basis": (
            "依据:{customers} 位顾客,{weeks} 周;导购自行联系 {contacts} 次,名单会联系 {listed} 次;"
            "其中相当于 {effective} 次联系可作比较;名单中 {outside} 的顾客导购从不联系",
            "from {customers} customers over {weeks} weeks; clerks made {contacts} contacts, the "
            "lists would have made {listed}; worth {effective} contacts of the lists' own; "
            "{outside} of the lists are customers whom clerks never contact",
        ),
        "follow_note": (
            "没有抽签:导购若凭数据之外的了解挑选顾客,结果会有偏差。要证明收益,请留出对照组。",
            "Nobody was drawn: where clerks choose by what no table knows, this is off. A held-out "
            "group proves a gain.",
        ),
        "per_customer": ("每位顾客", "per customer"),
        "per_week": ("每周", "per week"),
        "customers": ("顾客", "customers"),
        "held_out": ("对照组(不联系)", "held out (left alone)"),
        "contacts": ("联系次数(所有分组)", "contacts, of every group"),
        "hours": ("导购用时,小时(所有分组)", "clerk hours, of every group"),
        "hours_beyond": (
            "联系组比同样多的对照组顾客多用的导购小时",
            "clerk hours beyond those for as many held out",
        ),
        "per_hour": ("多用的每个小时带来的收益", "earned per hour of these"),
        "arms": ("各分组与不联系的比较", "Every group of customers against leaving alone"),
        "arms_note": (
            "顾客由抽签分组。被分到某组的所有顾客都计入,无论导购是否真的发送,因此挑好客户不算成绩。",
            "A draw puts customers in groups. Whoever was drawn counts, whether the clerk sent "
            "something or not, so that picking good customers is no success.",
        ),
        "arm": ("分组", "group"),
        "margin_mean": ("人均毛利", "margin per customer"),
        "effect_per": ("人均多赚", "gained per customer"),
        "effect_total": ("合计多赚", "gained in all"),
        "levers": ("三个杠杆:收益从哪里来", "Three levers: where the gain comes from"),
        "active": ("更多活跃好友", "more active friends"),
        "frequency": ("买得更频繁", "more orders of each"),
        "order_value": ("每单更大", "larger orders"),
        "all": ("人均销售额", "sales per customer"),
        "repurchasing": ("复购好友", "repurchasing friends"),
        "friends_active": ("活跃好友", "active friends"),
        "lever_share": (
            "其中人均销售额变化 {amount}",
            "{amount} of the change in sales per customer",
        ),
        "unsure": ("尚不确定", "not certain yet"),
        "modes": ("按互动模式", "By mode"),
        "modes_note": (
            "每次列入名单在 {days} 天内带来的毛利变化,由系统记录的抽取概率推算,不受"
            "“挑好客户”影响。名单之间有重叠,各行不能相加为总收益。",
            "Margin that one listing changes within {days} days, from the chances with which each "
            "was drawn, so that picking good customers does not count as success. Listings "
            "overlap: "
            "the rows do not add up to the total.",
        ),
        "listings": ("列入次数", "listings"),
        "per_listing": ("每次多赚", "gained per listing"),
        "action_types": ("按行动类型", "By action type"),
        "sequences": ("组合与单一模式", "Modes in sequence"),
        "first": ("30 天内首次联系", "first contact in 30 days"),
        "same_mode": ("之前是同一模式", "after the same mode"),
        "other_mode": ("之前是另一模式", "after another mode"),
        "segments": ("按顾客分层", "By segment"),
        "no_purchase": ("一年未购", "no purchase in a year"),
        "dormant": ("沉睡(120 天以上未购)", "dormant (over 120 days)"),
        "single": ("只买过一次", "bought once"),
        "regular": ("常客", "regular"),
        "top": ("高价值", "top fifth"),
        "stores": ("按门店", "By store"),
        "clerks": (
            "按导购:与其顾客本来会买的相比",
            "By clerk: against what their book would buy anyway",
        ),
        "shrunk_note": (
            "差异小于偶然波动的部分已拉向平均值,因此排名不是在给运气排名。",
            "What chance alone explains is pulled to the mean, so that the order does not rank "
            "luck.",
        ),
        "funnel": ("漏斗:从计划到购买", "The funnel: from planned to bought"),
        "planned": ("计划", "planned"),
        "shown": ("展示给导购", "shown"),
        "sent": ("已发送", "sent"),
        "delivered": ("已送达", "delivered"),
        "read": ("已读", "read"),
        "replied": ("回应", "replied"),
        "bought": ("购买", "bought"),
        "funnel_note": (
            "“购买”指联系后 {days} 天内的任何购买,并不都由联系引起。",
            "“Bought” is any purchase within {days} days of the contact, caused by it or not.",
        ),
        "of_before": ("占上一步 {share}", "{share} of the step before"),
        "friends_added": ("新增好友", "friends added"),
        "friends_lost": ("流失好友", "friends lost"),
        "group_joins": ("加入社群", "group joins"),
        "group_leaves": ("退出社群", "group leaves"),
        "yardsticks": (
            "行业口径:看到的变化与真正由联系引起的变化",
            "Yardsticks: the change as it looks, and what contacts caused",
        ),
        "yardsticks_note": (
            "“看到的”是被联系顾客与此前同样长时间相比的变化,含季节与自然增长;“引起的”是与未联系者相比"
            "(所有模式:对照组,整个期间;单个模式:每次列入后 {days} 天)。",
            "“As it looks” compares the contacted with the equally long time before, season and "
            "growth "
            "included. “Caused” compares with those left alone (all modes: the held out, over "
            "the whole "
            "period; one mode: within {days} days of a listing).",
        ),
        "raw": ("看到的", "as it looks"),
        "caused": ("引起的", "caused"),
        "all_modes": ("所有模式", "all modes"),
        "mode": ("模式", "mode"),
        "content": ("有效的内容与疲劳的内容", "Content that works, and content that tires"),
        "content_name": ("内容", "content"),
        "read_rate": ("阅读率", "read"),
        "reply_rate": ("回应率", "answered"),
        "buy_rate": ("购买率", "bought"),
        "negative_rate": ("负面", "negative"),
        "early_late": ("回应率:前半 → 后半", "answered: first half → last half"),
        "tires": ("疲劳", "tires"),
        "minutes": (
            "导购时间,以及多一小时能赚多少",
            "Clerk time, and what one more hour would earn",
        ),
        "store": ("门店", "store"),
        "available": ("可用小时", "hours there"),
        "planned_hours": ("计划小时", "hours planned"),
        "used_hours": ("实际小时", "hours used"),
        "hour_value": ("多一小时的价值", "one more hour earns"),
        "hour_note": (
            "计划中多一分钟能多赚的金额(影子价格)× 60,括号内为 95% 区间(按天);它依赖模型的估计。",
            "What one more minute would have earned in the plans (their shadow price) times 60, "
            "with a 95 % band over days; it rests on the model's own estimates.",
        ),
        "nothing": ("谁没有得到任何行动,为什么", "Customers who got nothing, and why"),
        "reason": ("原因", "reason"),
        "share": ("占比", "share"),
        "not_worth_it": (
            "没有一种行动比不打扰更值得",
            "no action was worth more than leaving them alone",
        ),
        "others_first": (
            "导购时间先给了更有价值的顾客",
            "the clerk's minutes went to others first",
        ),
        "not_drawn": ("随机组,未被抽中", "in the random arm, and not drawn"),
        "clerk_off": ("导购不在岗", "their clerk did not work"),
        "cool_down": ("联系间隔未到", "resting after a contact"),
        "cap_per_day": ("已达每日上限", "daily cap reached"),
        "cap_per_week": ("已达每周上限", "weekly cap reached"),
        "cap_per_month": ("已达每月上限", "monthly cap reached"),
        "pause_after_no": ("负面回应后暂停", "pause after a no"),
        "pause_after_silence": ("多次无回应后暂停", "pause after silence"),
        "snoozed": ("导购推迟", "set aside by the clerk"),
        "blocked_response": ("顾客已屏蔽", "the customer blocked"),
        "holiday": ("节假日不打扰", "holiday"),
        "quota": ("平台配额用尽", "the platform's quota is spent"),
        "nobody": (
            "每位可联系的顾客都至少得到一次行动。",
            "Everyone who could be listed was, at least once.",
        ),
        "restraint": ("克制:没有打扰", "Restraint: contacts not made"),
        "left_alone_not_worth_it": (
            "因不值得而未打扰(人·天)",
            "left alone: not worth it (customer days)",
        ),
        "left_alone_by_policy": (
            "因规则而未打扰(人·天)",
            "left alone: the contact policy (customer days)",
        ),
        "blocks": ("屏蔽", "blocks"),
        "complaints": ("投诉", "complaints"),
        "blocks_per_1000": ("每千次联系的屏蔽", "blocks per 1,000 contacts"),
        "complaints_per_1000": ("每千次联系的投诉", "complaints per 1,000 contacts"),
        "blocks_avoided": ("估计避免的屏蔽", "blocks avoided (estimate)"),
        "avoided_note": (
            "估计避免的屏蔽 = 未发生的联系 × 每次联系比对照组多出的屏蔽。",
            "Blocks avoided: the contacts not made times the blocks per contact beyond the held "
            "out's.",
        ),
        "method": ("如何计算,以及是否可信", "How it is counted, and whether to believe it"),
        "method_note": (
            "顾客由哈希抽签分入各组并在周期内保持不变;每位顾客从期间内首次可联系之日起计;此前一年的购买用于"
            "减少噪声(CUPED);共享分组的社群成员一起计算误差。金额为毛利,已扣除退货。",
            "A hash draws each customer's arm, which stays for the period. Customers count from "
            "the first "
            "day on which they could be planned for, in every arm alike. Purchases of the year "
            "before "
            "take away noise (CUPED); members of a group that share an arm count as one for the "
            "interval. Money is gross margin, returns deducted.",
        ),
        "ratio_good": (
            "分组人数符合设定比例(p = {p})。",
            "The groups are as large as they should be (p = {p}).",
        ),
        "ratio_bad": (
            "分组人数不符合设定比例(p = {p}):抽签、日志或关联可能有误,请先查明再使用上面的数字。",
            "The groups are not as large as they should be (p = {p}): something is wrong with the "
            "draw or with the data. Find out before using the figures above.",
        ),
        "cannot": ("数据不足", "the log cannot say"),
        "run": ("MLflow 运行 {run}", "MLflow run {run}"),
        "tables": ("所有数字的表格:{folder}", "every figure as a table: {folder}"),
        "shopping_assistant": ("购物助手", "shopping assistant"),
        "topic_expert": ("话题专家", "topic expert"),
        "private_partner": ("私人伙伴", "private partner"),
        "none": ("不联系", "none"),
        "engine": ("引擎", "engine"),
        "holdout": ("对照组", "holdout"),
        "random": ("随机", "random"),
        "business_as_usual": ("照旧", "business as usual"),
        "observe": ("旁观", "observed"),
        "due_worth": ("到期价值名单", "due worth"),
        "most_overdue": ("最久未购名单", "most overdue"),
        "recency_spend": ("近期高消费名单", "recency and spend"),
        "top_propensity": ("购买概率名单", "top propensity"),
        "clerk_habit": ("导购习惯名单", "the clerk's habit"),
        "stores_all": ("所有门店", "all stores"),
        "clerks_many": ("位导购", "clerks"),
        "clerk": ("导购", "clerk"),
        "segment": ("分层", "segment"),
        "sequence": ("顺序", "sequence"),
        "action_type": ("行动类型", "action type"),
        "interval": ("估计与 95% 区间", "estimate and 95 % interval"),
    }
)
CURRENCIES: Final = MappingProxyType({"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"})


def text(key: str, locale: Language, **values: str) -> str:
    """Return a text of the page; an unknown key, such as an arm's own name, stands for itself.

    >>> text("sent", "en"), text("my_arm", "en")
    ('sent', 'my arm')
    """
    template = _TEXTS.get(key)
    if template is None:
        return key.replace("_", " ")
    return template[LANGUAGES.index(locale)].format(**values)
