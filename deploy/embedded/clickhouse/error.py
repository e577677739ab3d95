"""Errors of the embedded server as ClickHouse sends them: a code, a text, an HTTP status, a marker in mid-stream.

The codes and what they mean over HTTP are those of ClickHouse's `exceptionCodeToHTTPStatus.cpp`; the marker is that
of `WriteBufferFromHTTPServerResponse.cpp` since 25.11, which clickhouse-connect looks for.
"""

import re
from collections.abc import Mapping
from enum import IntEnum
from http import HTTPStatus

# "Code: 60. DB::Exception: …", wherever the engine's wrappers have put it.
CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")


class Code(IntEnum):
    """The codes that have an HTTP status of their own or that this server raises itself."""

    CANNOT_PARSE_TEXT = 6
    THERE_IS_NO_COLUMN = 8
    DUPLICATE_COLUMN = 15
    CANNOT_PARSE_ESCAPE_SEQUENCE = 25
    CANNOT_PARSE_QUOTED_STRING = 26
    CANNOT_PARSE_INPUT_ASSERTION_FAILED = 27
    BAD_ARGUMENTS = 36
    UNKNOWN_ELEMENT_IN_AST = 37
    CANNOT_PARSE_DATE = 38
    CANNOT_PARSE_DATETIME = 41
    ILLEGAL_COLUMN = 44
    UNKNOWN_FUNCTION = 46
    UNKNOWN_IDENTIFIER = 47
    NOT_IMPLEMENTED = 48
    UNKNOWN_TYPE = 50
    TYPE_MISMATCH = 53
    UNKNOWN_STORAGE = 56
    UNKNOWN_TABLE = 60
    SYNTAX_ERROR = 62
    UNKNOWN_AGGREGATE_FUNCTION = 63
    CANNOT_PARSE_NUMBER = 72
    UNKNOWN_FORMAT = 73
    CANNOT_OPEN_FILE = 76
    UNKNOWN_TYPE_OF_QUERY = 78
    UNKNOWN_DATABASE = 81
    UNKNOWN_SETTING = 115
    INCORRECT_DATA = 117
    UNKNOWN_TYPE_OF_AST_NODE = 123
    UNKNOWN_DIRECTION_OF_SORTING = 152
    TIMEOUT_EXCEEDED = 159
    TOO_DEEP_AST = 167
    TOO_BIG_AST = 168
    UNKNOWN_USER = 192
    WRONG_PASSWORD = 193
    REQUIRED_PASSWORD = 194
    SOCKET_TIMEOUT = 209
    UNEXPECTED_AST_STRUCTURE = 223
    QUERY_IS_TOO_LARGE = 229
    CANNOT_DECOMPRESS = 271
    VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE = 321
    UNKNOWN_DATABASE_ENGINE = 336
    CANNOT_PARSE_UUID = 376
    HTTP_LENGTH_REQUIRED = 381
    QUERY_WAS_CANCELLED = 394
    CANNOT_COMPILE_REGEXP = 427
    CANNOT_SCHEDULE_TASK = 439
    CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING = 441
    ACCESS_DENIED = 497
    UNKNOWN_ROLE = 511
    SET_NON_GRANTED_ROLE = 512
    AUTHENTICATION_FAILED = 516
    CANNOT_PARSE_IPV4 = 675
    CANNOT_PARSE_IPV6 = 676
    UNSUPPORTED_MEDIA_TYPE = 779
    UNKNOWN_EXCEPTION = 1002


STATUSES: Mapping[int, HTTPStatus] = {
    **dict.fromkeys(
        (
            Code.BAD_ARGUMENTS,
            Code.CANNOT_COMPILE_REGEXP,
            Code.CANNOT_PARSE_TEXT,
            Code.CANNOT_PARSE_ESCAPE_SEQUENCE,
            Code.CANNOT_PARSE_QUOTED_STRING,
            Code.CANNOT_PARSE_DATE,
            Code.CANNOT_PARSE_DATETIME,
            Code.CANNOT_PARSE_NUMBER,
            Code.CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING,
            Code.CANNOT_PARSE_IPV4,
            Code.CANNOT_PARSE_IPV6,
            Code.CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            Code.CANNOT_PARSE_UUID,
            Code.DUPLICATE_COLUMN,
            Code.ILLEGAL_COLUMN,
            Code.UNKNOWN_ELEMENT_IN_AST,
            Code.UNKNOWN_TYPE_OF_AST_NODE,
            Code.THERE_IS_NO_COLUMN,
            Code.TOO_DEEP_AST,
            Code.TOO_BIG_AST,
            Code.UNEXPECTED_AST_STRUCTURE,
            Code.SYNTAX_ERROR,
            Code.INCORRECT_DATA,
            Code.TYPE_MISMATCH,
            Code.VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE,
        ),
        HTTPStatus.BAD_REQUEST,
    ),
    **dict.fromkeys(
        (
            Code.UNKNOWN_TABLE,
            Code.UNKNOWN_FUNCTION,
            Code.UNKNOWN_IDENTIFIER,
            Code.UNKNOWN_TYPE,
            Code.UNKNOWN_STORAGE,
            Code.UNKNOWN_DATABASE,
            Code.UNKNOWN_SETTING,
            Code.UNKNOWN_DIRECTION_OF_SORTING,
            Code.UNKNOWN_AGGREGATE_FUNCTION,
            Code.UNKNOWN_FORMAT,
            Code.UNKNOWN_DATABASE_ENGINE,
            Code.UNKNOWN_TYPE_OF_QUERY,
            Code.UNKNOWN_ROLE,
        ),
        HTTPStatus.NOT_FOUND,
    ),
    **dict.fromkeys(
        (
            Code.UNKNOWN_USER,
            Code.WRONG_PASSWORD,
            Code.AUTHENTICATION_FAILED,
            Code.SET_NON_GRANTED_ROLE,
            Code.ACCESS_DENIED,
        ),
        HTTPStatus.FORBIDDEN,
    ),
    **dict.fromkeys(
        (Code.SOCKET_TIMEOUT, Code.CANNOT_OPEN_FILE, Code.CANNOT_SCHEDULE_TASK), HTTPStatus.SERVICE_UNAVAILABLE
    ),
    Code.REQUIRED_PASSWORD: HTTPStatus.UNAUTHORIZED,
    Code.QUERY_IS_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.NOT_IMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    Code.HTTP_LENGTH_REQUIRED: HTTPStatus.LENGTH_REQUIRED,
    Code.TIMEOUT_EXCEEDED: HTTPStatus.REQUEST_TIMEOUT,
    Code.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}


class ClickHouseError(Exception):
    """What a client is told instead of a result, or after the part of it that was already sent.

    code : ClickHouse's number for the error.  str() : the text from `Code: ` on, as a server writes it.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}. ({code.name})")
        self.code: int = code

    @classmethod
    def of_engine(cls, error: BaseException) -> "ClickHouseError":
        """The engine's own error: its code and its text, without what the wrappers put before it.

        An error without a code (of the chdb package itself) becomes UNKNOWN_EXCEPTION.
        """
        text = str(error)
        found = CODE.search(text)
        if found is None:
            return cls(Code.UNKNOWN_EXCEPTION, text)
        failure = cls.__new__(cls)
        Exception.__init__(failure, text[found.start() :])
        failure.code = int(found.group(1))
        return failure

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status, as long as no part of the result has been sent."""
        return STATUSES.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR)

    def marker(self, tag: str) -> bytes:
        """What ends a result that has begun; `tag` was announced in X-ClickHouse-Exception-Tag."""
        message = f"{self}\n".encode()
        head = f"\r\n__exception__\r\n{tag}\r\n".encode()
        return head + message + f"{len(message)} {tag}\r\n__exception__\r\n".encode()
