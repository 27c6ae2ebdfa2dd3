"""No key reads or writes anything of another subscriber: every call of the description, with their ids.

The calls are made from the description of the API, so that one that is added later is tried, too.
"""

import re
from types import SimpleNamespace

import psycopg
import pytest

from serving.api import create_api
from serving.openapi import describe, operations
from serving.runtime import Runtime

DESCRIBED = describe(create_api(Runtime()))
ORIGIN = {"Origin": "https://books.example"}

# What belongs to each of the two, or is known to it only.
THINGS = {
    "pages": {
        "site_id": "books",
        "to_site": "books",
        "item_id": "cook1",
        "promotion_id": "book-deal",
        "subscriber_id": "pages",
        "consumer_id": "reader-of-pages",
        "category": "novel",
    },
    "pans": {
        "site_id": "kitchen",
        "to_site": "kitchen",
        "item_id": "pan1",
        "promotion_id": "pan-deal",
        "subscriber_id": "pans",
        "consumer_id": "cook-of-pans",
        "category": "pan",
    },
}
KEYS = [("pages", "pages", {}), ("pages", "pages_public", ORIGIN), ("pans", "pans", {})]
TABLES = (
    *("subscriber", "site", "api_key", "item", "promotion", "promotion_site", "promotion_item"),
    *("promotion_category", "identifier", "activity", "quarantine", "consent", "merge"),
    *("audience_member", "erasure"),
)
"""What a call may change; all of it is compared row by row."""

MORE_TO_NAME = {"items", "categories", "consumer_id", "to_site", "events"}
"""What need not be named and can be."""

SCALARS = {"boolean": True, "integer": 1, "number": 1}

# Calls that name nothing of anybody.
ABOUT_NOTHING = {
    ("get", "/health"),
    ("get", "/metrics"),
    ("get", "/tag.js"),
    ("get", "/subscribers"),
    ("get", "/sites"),
}


def calls():
    for path, methods in DESCRIBED["paths"].items():
        for method in methods:
            if method in ("get", "put", "post", "delete", "patch") and (method, path) not in ABOUT_NOTHING:
                yield pytest.param(method, path, id=f"{method.upper()} {path}")


@pytest.fixture(scope="module")
def furnished(scratch, world):
    """Things of both, to be read or written by the other."""
    put = scratch.call(
        "PUT",
        "/v1/promotions/book-deal",
        key=scratch.keys.pages,
        json={"title": "Read", "sites": ["books"], "items": [{"site_id": "books", "item_id": "cook1"}]},
    )
    assert put.status_code == 200
    for subscriber, key in (("pages", scratch.keys.pages), ("pans", scratch.keys.pans)):
        mine = THINGS[subscriber]
        scratch.send(world.event(mine["consumer_id"], mine["item_id"], site_id=mine["site_id"]), key=key)
    return scratch


@pytest.fixture
def everything(furnished):
    """All rows of all tables that a call may change."""

    def read():
        with psycopg.connect(furnished.database_url) as connection:
            return {
                table: sorted(row[0] for row in connection.execute(f"SELECT t::text FROM {table} t"))
                for table in TABLES
            }

    return read


def made_call(method, path, *, theirs):
    """A call that names whatever it can name as another subscriber's; None where it cannot name anything."""
    operation = DESCRIBED["paths"][path][method]
    query, named = {}, set(re.findall(r"\{(\w+)\}", path))
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query" and (parameter["required"] or parameter["name"] in theirs):
            query[parameter["name"]] = theirs.get(parameter["name"], "x")
            named |= {parameter["name"]} & set(theirs)
    body = None
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = filled(schema, theirs=theirs, named=named)
    address = "/v1" + re.sub(r"\{(\w+)\}", lambda place: theirs[place[1]], path)
    return (address, query, body) if named else None


def filled(schema, *, theirs, named, name=None):
    """A value that fits a schema, with their ids wherever there is room for them."""
    schema = resolved(schema)
    if name in theirs:
        named.add(name)
        value = theirs[name]
    elif name in ("sites", "events"):
        named.add("site_id")
        value = [theirs["site_id"]] if name == "sites" else [an_event(theirs)]
    elif schema.get("type") == "object":
        wanted = set(schema.get("required", [])) | MORE_TO_NAME
        inner = {one: part for one, part in schema.get("properties", {}).items() if one in wanted}
        value = {one: filled(part, theirs=theirs, named=named, name=one) for one, part in inner.items()}
    elif schema.get("type") == "array":
        value = [filled(schema["items"], theirs=theirs, named=named)]
    else:
        value = schema.get("enum", [SCALARS.get(schema.get("type"), "x")])[0]
    return value


def resolved(schema):
    """What a schema refers to, or the first of several that is not null."""
    if "$ref" in schema:
        return resolved(DESCRIBED["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    choices = schema.get("oneOf") or schema.get("anyOf") or []
    return next((resolved(one) for one in choices if one.get("type") != "null"), schema)


def an_event(theirs):
    return {
        "event_id": "of-theirs",
        "site_id": theirs["site_id"],
        "consumer_id": theirs["consumer_id"],
        "kind": "page_view",
        "item_id": theirs["item_id"],
        "consent": ["same_site", "cross_site"],
    }


@pytest.fixture(params=KEYS, ids=[key for _, key, _ in KEYS])
def stranger(request, furnished):
    """Makes a call with a key of one of the two, about things of `theirs`."""
    whose, name, headers = request.param
    key = getattr(furnished.keys, name)

    def call(method, path, theirs):
        made = made_call(method, path, theirs=theirs)
        assert made is not None, f"{method} {path} names nothing of anybody: say so in ABOUT_NOTHING"
        address, query, body = made
        asked = {"params": {**query, **({"key": key} if "key" in query else {})}}
        if body is not None:
            asked["json"] = body
        answer = furnished.call(method.upper(), address, key=key, headers=headers, **asked)
        return answer, words(f"{address} {query} {body}")

    return SimpleNamespace(
        call=call, own=THINGS[whose], theirs=THINGS["pans" if whose == "pages" else "pages"]
    )


def words(text):
    return set(re.findall(r"[\w-]+", text))


@pytest.mark.parametrize(("method", "path"), calls())
def test_no_key_reads_or_writes_anything_of_somebody_else(stranger, everything, method, path):
    before = everything()
    answer, asked = stranger.call(method, path, stranger.theirs)
    # A consumer may be known to both: what the other knows of them is as good as not there.
    if (method, path) == ("delete", "/consumers/{consumer_id}") and answer.status_code == 200:
        assert set(answer.json().values()) <= {stranger.theirs["consumer_id"], 0, None}
    else:
        assert answer.status_code in (403, 404), (answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert everything() == before
    assert not (set(stranger.theirs.values()) - asked) & words(answer.text)


@pytest.mark.parametrize(("method", "path"), [call for call in calls() if call.values[0] != "get"])
def test_a_call_about_an_own_site_changes_nothing_of_somebody_else(stranger, everything, method, path):
    def rows_of_theirs():
        marks = {stranger.theirs["site_id"], stranger.theirs["subscriber_id"]}
        return {table: [row for row in rows if marks & words(row)] for table, rows in everything().items()}

    before = rows_of_theirs()
    # As far as it can be: their item, their promotion, their consumer, on a site of one's own.
    answer, _ = stranger.call(method, path, {**stranger.theirs, "site_id": stranger.own["site_id"]})
    assert answer.status_code < 500
    assert rows_of_theirs() == before


def test_the_same_calls_are_answered_to_whom_the_things_belong(furnished):
    answered = set()
    for path, methods in DESCRIBED["paths"].items():
        if "get" in methods and ("get", path) not in ABOUT_NOTHING and path != "/pixel.gif":
            address, query, _ = made_call("get", path, theirs=THINGS["pans"])
            answer = furnished.call("GET", address, key=furnished.keys.pans, params=query)
            assert answer.status_code == 200, (path, answer.text)
            answered.add(path)
    assert {"/items", "/items/{site_id}/{item_id}", "/promotions/{promotion_id}"} <= answered


def test_lists_hold_only_what_is_the_callers(furnished):
    for whose, key in (("pages", furnished.keys.pages), ("pans", furnished.keys.pans)):
        [subscriber] = furnished.call("GET", "/v1/subscribers", key=key).json()["items"]
        assert subscriber["subscriber_id"] == whose
        sites = furnished.call("GET", "/v1/sites", key=key).json()["items"]
        assert {site["subscriber_id"] for site in sites} == {whose}
        promotions = furnished.call("GET", "/v1/promotions", key=key).json()["items"]
        assert {promotion["subscriber_id"] for promotion in promotions} == {whose}


def test_every_call_can_be_refused_as_it_is_described():
    assert all({"401", "403", "404", "429"} <= set(one["responses"]) for one in operations(DESCRIBED))
