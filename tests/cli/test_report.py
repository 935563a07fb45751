"""Tables and the registries of rows."""

from __future__ import annotations

from layerforge.cli.report import Table, collect_rows, collect_tables, listing, rows, tables


def test_numbers_stand_to_the_right_and_words_to_the_left():
    table = Table("times", ("layer", "ms"), [("a", "1.5"), ("conv", "12.0")], [("total", "13.5")])
    assert str(table) == "times\nlayer    ms\n-----------\na       1.5\nconv   12.0\n-----------\ntotal  13.5"


def test_a_table_without_rows_shows_its_columns():
    assert str(Table("", ("layer", "ms"), [])) == "layer  ms\n---------"


def test_listing_aligns_labels():
    assert listing([("CPU", "x"), ("Threads", "2")]) == "CPU      x\nThreads  2"


def test_registered_rows_come_in_order():
    @rows("test-rows")
    def first(subject):
        yield "a", subject

    @rows("test-rows")
    def second(subject):
        yield "b", subject
        yield "c", subject

    assert list(collect_rows("test-rows", "s")) == [("a", "s"), ("b", "s"), ("c", "s")]


def test_a_registered_table_may_have_nothing_to_say():
    @tables("test-tables")
    def table(subject):
        return Table("", ("n",), [("1",)]) if subject else None

    assert list(collect_tables("test-tables", False)) == []
    assert len(list(collect_tables("test-tables", True))) == 1
