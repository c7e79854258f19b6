"""Recognising columns: vendors' spellings, the user's options, and headers that are ambiguous."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.importing.columns import ColumnChoice, ColumnLayout, recognise_columns
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.vocabulary import VALUE_SPELLINGS

TIME = ("2024-01-02 09:30",)


def recognised(header: str, row: str = "", choice: ColumnChoice | None = None) -> ColumnLayout:
    names = header.split(",")
    values = row.split(",") if row else [""] * len(names)
    return recognise_columns({name: [value] for name, value in zip(names, values, strict=True)}, choice)


VENDORS: Mapping[str, tuple[str, str, tuple[str, ...], str | None, Mapping[str, str]]] = {
    "yahoo": (
        "Date,Open,High,Low,Close,Adj Close,Volume",
        "2024-01-02,1,2,1,1,1,5",
        ("Date",),
        None,
        {"close": "Close", "adj_close": "Adj Close", "volume": "Volume"},
    ),
    "yfinance actions": (
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits",
        "2024-01-02 00:00:00-05:00,1,2,1,1,5,0,0",
        ("Date",),
        None,
        {"dividend": "Dividends", "split_ratio": "Stock Splits"},
    ),
    "stooq": (
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
        "AAPL.US,5,20240102,153000,1,2,1,1,5,0",
        ("<DATE>", "<TIME>"),
        "<TICKER>",
        {"close": "<CLOSE>", "volume": "<VOL>", "open_interest": "<OPENINT>"},
    ),
    "metatrader 5": (
        "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<TICKVOL>,<VOL>,<SPREAD>",
        "2024.01.02,09:30:00,1,2,1,1,5,3,1",
        ("<DATE>", "<TIME>"),
        None,
        {"volume": "<VOL>"},
    ),
    "metatrader 5 without volumes of an exchange": (
        "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<TICKVOL>,<VOL>,<SPREAD>",
        "2024.01.02,09:30:00,1,2,1,1,5,0,1",
        ("<DATE>", "<TIME>"),
        None,
        {"volume": "<TICKVOL>"},
    ),
    "polygon flat files": (
        "ticker,volume,open,close,high,low,window_start,transactions",
        "AAPL,5,1,1,2,1,1704205800000000000,3",
        ("window_start",),
        "ticker",
        {"trade_count": "transactions", "close": "close"},
    ),
    "polygon aggregates": (
        "v,vw,o,c,h,l,t,n",
        "5,1,1,1,2,1,1704205800000,3",
        ("t",),
        None,
        {"vwap": "vw", "open": "o"},
    ),
    "alpaca": (
        "symbol,timestamp,open,high,low,close,volume,trade_count,vwap",
        "AAPL,2024-01-02 14:30:00+00:00,1,2,1,1,5,3,1",
        ("timestamp",),
        "symbol",
        {"vwap": "vwap", "trade_count": "trade_count"},
    ),
    "nasdaq.com": (
        "Date,Close/Last,Volume,Open,High,Low",
        "01/31/2024,$1,5,$1,$2,$1",
        ("Date",),
        None,
        {"close": "Close/Last"},
    ),
    "investing.com": (
        "Date,Price,Open,High,Low,Vol.,Change %",
        "Jan 02 2024,1,1,2,1,5M,1%",
        ("Date",),
        None,
        {"close": "Price", "volume": "Vol."},
    ),
    "alpha vantage": (
        "timestamp,1. open,2. high,3. low,4. close,5. volume",
        "2024-01-02,1,2,1,1,5",
        ("timestamp",),
        None,
        {"open": "1. open", "volume": "5. volume"},
    ),
    "cryptodatadownload": (
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT",
        "1704205800,2024-01-02 14:30:00,BTC/USDT,1,2,1,1,5,6",
        ("unix",),
        "symbol",
        {"volume": "Volume BTC"},
    ),
    "binance with a header": (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,ignore",
        "1704205800000,1,2,1,1,5,1704205859999,6,3,0",
        ("open_time",),
        None,
        {"volume": "volume"},
    ),
    "dukascopy": ("Gmt time,Open,High,Low,Close,Volume", "01.02.2024 00:00:00.000,1,2,1,1,5", ("Gmt time",), None, {}),
    "kaggle, all stocks in one file": (
        "date,open,high,low,close,volume,Name",
        "2024-01-02,1,2,1,1,5,AAL",
        ("date",),
        "Name",
        {},
    ),
    "tiingo": (
        "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor",
        "2024-01-02,1,2,1,1,5,1,2,1,1,5,0,1",
        ("date",),
        None,
        {"close": "close", "adj_close": "adjClose", "dividend": "divCash", "split_ratio": "splitFactor"},
    ),
    "pandas, index without a name": (
        ",open,high,low,close,volume",
        "2024-01-02 09:30:00,1,2,1,1,5",
        ("",),
        None,
        {"volume": "volume"},
    ),
    "pandas, index twice": (
        "Unnamed: 0,datetime,open,high,low,close",
        "0,2024-01-02,1,2,1,1",
        ("datetime",),
        None,
        {"open": "open"},
    ),
    "interactive brokers": (
        "date,open,high,low,close,volume,average,barCount",
        "20240102 09:30:00,1,2,1,1,5,1,3",
        ("date",),
        None,
        {"vwap": "average", "trade_count": "barCount"},
    ),
    "a date and a whole time stamp": (
        "date,time,open,high,low,close",
        "2024-01-02,2024-01-02 09:30,1,2,1,1",
        ("time",),
        None,
        {},
    ),
    "a date that says it all, and a time of day": (
        "date,time,open,high,low,close",
        "2024-01-02 09:30,09:30,1,2,1,1",
        ("date",),
        None,
        {},
    ),
    "the instant beside its parts": (
        "date,time,timestamp,open,high,low,close",
        "2024-01-02,09:30,1704205800,1,2,1,1",
        ("timestamp",),
        None,
        {},
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_files_of_vendors_are_recognised(vendor: str) -> None:
    header, row, time, symbol, values = VENDORS[vendor]
    layout = recognised(header, row)
    assert layout.time == time
    assert layout.symbol == symbol
    assert {**layout.values, **values} == dict(layout.values)


@examples(50)
@given(st.data())
def test_spellings_are_recognised_in_any_case_and_decoration(data: st.DataObject) -> None:
    def spelled(stored: str) -> str:
        spelling = data.draw(st.sampled_from(VALUE_SPELLINGS[stored]))
        cased = data.draw(st.sampled_from([spelling, spelling.upper(), spelling.title()]))
        return data.draw(st.sampled_from(["{}", "<{}>", " {} ", "{}*", "{} (USD)", '"{}"'])).format(cased)

    wanted = {stored: spelled(stored) for stored in ("open", "high", "low", "close", "volume")}
    names = data.draw(st.permutations(["Date", *wanted.values()]))
    assert dict(recognise_columns({name: ["2024-01-02"] for name in names}).values) == wanted


def test_the_user_says_which_column_is_what() -> None:
    choice = ColumnChoice({"open": "O1", "close": "settlement price", "signal": "X"}, time="When", symbol="Who")
    layout = recognised("When,Who,O1,High,Low,Settlement Price,Close,X", choice=choice)
    assert layout.time == ("When",)
    assert layout.symbol == "Who"
    assert layout.values == {
        "open": "O1",
        "close": "Settlement Price",
        "signal": "X",
        "high": "High",
        "low": "Low",
    }
    assert layout.left_out == ("Close",)


def test_the_user_may_give_a_date_and_a_time_of_day() -> None:
    choice = ColumnChoice(time="D1,T1")
    assert recognised("D1,T1,open,high,low,close", choice=choice).time == ("D1", "T1")


def test_a_column_that_was_named_and_is_not_there_is_an_error_that_lists_what_is() -> None:
    with pytest.raises(FileRefusedError, match=r"no column 'Wen'; the file has When, open"):
        recognised("When,open,high,low,close", choice=ColumnChoice(time="Wen"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("open,high,low,close", r"recognised for a time; .* --time-column"),
        ("date,open,high,close", r"recognised for low; .* --columns low=…"),
        ("date,price_factor,split_factor", r"recognised for open, high, low, close"),
        ("index,open,high,low,close", r"recognised for a time"),
    ],
)
def test_what_is_missing_is_named_with_the_option_that_helps(header: str, message: str) -> None:
    with pytest.raises(FileRefusedError, match=message):
        recognised(header, ",".join("1" for _ in header.split(",")))


def test_a_name_column_of_company_names_is_no_symbol_column() -> None:
    layout = recognised("date,open,high,low,close,Name", "2024-01-02,1,2,1,1,Apple Inc.")
    assert layout.symbol is None
    assert "Name" in layout.left_out


@pytest.mark.parametrize("name", ["Date (UTC)", "timestamp_utc", "UTCTime", "Gmt time"])
def test_a_time_column_that_says_utc_is_known_to(name: str) -> None:
    assert recognised(f"{name},open,high,low,close").zones == ("UTC",)


def test_a_time_column_that_says_nothing_has_no_zone() -> None:
    assert recognised("Date,open,high,low,close").zones == ()
    assert recognised("Executed,open,high,low,close", choice=ColumnChoice(time="Executed")).zones == ()
