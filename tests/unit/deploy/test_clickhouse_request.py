"""What is read from a request's parameters and headers, and its errors' wire form."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.clickhouse.error import ClickHouseError, Code
from deploy.embedded.clickhouse.folder import claimed
from deploy.embedded.clickhouse.request import Asked, Credentials, authenticates, credentials, read_request
from schemas.errors import Misconfigured


def read(params: dict[str, str], *, method: str = "POST", external: frozenset[str] = frozenset()) -> Asked:
    return read_request(params, {}, method=method, external=external, fresh_id="fresh")


def test_defaults() -> None:
    assert read({}) == Asked(
        query="",
        query_id="fresh",
        database="default",
        default_format="TabSeparated",
        parameters={},
        settings={},
        session_id="",
        buffer_bytes=1_048_576,
        compress_response=False,
    )


def test_everything_else_is_a_setting() -> None:
    asked = read(
        {
            "query": "SELECT 1",
            "param_a": "1",
            "max_threads": "2",
            "session_id": "s",
            "client_protocol_version": "54405",
            "wait_end_of_query": "1",
            "t_types": "Int8",
            "u_types": "Int8",
        },
        external=frozenset({"t"}),
    )
    assert asked.settings == {"max_threads": "2", "u_types": "Int8"}
    assert asked.parameters == {"a": "1"}
    assert asked.session_id == "s"
    assert asked.buffer_bytes is None


@pytest.mark.parametrize(
    ("method", "sent", "readonly"),
    [("GET", {}, "2"), ("GET", {"readonly": "0"}, "2"), ("GET", {"readonly": "1"}, "1"), ("POST", {}, None)],
)
def test_get_is_readonly(method: str, sent: dict[str, str], readonly: str | None) -> None:
    assert read(sent, method=method).settings.get("readonly") == readonly


@pytest.mark.parametrize("size", ["0", "5", ""])
def test_as_much_is_held_back_as_a_server_does(size: str) -> None:
    assert read({"buffer_size": size}).buffer_bytes == 1_048_576
    assert read({"buffer_size": "2000000"}).buffer_bytes == 2_000_000


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"compress": "1"}, Code.NOT_IMPLEMENTED),
        ({"role": "r"}, Code.NOT_IMPLEMENTED),
        ({"a b": "1"}, Code.UNKNOWN_SETTING),
        ({"a = 1, readonly": "0"}, Code.UNKNOWN_SETTING),
        ({"param_a = 1, b": "0"}, Code.BAD_ARGUMENTS),
        ({"default_format": "CSV SETTINGS a = 1"}, Code.UNKNOWN_FORMAT),
        ({"buffer_size": "much"}, Code.BAD_ARGUMENTS),
    ],
)
def test_what_can_not_be_meant_is_refused(params: dict[str, str], code: Code) -> None:
    with pytest.raises(ClickHouseError) as caught:
        read(params)
    assert caught.value.code == code


@given(st.text(), st.text())
def test_only_the_same_credentials_authenticate(user: str, password: str) -> None:
    expected = Credentials(user, password)
    assert authenticates(Credentials(user, password), expected)
    assert not authenticates(Credentials(user, password + "x"), expected)
    assert not authenticates(Credentials(user + "x", password), expected)


def test_credentials_are_not_mixed() -> None:
    assert credentials({}, {}, None) == Credentials("default", "")
    assert credentials({"user": "a"}, {}, None) == Credentials("a", "")
    assert credentials({}, {"x-clickhouse-key": "b"}, None) == Credentials("default", "b")
    assert credentials({}, {}, ("a", "b")) == Credentials("a", "b")
    for params, headers, basic in (
        ({"user": "a"}, {}, ("a", "b")),
        ({}, {"x-clickhouse-user": "a"}, ("a", "b")),
        ({"user": "a"}, {"x-clickhouse-user": "a"}, None),
    ):
        with pytest.raises(ClickHouseError, match="simultaneously"):
            credentials(params, headers, basic)


def test_password_is_not_in_the_representation() -> None:
    assert "sesame" not in repr(Credentials("a", "sesame"))


def test_error_of_the_engine_keeps_its_code_and_text() -> None:
    error = ClickHouseError.of_engine(RuntimeError("Insert failed: Code: 60. DB::Exception: no t. (UNKNOWN_TABLE)"))
    assert (error.code, str(error)) == (60, "Code: 60. DB::Exception: no t. (UNKNOWN_TABLE)")
    assert error.status == 404
    other = ClickHouseError.of_engine(RuntimeError("out of luck"))
    assert (other.code, other.status) == (Code.UNKNOWN_EXCEPTION, 500)
    assert "out of luck" in str(other)


def test_marker_counts_its_bytes() -> None:
    error = ClickHouseError(Code.SYNTAX_ERROR, "ö")
    message = "Code: 62. DB::Exception: ö. (SYNTAX_ERROR)\n".encode()
    assert error.marker("tag") == (
        b"\r\n__exception__\r\ntag\r\n" + message + b"%d tag\r\n__exception__\r\n" % len(message)
    )


def test_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Misconfigured, match="disk is full; make room"), claimed(tmp_path / "data", 1):
        pass


def test_path_with_a_question_mark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="must not contain"), claimed(tmp_path / "da?ta", 1):
        pass
