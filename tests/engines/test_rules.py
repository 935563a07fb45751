"""The order in which engines try their rules."""

import pytest

from layerforge.engines.rules import first_taken
from layerforge.engines.step import Refused


def make(answer, count):
    if answer.startswith("no"):
        raise Refused(answer)
    return answer * count


def test_the_first_way_that_is_not_refused_is_taken():
    assert first_taken([("no", 3), ("a", 2), ("b", 1)], make) == "aa"


def test_where_all_refuse_the_last_reason_is_told():
    with pytest.raises(Refused, match="^no, not alone$"):
        first_taken([("no, not together", 2), ("no, not alone", 1)], make)


def test_a_mistake_is_no_refusal():
    with pytest.raises(AttributeError):
        first_taken([(None, 1), ("a", 1)], make)
