from hypothesis import given
from hypothesis import strategies as st

from serving.answer import FeaturedItem
from serving.creative import fill_in

MUG = FeaturedItem(site_id="kitchen", item_id="m1", title="Blue mug", category="cups")


def test_the_featured_item_is_named() -> None:
    assert fill_in("20 % off {item.title}, and all {item.category}", MUG) == "20 % off Blue mug, and all cups"


def test_a_place_that_cannot_be_filled_is_left_out() -> None:
    assert fill_in("Save on {item.title} now", None) == "Save on now"


def test_a_text_without_places_stays_as_it_is() -> None:
    assert fill_in("Save  10 {percent}", MUG) == "Save  10 {percent}"
    assert fill_in(None, MUG) is None


def test_no_attribute_and_no_format_is_ever_reached() -> None:
    for text in (
        "{item.__class__}",
        "{item.title.__len__}",
        "{item.title!r}",
        "{item.title:>99}",
        "{item}",
        "{0}",
    ):
        assert fill_in(text, MUG) == text


@given(st.text())
def test_what_an_item_is_called_is_not_looked_at_again(title: str) -> None:
    item = FeaturedItem(site_id="s", item_id="i", title="{item.item_id}" + title)
    assert fill_in("<{item.title}>", item).replace(" ", "") == f"<{{item.item_id}}{title}>".replace(" ", "")
