"""The sample leaves nothing odd out."""

from batchinfer.report.item_sampler import ItemSampler, ItemTraits

TOTAL, ROOM = 50_000, 600


def chosen(named=(), signs=()):
    choosing = ItemSampler(TOTAL, ROOM, "abc")
    odd = {sign.position: sign for sign in signs}
    for position in range(1, TOTAL + 1):
        plain = ItemTraits(position, None, 1.0, frozenset({"cat"}), (0.6, 0.7, 0.6), 1)
        choosing.add(odd.get(position, plain))
    return choosing.select(named)


def test_of_few_all_are_chosen():
    choosing = ItemSampler(30, ROOM, "abc")
    for position in range(1, 31):
        choosing.add(ItemTraits(position, None, 1.0))

    assert choosing.select() == frozenset(range(1, 31))


def test_the_odd_ones_are_in_it_and_the_rest_is_even():
    odd = [
        ItemTraits(17_003, "timeout", 600.0),
        ItemTraits(20_011, "model_error", 1.0),
        ItemTraits(30_007, None, 99.0, frozenset({"cat"}), (0.6, 0.7, 0.6), 1),
        ItemTraits(31_001, None, 1.0, frozenset({"lynx"}), (0.6, 0.7, 0.6), 1),
        ItemTraits(32_003, None, 1.0, frozenset({"cat"}), (0.6, 0.999, 0.6), 1),
        ItemTraits(33_001, None, 1.0, frozenset({"cat"}), (0.01, 0.7, 0.6), 1),
        ItemTraits(34_001, None, 1.0, frozenset({"cat"}), (0.1, 0.7, 0.5), 1),
        ItemTraits(35_003, None, 1.0, frozenset({"cat"}), (0.6, 0.7, 0.6), 99),
        ItemTraits(36_007, None, 1.0, frozenset(), None, 0),
    ]
    found = chosen(named=[44_444], signs=odd)

    assert {sign.position for sign in odd} | {44_444} <= found
    assert len(found) == ROOM
    tenths = [sum(1 for position in found if position // 5_000 == tenth) for tenth in range(10)]
    assert min(tenths) > ROOM // 25


def test_the_same_run_gives_the_same_sample():
    assert chosen() == chosen()


def test_many_codes_and_labels_do_not_crowd_each_other_out():
    signs = [
        ItemTraits(position, f"code {position // 2 % 50}", None) for position in range(1, 20_000, 2)
    ]
    signs += [
        ItemTraits(position, None, 1.0, frozenset({f"label {position % 500}"}), None, 1)
        for position in range(20_001, 40_000)
    ]
    found = chosen(signs=signs)
    by_position = {sign.position: sign for sign in signs}
    codes = {by_position[each].code for each in found if each in by_position} - {None}
    labels = {label for each in found if each in by_position for label in by_position[each].labels}

    assert len(codes) == 50
    assert len(labels) >= 200
