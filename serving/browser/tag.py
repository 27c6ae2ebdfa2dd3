"""The tag as it is served: its source without comments and needless blanks."""

import functools
import hashlib
import re
from pathlib import Path

SOURCE = Path(__file__).with_name("tag.js")

# Strings are left as they are; around these signs no blank means anything to JavaScript.
_STRING_OR_BLANKS = re.compile(r"('(?:[^'\\\n]|\\.)*')|\s*([{}()\[\]=,;:?<>&|!*])\s*")


@functools.cache
def tag_source() -> bytes:
    """Return the script, UTF-8."""
    return strip_source(SOURCE.read_text(encoding="utf-8")).encode()


@functools.cache
def tag_etag() -> str:
    """Return the script's entity tag (RFC 9110, 8.8.3), quotes included: new whenever a byte is."""
    return f'"{hashlib.sha256(tag_source()).hexdigest()[:20]}"'


def strip_source(source: str) -> str:
    """Take out what a browser does not need.

    Not for any JavaScript: comments stand on lines of their own, strings have single quotes, every statement
    ends in a semicolon, and no regular expression holds a quote or a blank.

    Examples
    --------
    >>> strip_source("// Why.\\nconst a = 'b = c';\\n  f(a, 1);\\n")
    "const a='b = c';f(a,1);"
    """
    code = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    lines = (line.strip() for line in code.splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("//"))
    return _STRING_OR_BLANKS.sub(lambda found: found[1] or found[2], kept)
