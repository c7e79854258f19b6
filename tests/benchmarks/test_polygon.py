"""The Polygon benchmarks compare the same bars and the same results, without a network."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

import pytest


def test_a_backtest_that_came_out_otherwise_is_no_result():
    from benchmarks.outcomes import refuse_difference

    result = {"trades": [["2023-01-03", "buy", "76.1"]], "values": [["2023-01-03", 100_000.0, 99_239.0]]}
    refuse_difference(result, result)
    with pytest.raises(AssertionError, match=r"first of the trades .*'76\.1'.*'76\.2'"):
        refuse_difference(result, {**result, "trades": [["2023-01-03", "buy", "76.2"]]})
    with pytest.raises(AssertionError, match="1 values on Lumibot's side, 2 on ours"):
        refuse_difference(result, {**result, "values": result["values"] * 2})
    with pytest.raises(AssertionError, match="without trades"):
        refuse_difference({**result, "trades": []}, {**result, "trades": []})


def reach_for_the_network_and_hide_it(host: str) -> None:
    from benchmarks.polygon.sides import only_this_machine

    with only_this_machine(), suppress(AssertionError), socket.socket() as client:
        if host[0].isdigit():
            client.connect((host, 443))
        else:
            socket.create_connection((host, 443))


def test_a_connection_of_a_side_is_reported_even_if_it_hides_the_error():
    from benchmarks.polygon.sides import NetworkRefusedError

    with pytest.raises(NetworkRefusedError, match=r"api\.polygon\.io"):
        reach_for_the_network_and_hide_it("api.polygon.io")
    with pytest.raises(NetworkRefusedError, match=r"192\.0\.2\.1"):
        reach_for_the_network_and_hide_it("192.0.2.1")


def test_a_side_reaches_this_machine():
    from benchmarks.polygon.sides import only_this_machine

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        only_this_machine(),
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        client.sendall(b"bars?")
        assert accepted.recv(5) == b"bars?"


def test_polygons_bars_have_the_columns_and_whole_numbers_of_its_answers():
    from benchmarks.polygon.bars import polygon_bars

    bars = polygon_bars("SIM001")
    assert list(bars.columns) == ["open", "high", "low", "close", "volume", "vwap", "transactions", "otc"]
    assert [str(bars[name].dtype) for name in ("volume", "transactions")] == ["int64", "int64"]
    assert bars["vwap"].between(bars["low"] - 1e-4, bars["high"] + 1e-4).all()
    assert bars.equals(polygon_bars("SIM001"))


def test_data_whose_making_was_interrupted_is_made_again(tmp_path):
    from benchmarks.bars import Workplace

    def interrupted(folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    workplace = Workplace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        workplace.made_once("bars", interrupted)
    made = workplace.made_once("bars", lambda folder: (folder / "whole").touch())
    assert [file.name for file in made.iterdir()] == ["whole"]
    assert workplace.made_once("bars", interrupted) == made


@pytest.mark.long
def test_both_sides_download_the_same_bars_from_the_loopback_server(tmp_path):
    from benchmarks.bars import Workplace
    from benchmarks.polygon.download import into_nothing

    (row,) = into_nothing(Workplace(tmp_path), symbols=1, repeats=1)
    assert re.match(r"\d\d,\d{3} bars downloaded", row.note)
    assert row.theirs is not None
    assert list(tmp_path.iterdir()) == []
