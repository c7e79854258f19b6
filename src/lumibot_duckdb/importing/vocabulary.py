"""The words that vendors use in the names of columns and files. Column spellings are as `plain_name` writes them."""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Spellings in order of preference.
VALUE_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "open": _words("open o openprice priceopen openingprice first op"),
    "high": _words("high h highprice pricehigh highestprice max hi"),
    "low": _words("low l lowprice pricelow lowestprice min lo"),
    "close": _words("close c closelast closeprice priceclose closingprice last lastprice price settle settlement cl"),
    "volume": _words("volume v vol tottrdqty volumeshares sharevolume totalvolume tradevolume tickvolume tickvol"),
    "adj_close": _words("adjclose adjustedclose closeadj adjcls adjcloseprice"),
    "dividend": _words("dividend dividends dividendamount divcash exdividend"),
    "split_ratio": _words("splitratio stocksplits stocksplit splitcoefficient splitfactor"),
    "vwap": _words("vwap vw wap average weightedaverage volumeweightedaverageprice"),
    "trade_count": _words("tradecount trades transactions numberoftrades totaltrades numtrades barcount n"),
    "open_interest": _words("openinterest openint oi"),
    "bid": _words("bid bidprice"),
    "ask": _words("ask askprice"),
    "bid_size": _words("bidsize"),
    "ask_size": _words("asksize"),
}
TIME_SPELLINGS = _words(
    """
    unix unixtime unixtimestamp epoch epochtime timestampms epochms timestampns epochns
    timestamp ts tsevent windowstart datetime dateandtime opentime bartime starttime barstart start begin
    candlebegintime timekey localtime date time t tradedate dt d day dtyyyymmdd yyyymmdd
    """
)
DATE_SPELLINGS = _words("date dtyyyymmdd yyyymmdd tradedate tradingdate day d dt")
CLOCK_SPELLINGS = _words("time timeofday hhmmss hhmm t tradetime")
SYMBOL_SPELLINGS = _words(
    """
    symbol symbols ticker tickers sym assetsymbol tickersymbol tradingsymbol asset tic instrument instrumentname
    instrumentid code tscode security securityid ric pair stock contract actsymbol name
    """
)
TIMEFRAME_SPELLINGS = _words("timeframe interval resolution period freq frequency barsize granularity")

# Currencies that a pair is quoted in, longer ones first where one ends in another.
QUOTE_CURRENCIES = _words("FDUSD USDT USDC BUSD TUSD USD EUR GBP JPY AUD CAD CHF KRW TRY BTC ETH BNB")

# Bases of pairs that decide where a pair in one word ends: DOTUSD is DOT/USD, not DO/TUSD.
COINS = frozenset(
    _words("BTC XBT ETH BNB SOL XRP ADA DOGE DOT LTC BCH LINK AVAX MATIC SHIB TRX UNI ATOM XLM ETC FIL APT ARB NEAR")
)

# Words in file names that are not symbols.
FILE_NAME_WORDS = frozenset(
    _words(
        """
        adj adjusted all archive bar bars candle candles candlestick candlesticks clean copy data database
        dataset download export feed final full hist historical historicaldata history intraday kline klines
        market max ohlc ohlcv price prices quote quotes trade raw rth sample series table ticks time trades
        unadjusted from to days hours minutes part chunk shard file stock stocks equity equities crypto forex
        futures spot us nasdaq nyse amex bid ask mid utc gmt est edt et alpaca alphavantage binance bitstamp
        coinbase dukascopy histdata kraken metatrader mt4 mt5 polygon stooq tiingo yahoo yfinance
        """
    )
)
FILE_SUFFIXES = _words(".csv .tsv .txt .tab .dat .parquet .pq .feather .ftr .arrow .ipc")
COMPRESSED_SUFFIXES = _words(".gz .bz2 .zst .zip")
