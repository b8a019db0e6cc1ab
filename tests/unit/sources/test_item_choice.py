"""Samples and orders: uniform, reproducible, in memory that does not know the source."""

import random
from collections import Counter

import pytest

from batchinfer.domain import InputFile, Item
from batchinfer.sources.item_choice import ItemChoice, Order
from batchinfer.store import ordered_items
from batchinfer.store.ordered_items import (
    has_ordered_items,
    iter_ordered_items,
    remove_ordered_items,
    write_ordered_items,
)


def items(count, **times):
    return [
        Item(f"{n:05}.jpg", (InputFile("files", f"/data/{n:05}.jpg", 1, times.get(f"t{n}", n)),))
        for n in range(count)
    ]


def chosen(choice, given):
    return [item for _, item in sorted(choice.take(given), key=lambda each: each[0])]


def test_a_sample_does_not_depend_on_the_order_of_the_source():
    given, choice = items(500), ItemChoice(sample=40, seed=3)
    shuffled = random.Random(1).sample(given, len(given))
    assert set(map(str, chosen(choice, given))) == set(map(str, chosen(choice, shuffled)))
    assert chosen(choice, given) == sorted(chosen(choice, given), key=lambda item: item.key)
    assert chosen(choice, given[:30]) == given[:30]


def test_each_item_has_the_same_chance():
    given, counts = items(50), Counter()
    for seed in range(400):
        counts.update(item.key for item in chosen(ItemChoice(sample=10, seed=seed), given))
    assert counts.total() == 4000
    # 80 expected of each, standard deviation 8: five of them are never seen by chance.
    assert all(40 < counts[item.key] < 120 for item in given)


def test_more_items_never_displace_others_but_by_their_own():
    given = items(300)
    small = {item.key for item in chosen(ItemChoice(sample=30), given[:200])}
    large = {item.key for item in chosen(ItemChoice(sample=30), given)}
    assert large - small <= {item.key for item in given[200:]}


def test_the_newest_come_first_and_unknown_times_last():
    given = items(20)
    unknown = Item("x", (InputFile("files", "/x"),))
    assert chosen(ItemChoice(order=Order.NEWEST), [unknown, *given]) == [*given[::-1], unknown]


def test_a_random_order_has_all_and_is_reproducible():
    given = items(100)
    first = chosen(ItemChoice(order=Order.RANDOM, seed=1), given)
    assert first == chosen(ItemChoice(order=Order.RANDOM, seed=1), given[::-1])
    assert sorted(first, key=lambda item: item.key) == given != first
    assert first != chosen(ItemChoice(order=Order.RANDOM, seed=2), given)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (ItemChoice(), "all, as they come"),
        (ItemChoice(sample=1000), "a sample of 1,000 (seed 0)"),
        (ItemChoice(order=Order.NEWEST), "the newest first"),
        (ItemChoice(5, 7, Order.RANDOM), "a sample of 5, in random order (seed 7)"),
    ],
)
def test_a_choice_is_put_into_words(choice, words):
    assert choice.describe() == words


def test_what_was_written_down_comes_back_in_its_order(tmp_path):
    odd = Item("a\\xff\n.jpg", (InputFile("files", "/data/a\udcff\n.jpg", 3, 4),), {"x": [1, None]})
    given = [odd, *items(1200)]
    ranked = [(-place, item) for place, item in enumerate(given)]
    assert write_ordered_items(tmp_path, ranked) == 1201
    assert list(iter_ordered_items(tmp_path)) == given[::-1]
    assert [path.name for path in tmp_path.iterdir()] == [ordered_items.ORDERED_ITEMS_NAME]
    remove_ordered_items(tmp_path)
    assert not has_ordered_items(tmp_path)


def test_nothing_is_left_of_what_could_not_be_written(tmp_path):
    def broken():
        yield 1, items(1)[0]
        raise OSError(5, "the disk is gone")

    with pytest.raises(Exception, match="disk is gone"):
        write_ordered_items(tmp_path, broken())
    assert list(tmp_path.iterdir()) == []
