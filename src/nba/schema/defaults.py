"""What holds where a project says nothing else; each default stands here alone."""

from __future__ import annotations

from typing import Final

#: The zone in which naive times stand and a day begins.
TIME_ZONE: Final = "Asia/Shanghai"
CURRENCY: Final = "CNY"
#: Gross margin over price where neither product nor category states one.
MARGIN_RATE: Final = 0.3
#: Salts the draw of arms.
SALT: Final = "nba"
#: Days in which a contact's effect is counted.
OUTCOME_DAYS: Final = 14
#: Share of the customers left uncontacted on purpose.
HOLDOUT_SHARE: Final = 0.1
