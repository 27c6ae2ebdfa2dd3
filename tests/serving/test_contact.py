"""Who names nobody is the visitor of the activity cookie, and agreed to what it says."""

import pytest

from serving.browser.contact import by_cookie
from storage.activity_cookie import ActivityCookie

COOKIE = ActivityCookie("visitor", ["same_site"], (), "books", None, False)
SILENT = ActivityCookie("visitor", None, (), "books", None, False)


@pytest.mark.parametrize(
    ("stated", "consent"),
    [
        ({}, ["same_site"]),
        ({"consent": None}, ["same_site"]),
        ({"consent": ""}, ["same_site"]),
        ({"consent": []}, []),
        ({"consent": ["cross_site"]}, ["cross_site"]),
    ],
)
@pytest.mark.parametrize("nobody", [{}, {"identifier": None}, {"consumer_id": ""}, {"namespace": "network"}])
def test_who_names_nobody_is_the_cookies_visitor_and_agreed_to_what_it_says(nobody, stated, consent):
    meant = by_cookie({"site_id": "books", **nobody, **stated}, COOKIE)
    assert (meant["identifier"], meant["namespace"], meant["consent"]) == ("visitor", None, consent)


def test_a_cookie_that_says_nothing_of_consent_is_no_consent():
    assert by_cookie({"site_id": "books"}, SILENT)["consent"] == []


@pytest.mark.parametrize(
    "named",
    [
        {"site_id": "books", "identifier": "somebody"},
        {"site_id": "books", "consumer_id": "somebody", "consent": None},
        {"site_id": "kitchen"},
        {},
    ],
)
def test_who_names_somebody_or_is_on_another_site_is_not_the_cookies_visitor(named):
    assert by_cookie(named, COOKIE) is named
    assert by_cookie(named, None) is named
