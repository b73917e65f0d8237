"""The pages of an audit over real HTTP: what is refused, and that no answer can be read from what is served."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagelab.io.answers import read_answers
from imagelab.run_folder import RunFolder
from imagelab.server.audit_pages import audit_routes
from imagelab.server.audit_plan import Asked
from imagelab.server.audit_results import audit_results
from imagelab.server.audit_session import AuditSession, audit_session

ASKED = Asked("tell", 12, (), 0, 3)
Serve = Callable[..., Any]


@pytest.fixture
def session(a_run: Path) -> Iterator[AuditSession]:
    with audit_session(RunFolder.open(a_run), ASKED, "anna") as opened:
        yield opened


@pytest.fixture
def client(session: AuditSession, a_run: Path, serve: Serve) -> Any:
    return serve(audit_routes(session, lambda: audit_results(a_run), f"imagelab resume {a_run}"))


def answer(client: Any, session: AuditSession, word: str = "real") -> int:
    return client.post("/answer", {"picture": session.current, "answer": word})[0]


# -- the way through


def test_every_picture_is_asked_once_and_results_come_after_the_last(client: Any, session: AuditSession, a_run: Path):
    assert client.get("/end")[0] == 303 and client.get("/")[0] == 200
    truth = [each.is_real for each in session.plan.shown]
    for number in range(12):
        text = client.get("/question")[2].decode()
        assert f"Picture {number + 1} of 12" in text and session.current in text
        assert client.get(f"/picture/{session.current}.png")[0] == 200
        status, headers, _ = client.post(
            "/answer", {"picture": session.current, "answer": "real" if truth[number] else "generated"}
        )
        assert (status, headers["location"]) == (303, "/question" if number < 11 else "/end")
        assert len(read_answers(session.file.path)[1]) == number + 1
    assert client.get("/question")[1]["location"] == client.get("/")[1]["location"] == "/end"
    text = client.get("/end")[2].decode()
    assert "Right in 12 of 12, 100 %" in text and "generation 2" in text and "says nothing of other people" in text


def test_before_the_last_answer_nothing_is_said_of_right_and_wrong(client: Any, session: AuditSession):
    pages = [client.get("/")[2]]
    for number in range(11):
        pages.append(client.get("/question")[2])
        answer(client, session, ("real", "generated")[number % 2])
    said = b"\n".join(pages).lower()
    assert not re.search(rb"correct|wrong|d.?prime|generation \d|heldout|held-out|score", said)
    # apart from ids and numbers, the page of every picture is the same page
    plain = {re.sub(rb"Answer \d+ is saved\.|[0-9a-f]{32}|\d+", b"", page) for page in pages[1:]}
    assert len(plain) == 1


# -- nothing leaks


def test_responses_of_real_and_generated_pictures_differ_in_their_pixels_alone(client: Any, session: AuditSession):
    seen: dict[bool, set[Any]] = {True: set(), False: set()}
    for each in session.plan.shown:
        status, headers, body = client.get(f"/picture/{session.current}.png")
        start, end = body[:41], body[-12:]  # up to the length of the pixels; the end mark
        seen[each.is_real].add((status, tuple(headers.items()), len(body), start, end))
        answer(client, session)
    assert seen[True] == seen[False] and len(seen[True]) == 1
    ((_, headers, _, _, _),) = seen[True]
    assert dict(headers)["cache-control"] == "no-store" and dict(headers)["content-type"] == "image/png"
    assert not {"etag", "last-modified", "date", "server"} & {name.lower() for name, _ in headers}


def test_only_the_picture_that_is_asked_about_can_be_fetched(client: Any, session: AuditSession):
    first, later = session.ids[0], session.ids[5]
    assert client.get(f"/picture/{later}.png")[0] == 404
    answer(client, session)
    status, _, body = client.get(f"/picture/{first}.png")
    assert status == 409 and b"has its answer already" in body
    forged = "/picture/" + "0" * 32 + ".png"
    for path in (forged, "/picture/../question.png", "/picture/0.png", "/audits", "/gen-000/images.npy"):
        assert client.get(path)[0] == 404, path


# -- what is refused


def test_an_old_id_is_a_conflict_and_the_first_answer_stands(client: Any, session: AuditSession):
    old = session.current
    assert answer(client, session, "real") == 303
    status, _, body = client.post("/answer", {"picture": old, "answer": "generated"})
    assert status == 409 and b"the first answer stands" in body and b'href="/question"' in body
    assert [each.word for each in read_answers(session.file.path)[1]] == ["real"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"picture": "f" * 32, "answer": "real"}, 404),
        ({"picture": "LATER", "answer": "real"}, 404),
        ({"answer": "real"}, 404),
        ({"picture": "NOW", "answer": "perhaps"}, 400),
        ({"picture": "NOW"}, 400),
    ],
)
def test_forged_ids_and_words_are_refused(client: Any, session: AuditSession, fields: dict[str, str], status: int):
    named = {"LATER": session.ids[7], "NOW": session.current}
    given = {key: named.get(value, value) for key, value in fields.items()}
    assert client.post("/answer", given)[0] == status
    assert session.done == 0


@pytest.mark.parametrize(
    "cookie", ["", "imagelab-1=a-token-for-tests", "NAME=wrong", "NAME=", "NAME=a-token-for-tests."]
)
def test_without_the_token_no_page_is_shown(client: Any, cookie: str):
    status, _, body = client.get("/question", Cookie=cookie.replace("NAME", client.site.cookie))
    assert status == 403 and b"Open the address that was printed" in body
    assert client.get("/style.css", Cookie="")[0] == 403


def test_the_token_moves_from_the_address_to_a_cookie_of_this_port(client: Any):
    status, headers, _ = client.get("/?token=a-token-for-tests", Cookie="")
    assert status == 303 and headers["location"] == "/"
    assert headers["set-cookie"] == f"{client.site.cookie}=a-token-for-tests; HttpOnly; Path=/; SameSite=strict"
    assert client.get("/?token=wrong")[0] == 403
    assert client.get("//evil.example/?token=a-token-for-tests")[1]["location"].startswith("/evil.example")
    assert client.get("/question", Cookie=f'odd; ="; {client.site.cookie}=a-token-for-tests; b')[0] == 200
    assert client.get("/question", Cookie="", Authorization="Bearer a-token-for-tests")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", ""])
def test_a_foreign_host_is_refused(client: Any, host: str):
    status, _, body = client.ask("GET", "/question", headers={"Host": host})
    assert status == 403 and b"answers to 127.0.0.1" in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_post_from_another_page_is_refused(client: Any, session: AuditSession, headers: dict[str, str]):
    status, _, body = client.post("/answer", {"picture": session.current, "answer": "real"}, **headers)
    assert status == 403 and b"came from another page" in body and session.done == 0
    ours = {"Origin": f"http://127.0.0.1:{client.site.port}", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/answer", {"picture": session.current, "answer": "real"}, **ours)[0] == 303


def test_giant_bodies_are_refused_before_they_are_read(client: Any, session: AuditSession):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for length in ("10000000000", "8193"):
        assert client.ask("POST", "/answer", b"picture=", {**kind, "Content-Length": length})[0] == 413
    chunks = b"".join(b"1000\r\n" + b"a" * 4096 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
    assert client.ask("POST", "/answer", b"", kind)[0] == 404  # an empty form is small enough, and names no picture
    assert _chunked(client, chunks) == 413 and session.done == 0


def _chunked(client: Any, chunks: bytes) -> int:
    import socket

    with socket.create_connection(("127.0.0.1", client.site.port), timeout=20) as sock:
        head = f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:{client.site.port}\r\nTransfer-Encoding: chunked\r\n"
        head += f"Cookie: {client.site.cookie}=a-token-for-tests\r\n\r\n"
        sock.sendall(head.encode() + chunks)
        return int(sock.recv(4096).split()[1])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/answer", 405),
        ("POST", "/question", 405),
        ("DELETE", "/", 405),
        ("PUT", "/answer", 405),
        ("GET", "/nothing", 404),
        ("GET", "/style.css/../../x", 404),
    ],
)
def test_wrong_methods_and_places_are_refused_in_words(client: Any, method: str, path: str, status: int):
    got, headers, body = client.ask(method, path)
    assert got == status and (b"is not possible here" if status == 405 else b"There is no such page") in body
    assert status != 405 or headers["allow"]


def test_what_is_no_form_is_refused(client: Any, session: AuditSession):
    body = b'{"picture": "x"}'
    assert client.ask("POST", "/answer", body, {"Content-Type": "application/json"})[0] == 415
    many = "&".join(f"a{k}=1" for k in range(200)).encode()
    assert client.ask("POST", "/answer", many, {"Content-Type": "application/x-www-form-urlencoded"})[0] == 400


def test_every_response_has_the_headers_that_protect_it(client: Any):
    for path, cookie in (("/", None), ("/style.css", None), ("/nothing", None), ("/", "")):
        found = client.get(path, **({} if cookie is None else {"Cookie": cookie}))[1]
        headers = {name.lower(): value for name, value in found.items()}
        assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin" and "server" not in headers


def test_a_full_disk_is_said_and_the_answer_can_be_given_again(
    client: Any, session: AuditSession, monkeypatch: pytest.MonkeyPatch
):
    import os

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, _, body = client.post("/answer", {"picture": session.current, "answer": "real"})
    assert status == 500 and b"The answer was not saved" in body and session.done == 0
    assert answer(client, session) == 303
