"""What a ClickHouse statement is, as far as an HTTP server has to know before the engine sees it.

The engine parses SQL; this module only finds the places where HTTP puts something in: where the data of an INSERT
begins, and where a result's format is named, because the result is sent through a file (`Read.into`). It works on
bytes, since what follows an INSERT may be any binary format, and never fails on broken SQL: that is the engine's to
report, with its own words.

Grammar followed: ClickHouse's `Lexer`, `ParserInsertQuery` and `ParserQueryWithOutput`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from deploy.embedded.clickhouse.error import ClickHouseError, Code

# The engine's own limit on the text of a statement (setting max_query_size), so the header of an INSERT is shorter.
MAX_HEADER_BYTES = 262_144

# Statements that answer with rows whatever they are asked; only these take INTO OUTFILE.
READ_KEYWORDS = frozenset({b"SELECT", b"WITH", b"FROM", b"SHOW", b"DESCRIBE", b"DESC", b"EXPLAIN", b"EXISTS", b"CHECK"})
# Statements whose effect is on later statements of the same session.
SESSION_KEYWORDS = frozenset({b"SET", b"USE", b"BEGIN", b"START", b"COMMIT", b"ROLLBACK"})
SET_OPERATIONS = frozenset({b"UNION", b"INTERSECT", b"EXCEPT"})

TOKEN = re.compile(
    rb"""
      (?P<blank>   \s+ | --[^\n]* | \#[!\ ][^\n]* | /\*.*?\*/ )
    | (?P<string>  '(?:[^'\\]+|\\.|'')*+' | \$(\w*)\$.*?\$\3\$ )
    | (?P<quoted>  "(?:[^"\\]+|\\.|"")*+" | `(?:[^`\\]+|\\.|``)*+` )
    | (?P<word>    [A-Za-z_\x80-\xff][\w$\x80-\xff]* )
    | (?P<number>  \d[\w.]* )
    | (?P<open>    [(\[{] )
    | (?P<close>   [)\]}] )
    | (?P<end>     ; )
    | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A token that is neither blank nor comment.

    kind : a group of `TOKEN`.  text : as written; a word in upper case.  start, end : byte offsets, half-open.
    depth : how many brackets are open around it.
    """

    kind: str
    text: bytes
    start: int
    end: int
    depth: int


@dataclass(frozen=True)
class Read:
    """A statement that answers with rows.

    body : the statement without FORMAT, trailing SETTINGS and `;`.  format : as named after FORMAT, or None.
    settings : the trailing SETTINGS clause, or empty.
    """

    body: bytes
    format: str | None
    settings: bytes

    def into(self, path: str, format_name: str) -> bytes:
        """The statement that writes its result to `path`, which exists, in `format_name`."""
        target = path.replace("\\", "\\\\").replace("'", "\\'")
        clause = f"\nINTO OUTFILE '{target}' APPEND FORMAT {format_name}\n"
        return self.body + clause.encode() + self.settings


@dataclass(frozen=True)
class Insert:
    """An INSERT whose rows follow it: `header FORMAT format⏎data`, or `header VALUES data`.

    data_at : offset of the first byte of data in what was parsed.
    """

    header: bytes
    format: str
    data_at: int

    def reading(self, path: str) -> bytes:
        """The statement that takes its rows from the file `path`; the clause goes before SETTINGS."""
        found = list(tokens(self.header))
        settings_at = _trailing_settings(found)
        at = len(self.header) if settings_at is None else found[settings_at].start
        source = f" FROM INFILE {quote(path)} COMPRESSION 'none' ".encode()
        return self.header[:at] + source + self.header[at:] + f" FORMAT {self.format}".encode()


@dataclass(frozen=True)
class Command:
    """Anything else: DDL, INSERT … SELECT, SYSTEM, SET, …

    changes_session : its effect is on later statements of the same session.
    """

    text: bytes
    changes_session: bool


Statement = Read | Command


def tokens(sql: bytes) -> Iterator[Token]:
    """The tokens of `sql`, blanks and comments left out. Every byte belongs to exactly one token, blank or comment."""
    depth = 0
    for match in TOKEN.finditer(sql):
        kind = match.lastgroup or ""
        if kind == "blank":
            continue
        if kind == "close":
            depth = max(0, depth - 1)
        text = match.group()
        yield Token(kind, text.upper() if kind == "word" else text, match.start(), match.end(), depth)
        if kind == "open":
            depth += 1


def insert_header(head: bytes) -> Insert | None:
    """The header of an INSERT with data, from the first bytes of a request.

    head : the whole request, or at least its first MAX_HEADER_BYTES. Returns None for everything else: other
    statements, INSERT … SELECT, INSERT … FROM INFILE. Tokens of the data are never looked at.
    """
    stream = tokens(head)
    if _words(stream, 2) != [b"INSERT", b"INTO"]:
        return None
    target = next(stream, None)
    while target is not None and target.text in {b"TABLE", b"FUNCTION"}:
        target = next(stream, None)
    before = target
    for token in stream:
        # Neither the target itself nor what follows a dot in it is a keyword: `mise.format`, `mise.values`.
        if token.depth == 0 and token.kind == "word" and before is not None and before.text != b".":
            if token.text == b"VALUES":
                return Insert(head[: token.start], "Values", token.end)
            if token.text == b"FORMAT":
                return _insert_in_format(head, token, next(stream, None))
            if token.text in {b"SELECT", b"WITH", b"FROM", b"EXPLAIN"}:
                return None
        before = token
    return None


def parse(sql: bytes, *, with_data: bool = False) -> Statement:
    """A whole statement.

    with_data : it is an INSERT whose data is part of it, and is not looked at.
    Raises ClickHouseError: SYNTAX_ERROR for no statement or several; NOT_IMPLEMENTED for `input()`, whose data the
    engine would lose without a word.
    """
    if with_data:
        return Command(sql, changes_session=False)
    found = list(tokens(sql))
    while found and found[-1].kind == "end":
        del found[-1]
    if not found:
        raise ClickHouseError(Code.SYNTAX_ERROR, "Syntax error: empty query")
    if any(token.kind == "end" for token in found):
        raise ClickHouseError(
            Code.SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed): send one statement a request"
        )
    end = found[-1].end
    first = next((token.text for token in found if token.kind != "open"), b"")
    inserts = first == b"INSERT" or (first == b"WITH" and _has_pair(found, b"INSERT", b"INTO"))
    if first in READ_KEYWORDS and not inserts:
        return _read(sql[:end], found)
    if inserts and _has_pair(found, b"INPUT", b"("):
        raise ClickHouseError(
            Code.NOT_IMPLEMENTED,
            "INSERT … SELECT … FROM input() is not implemented by the embedded server; "
            "insert the rows into a table of their own and use INSERT … SELECT from there",
        )
    temporary = first in {b"CREATE", b"DROP"} and any(token.text == b"TEMPORARY" for token in found[:4])
    return Command(sql[:end], changes_session=first in SESSION_KEYWORDS or temporary)


def columns_of_types(types: str) -> str:
    """The structure of an external table of which only types are given: columns `_1`, `_2`, …

    types : comma-separated, as in `Int32, Tuple(String, Int8)`; commas inside brackets or quotes do not separate.
    """
    raw = types.encode()
    commas = [token for token in tokens(raw) if token.text == b"," and token.depth == 0]
    starts = [0, *(comma.end for comma in commas)]
    ends = [*(comma.start for comma in commas), len(raw)]
    parts = [raw[start:end].decode().strip() for start, end in zip(starts, ends, strict=True)]
    return ", ".join(f"_{number} {part}" for number, part in enumerate(parts, start=1))


def quote(text: str) -> str:
    """`text` as a ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(name: str) -> str:
    """`name` as a quoted ClickHouse identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _insert_in_format(head: bytes, keyword: Token, name: Token | None) -> Insert | None:
    if name is None or name.kind != "word":
        return None
    return Insert(
        head[: keyword.start], head[name.start : name.end].decode(errors="replace"), _data_start(head, name.end)
    )


def _words(stream: Iterator[Token], count: int) -> list[bytes]:
    return [token.text for _, token in zip(range(count), stream, strict=False)]


def _has_pair(found: Sequence[Token], first: bytes, second: bytes) -> bool:
    return any(token.text == first and after.text == second for token, after in pairwise(found))


def _data_start(head: bytes, after_format: int) -> int:
    """Data starts after the first line feed, if only blanks come before it, else after those blanks."""
    at = after_format
    while at < len(head) and head[at : at + 1] in {b" ", b"\t", b"\f"}:
        at += 1
    if head[at : at + 1] == b"\r":
        at += 1
    if head[at : at + 1] == b"\n":
        at += 1
    return at


def _read(sql: bytes, found: Sequence[Token]) -> Read:
    format_at = _last_format(found)
    if format_at is not None:
        keyword, name = found[format_at], found[format_at + 1]
        return Read(sql[: keyword.start], sql[name.start : name.end].decode(errors="replace"), sql[name.end :])
    settings_at = _trailing_settings(found)
    if settings_at is not None:
        keyword = found[settings_at]
        return Read(sql[: keyword.start], None, sql[keyword.start :])
    return Read(sql, None, b"")


def _last_format(found: Sequence[Token]) -> int | None:
    """Index of FORMAT in `… FORMAT name` or `… FORMAT name SETTINGS …`."""
    for at in range(len(found) - 2, 0, -1):
        keyword, name = found[at], found[at + 1]
        if keyword.text == b"FORMAT" and keyword.depth == 0 and name.kind == "word" and found[at - 1].text != b".":
            rest = found[at + 2 :]
            return at if not rest or rest[0].text == b"SETTINGS" else None
    return None


def _trailing_settings(found: Sequence[Token]) -> int | None:
    """Index of SETTINGS in `… SETTINGS name = …` that belongs to the whole statement, not to a part of a UNION."""
    for at in range(len(found) - 3, 0, -1):
        keyword, name, sign = found[at : at + 3]
        if keyword.depth > 0 or keyword.kind != "word":
            continue
        if keyword.text in SET_OPERATIONS:
            return None
        if keyword.text == b"SETTINGS" and name.kind == "word" and sign.text == b"=":
            return at
    return None
