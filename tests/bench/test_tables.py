"""The tables that `make bench` writes, reads again and compares with."""

import pytest
from bench.tables import BEGIN, END, Table, joined, missed, parse, show, worse, written

HEADS = ("net, batch", "ms", "eager ÷", "MiB ÷")
PAGE = f"# Page\n\nWords | with | bars.\n\n{BEGIN}\n{END}\n\n## After\n"


def table(**rows):
    return Table(HEADS, {name: tuple(map(show, cells)) for name, cells in rows.items()})


def test_what_is_written_is_read_again():
    first = Table(HEADS, {"a, 1": ("1,234.00", "1.50", "–")}, ["A note."])
    tables = {"2 threads": first, "1 thread": table(b=(1, 2, 3))}
    assert parse(written(PAGE, tables, "A machine.")) == tables


def test_words_around_the_marks_stay():
    page = written(PAGE, {"x": table(a=(1, 2, 3))})
    assert page.startswith(f"# Page\n\nWords | with | bars.\n\n{BEGIN}") and page.endswith(f"{END}\n\n## After\n")
    assert written(page, {"x": table(a=(1, 2, 3))}) == page


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="needs the lines"):
        written("# Page\n", {})


def test_rows_that_were_not_measured_again_stay_in_their_order():
    old, new = {"x": table(a=(1, 1, 1), b=(2, 2, 2), c=(3, 3, 3))}, {"x": table(b=(5, 5, 5))}
    found = joined(old, new, ["c", "b", "a"])["x"].rows
    assert list(found) == ["c", "b", "a"] and found["b"][0] == "5.00" and found["a"][0] == "1.00"


def test_a_table_with_other_columns_replaces_the_old():
    new = {"x": Table(("net, batch", "ms"), {"a": ("1.00",)})}
    assert joined({"x": table(a=(1, 1, 1), b=(2, 2, 2))}, new, ["a", "b"])["x"].rows == {"a": ("1.00",)}


def test_reasons_go_when_all_rows_are_measured_again():
    old, new = {"x": table(a=(1, 1, 1))}, {"x": table(a=(1, 1, 1), b=(1, 1, 1))}
    old["x"].notes, new["x"].notes = ["old"], ["new"]
    assert joined(old, new, ["a", "b"])["x"].notes == ["new"]
    assert joined(new, old, ["a", "b"])["x"].notes == ["old", "new"]


def test_a_ratio_that_fell_by_more_than_a_tenth_is_told():
    assert worse({"x": table(a=(1, 2.0, 0.5))}, {"x": table(a=(9, 1.79, 0.5))}) == ["x: a: eager ÷ 1.79, was 2.00"]
    assert not worse({"x": table(a=(1, 2.0, 0.5))}, {"x": table(a=(9, 1.81, 0.5))})


def test_memory_that_grew_by_more_than_a_tenth_is_told():
    assert worse({"x": table(a=(1, 2, 0.50))}, {"x": table(a=(1, 2, 0.56))}) == ["x: a: MiB ÷ 0.56, was 0.50"]


def test_what_was_not_recorded_is_not_worse():
    assert not worse({}, {"x": table(a=(1, 1, 1))}) and not worse({"x": table(b=(1, 9, 1))}, {"x": table(a=(1, 1, 1))})
    assert not worse({"x": table(a=(1, None, 1))}, {"x": table(a=(1, 1, 1))})


def test_aims_that_are_missed_are_told():
    aims = {"a": {"eager ÷": 1.5, "MiB ÷": 0.7}, "b": {"eager ÷": 1.5}, "absent": {"eager ÷": 9}}
    found = missed(table(a=(1, 1.49, 0.71), b=(1, 1.5, 1)), aims)
    assert found == ["a: eager ÷ 1.49, to be at least 1.5", "a: MiB ÷ 0.71, to be at most 0.7"]
