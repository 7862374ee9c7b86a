"""Codes of currencies (ISO 4217) and countries (ISO 3166-1) that there are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_CURRENCIES: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD
KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS
SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST
XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL
"""
#: ISO 4217: money that is paid with, or was within the last years.
CURRENCIES: Final = frozenset(_CURRENCIES.split())
#: What currencies are called beside their code.
_CALLED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RMB": "CNY", "CNH": "CNY", "YUA": "CNY", "NTD": "TWD", "UKP": "GBP", "STG": "GBP",
        "NIS": "ILS", "YEN": "JPY", "WON": "KRW", "EUO": "EUR", "RUR": "RUB", "SFR": "CHF",
    }
)  # fmt: skip


def currency_code(code: str) -> str:
    """Return an ISO 4217 code as it is given.

    Raises
    ------
    ValueError
        For what is none.

    Examples
    --------
    >>> currency_code("RMB")
    Traceback (most recent call last):
    ValueError: 'RMB' is no ISO 4217 code; the code of that currency is CNY
    """
    if code in CURRENCIES:
        return code
    meant = _CALLED.get(code)
    hint = f"the code of that currency is {meant}" if meant else "such as CNY, EUR or USD"
    raise ValueError(f"{code!r} is no ISO 4217 code; {hint}")


@cache
def countries() -> Mapping[str, str]:
    """Return the names of countries by their ISO 3166-1 code."""
    table = files("tzdata.zoneinfo").joinpath("iso3166.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    return MappingProxyType(dict(rows))


def country_code(code: str) -> str:
    """Return the code of a country, or of a part of one (GB-ENG), as it is given; empty: none.

    Raises
    ------
    ValueError
        For a country that ISO 3166-1 does not name.
    """
    country = code.partition("-")[0]
    if country and country not in countries():
        meant = " (GB)" if country == "UK" else ""
        raise ValueError(f"{country!r} is no ISO 3166 code of a country, such as CN{meant}")
    return code
