"""A platform that is played on this machine: its documented answers, errors, pages and limits.

For tests, proofs and `nba demo --chat`: real HTTP on the loopback address. What people and clerks
do on a real platform are methods here (`befriend`, `confirm`, `unfriend` …).
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

CORP_ID: Final = "wwplayed"
SECRET: Final = "played-secret-of-the-corporation"
TOKEN_SECONDS: Final = 7200
#: How long the code of a greeting can be used.
WELCOME_SECONDS: Final = 20
Answer = dict[str, Any]
_WAITING, _SENT, _NO_FRIEND, _CAPPED = range(4)
_OK: Final = {"errcode": 0, "errmsg": "ok"}


@dataclass
class Faults:
    """What goes wrong by chance.

    Parameters
    ----------
    cut : float
        Share of calls whose answer is lost on its way, the call itself done.
    busy : float
        Share of calls answered by -1 and not done.
    forgets : float
        Share of calls before which the platform forgets the token.
    calls_per_second : int
        More calls within a second are answered by 45009; 0 for no limit.
    """

    cut: float = 0.0
    busy: float = 0.0
    forgets: float = 0.0
    calls_per_second: int = 0


@dataclass
class _Task:
    """A mass message: what each recipient's state is."""

    clerk: str
    text: str
    made: int
    states: dict[str, int]
    sent_at: dict[str, int] = field(default_factory=dict)
    cancelled: bool = False


@dataclass
class _Post:
    clerk: str
    text: str
    made: int
    published: bool = False
    seen_by: list[str] = field(default_factory=list)


class PlayedWeCom:
    """The state of the platform and its calls.

    Parameters
    ----------
    clock : callable
        Returns the present moment, aware.
    faults : Faults, optional
    seed : int
        Of what goes wrong by chance.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        faults: Faults | None = None,
        seed: int = 1,
    ) -> None:
        self.clock = clock
        self.faults = faults or Faults()
        self.calls: Counter[str] = Counter()
        self.people: dict[str, Answer] = {}
        self.friends: dict[str, dict[str, Answer]] = {}
        self.groups: dict[str, Answer] = {}
        self.tags: dict[str, str] = {}
        self.tasks: dict[str, _Task] = {}
        self.posts: dict[str, _Post] = {}
        self.greeted: dict[str, str] = {}
        self.transfers: dict[tuple[str, str, str], int] = {}
        self.deleted_by_customer: set[tuple[str, str]] = set()
        self._welcomes: dict[str, int] = {}
        self._received: dict[tuple[str, str], int] = defaultdict(int)
        self._random = Random(seed)
        self._token = ""
        self._second = (0, 0)
        self._lock = threading.RLock()

    # ------------------------------------------------------------------ what people do

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock().timestamp())

    def hire(self, clerk: str) -> None:
        """Let a clerk have outside friends."""
        self.friends.setdefault(clerk, {})

    def befriend(self, clerk: str, external_id: str, **facts: Any) -> str:
        """Make a person a clerk's friend; return the code of a greeting.

        Parameters
        ----------
        clerk, external_id : str
        **facts
            Of the person (`name`, `gender`, `unionid`) or of the friendship (`createtime`,
            `remark`, `remark_mobiles`, `add_way`, `state`, `tags`).
        """
        with self._lock:
            names = ("name", "avatar", "gender", "unionid")
            person = {name: facts[name] for name in names if name in facts}
            known = self.people.setdefault(
                external_id, {"external_userid": external_id, "type": 1, "name": external_id}
            )
            known.update(person)
            self.hire(clerk)
            self.deleted_by_customer.discard((clerk, external_id))
            self.friends[clerk][external_id] = {
                "userid": clerk,
                "remark": facts.get("remark", ""),
                "description": "",
                "createtime": int(facts.get("createtime", self.now)),
                "tag_id": [self.tag_id(name) for name in facts.get("tags", ())],
                "remark_mobiles": list(facts.get("remark_mobiles", ())),
                "add_way": facts.get("add_way", 1),
                "oper_userid": clerk,
                "state": facts.get("state", ""),
            }
            code = secrets.token_hex(8)
            self._welcomes[code] = self.now
            return code

    def tag_id(self, name: str) -> str:
        """Return the id of a company's tag, made where there is none."""
        for one, known in self.tags.items():
            if known == name:
                return one
        made = f"tag{len(self.tags) + 1:04d}"
        self.tags[made] = name
        return made

    def unfriend(self, clerk: str, external_id: str) -> None:
        """Let the clerk delete a friend."""
        with self._lock:
            self.friends[clerk].pop(external_id, None)

    def leave(self, clerk: str, external_id: str) -> None:
        """Let the customer delete the clerk: the platform's lists still name them."""
        with self._lock:
            self.deleted_by_customer.add((clerk, external_id))

    def create_group(
        self, group_id: str, clerk: str, topic: str, members: Sequence[str] = ()
    ) -> None:
        """Make a group.

        Parameters
        ----------
        group_id, clerk, topic : str
        members : sequence of str
            People from outside.
        """
        with self._lock:
            self.groups[group_id] = {
                "chat_id": group_id,
                "name": topic,
                "owner": clerk,
                "create_time": self.now,
                "notice": "",
                "member_list": [
                    {"userid": clerk, "type": 1, "join_time": self.now, "join_scene": 1}
                ],
                "admin_list": [],
                "member_version": "1",
            }
            for one in members:
                self.join(group_id, one)

    def join(self, group_id: str, external_id: str) -> None:
        """Let a person join a group."""
        with self._lock:
            self.groups[group_id]["member_list"].append(
                {"userid": external_id, "type": 2, "join_time": self.now, "join_scene": 3}
            )

    def quit(self, group_id: str, external_id: str) -> None:
        """Let a person leave a group."""
        with self._lock:
            group = self.groups[group_id]
            group["member_list"] = [
                one for one in group["member_list"] if one["userid"] != external_id
            ]

    def confirm(self, msgid: str, only: Sequence[str] | None = None) -> list[str]:
        """Let the clerk send a task to all or some who wait; return who got it."""
        with self._lock:
            task = self.tasks[msgid]
            if task.cancelled:
                return []
            reached = []
            for one, state in task.states.items():
                if state != _WAITING or (only is not None and one not in only):
                    continue
                task.states[one] = self._state_of(task.clerk, one)
                if task.states[one] == _SENT:
                    task.sent_at[one] = self.now
                    reached.append(one)
            return reached

    def note_message(self, external_id: str, day: str) -> None:
        """Let a person have had another mass message on a day (YYYY-MM-DD, UTC)."""
        with self._lock:
            self._received[external_id, day] += 1

    def _state_of(self, clerk: str, external_id: str) -> int:
        """Say what a message comes to: the platform lets one through per customer and day."""
        is_friend = external_id in self.friends.get(clerk, {})
        if not is_friend or (clerk, external_id) in self.deleted_by_customer:
            return _NO_FRIEND
        day = self.clock().astimezone(UTC).date().isoformat()
        if self._received[external_id, day]:
            return _CAPPED
        self._received[external_id, day] += 1
        return _SENT

    def publish(self, jobid: str) -> None:
        """Let the clerk publish a post to the friends that they have."""
        with self._lock:
            post = self.posts[jobid]
            post.published = True
            post.seen_by = sorted(self.friends.get(post.clerk, {}))

    def settle_transfer(self, from_clerk: str, to_clerk: str, external_id: str, state: int) -> None:
        """Let a hand-over end: 1 done, 3 refused, 4 the colleague has too many friends.

        Parameters
        ----------
        from_clerk, to_clerk, external_id : str
        state : int
        """
        with self._lock:
            self.transfers[from_clerk, to_clerk, external_id] = state
            if state == 1:
                follow = self.friends[from_clerk].pop(external_id)
                fresh = {**follow, "userid": to_clerk, "createtime": self.now, "add_way": 202}
                self.friends.setdefault(to_clerk, {})[external_id] = fresh

    # ------------------------------------------------------------------ calls

    def answer(self, call: str, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer | None:
        """Return the answer to a call; None where it gets lost on its way.

        Parameters
        ----------
        call : str
            The path behind `/cgi-bin/`.
        query, body : mapping
        """
        with self._lock:
            self.calls[call] += 1
            refused = self._refusal(call, query)
            if refused is not None:
                return refused
            handler = _CALLS.get(call)
            if handler is None:
                return _error(40066, "invalid url")
            answer = handler(self, query, body)
            is_lost = self._random.random() < self.faults.cut
            return None if is_lost else {**_OK, **answer}

    def _refusal(self, call: str, query: Mapping[str, str]) -> Answer | None:
        second, count = self._second
        count = count + 1 if second == self.now else 1
        self._second = (self.now, count)
        if self.faults.calls_per_second and count > self.faults.calls_per_second:
            return _error(45009, "api freq out of limit")
        if self._random.random() < self.faults.busy:
            return _error(-1, "system busy")
        if self._random.random() < self.faults.forgets:
            self._token = ""
        if call != "gettoken" and (not self._token or query.get("access_token") != self._token):
            return _error(40014, f"invalid access_token {query.get('access_token', '')}")
        return None

    def _gettoken(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        if (query.get("corpid"), query.get("corpsecret")) != (CORP_ID, SECRET):
            return _error(40001, f"invalid credential {query.get('corpsecret')}")
        self._token = self._token or secrets.token_hex(32)
        return {"access_token": self._token, "expires_in": TOKEN_SECONDS}

    def _clerks(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        return {"follow_user": sorted(self.friends)}

    def _by_user(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        clerks, limit = body["userid_list"], body.get("limit", 50)
        if len(clerks) > 100 or limit > 100:
            return _error(40058, "more than 100 in one call")
        place, seen = _place(body)
        rows: list[Answer] = []
        while place < len(clerks) and len(rows) < limit:
            friends = list(self.friends.get(clerks[place], {}).items())[seen:]
            taken = friends[: limit - len(rows)]
            rows += [
                {"external_contact": self.people[one], "follow_info": follow}
                for one, follow in taken
            ]
            seen += len(taken)
            if len(taken) == len(friends):
                place, seen = place + 1, 0
        cursor = f"{place}:{seen}" if place < len(clerks) else ""
        return {"external_contact_list": rows, "next_cursor": cursor}

    def _get(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        one = query["external_userid"]
        follows = [friends[one] for friends in self.friends.values() if one in friends]
        if not follows:
            return _error(84061, "not exist external contact relationship")
        shown = [
            {
                **{name: value for name, value in follow.items() if name != "tag_id"},
                "tags": [
                    {"group_name": "nba", "tag_name": self.tags[tag], "type": 1, "tag_id": tag}
                    for tag in follow["tag_id"]
                ],
            }
            for follow in follows
        ]
        return {"external_contact": self.people[one], "follow_user": shown}

    def _tag_list(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        tags = [{"id": one, "name": name} for one, name in self.tags.items()]
        return {"tag_group": [{"group_id": "g1", "group_name": "nba", "tag": tags}]}

    def _add_tag(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        tags = [{"id": self.tag_id(tag["name"]), "name": tag["name"]} for tag in body["tag"]]
        return {"tag_group": {"group_id": "g1", "group_name": body["group_name"], "tag": tags}}

    def _mark_tag(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        follow = self.friends.get(body["userid"], {}).get(body["external_userid"])
        if follow is None:
            return _error(84061, "not exist external contact relationship")
        kept = [one for one in follow["tag_id"] if one not in body.get("remove_tag", ())]
        follow["tag_id"] = sorted({*kept, *body.get("add_tag", ())})
        return {}

    def _group_list(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        rows, cursor = _page(sorted(self.groups), body, 1000)
        return {
            "group_chat_list": [{"chat_id": one, "status": 0} for one in rows],
            "next_cursor": cursor,
        }

    def _group(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        group = self.groups.get(body["chat_id"])
        return {"group_chat": group} if group else _error(49008, "group is dismissed")

    def _behaviour(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        days = range(body["start_time"], body["end_time"] + 1, 86400)
        if len(days) > 30:
            return _error(40058, "more than 30 days")
        clerk = body["userid"][0]
        rows = [
            {
                "stat_time": day,
                "chat_cnt": len(self.friends.get(clerk, {})) // 10,
                "message_cnt": len(self.friends.get(clerk, {})) // 2,
                "reply_percentage": 80.5,
                "avg_reply_time": 12,
                "negative_feedback_cnt": 0,
                "new_apply_cnt": 1,
                "new_contact_cnt": sum(
                    day <= follow["createtime"] < day + 86400
                    for follow in self.friends.get(clerk, {}).values()
                ),
            }
            for day in days
        ]
        return {"behavior_data": rows}

    def _add_message(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        clerk, wanted = body["sender"], body["external_userid"]
        if len(wanted) > 10_000:
            return _error(40058, "more than 10000 recipients")
        if not body["text"]["content"] or len(body["text"]["content"].encode()) > 4000:
            return _error(40058, "a text of 1 to 4000 bytes")
        friends = self.friends.get(clerk, {})
        failed = [one for one in wanted if one not in friends]
        good = {one: _WAITING for one in wanted if one in friends}
        if not good:
            return _error(84061, "none is a contact of the sender")
        msgid = f"msg{len(self.tasks) + 1:06d}"
        self.tasks[msgid] = _Task(clerk, body["text"]["content"], self.now, good)
        return {"fail_list": failed, "msgid": msgid}

    def _message_list(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        found = [
            {
                "msgid": msgid,
                "creator": "nba",
                "create_time": task.made,
                "create_type": 0,
                "text": {"content": task.text},
            }
            for msgid, task in self.tasks.items()
            if body["start_time"] <= task.made <= body["end_time"]
        ]
        rows, cursor = _page(found, body, 100)
        return {"group_msg_list": rows, "next_cursor": cursor}

    def _message_results(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        task = self.tasks.get(body["msgid"])
        if task is None:
            return _error(40058, "invalid msgid")
        found = []
        for one, state in task.states.items() if task.clerk == body["userid"] else ():
            row: Answer = {"external_userid": one, "userid": task.clerk, "status": state}
            if state == _SENT:
                row["send_time"] = task.sent_at[one]
            found.append(row)
        rows, cursor = _page(found, body, 1000)
        return {"send_list": rows, "next_cursor": cursor}

    def _cancel(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        self.tasks[body["msgid"]].cancelled = True
        return {}

    def _add_moment(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        (clerk,) = body["visible_range"]["sender_list"]["user_list"]
        jobid = f"job{len(self.posts) + 1:06d}"
        self.posts[jobid] = _Post(clerk, body["text"]["content"], self.now)
        return {"jobid": jobid}

    def _moment_made(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        return {
            "status": 3,
            "type": "add_moment_task",
            "result": {"errcode": 0, "errmsg": "ok", "moment_id": query["jobid"]},
        }

    def _moment_list(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        found = [
            {"moment_id": jobid, "create_time": post.made, "text": {"content": post.text}}
            for jobid, post in self.posts.items()
            if body["start_time"] <= post.made <= body["end_time"]
            and post.clerk == body.get("creator", post.clerk)
        ]
        rows, cursor = _page(found, body, 100)
        return {"moment_list": rows, "next_cursor": cursor}

    def _moment_tasks(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        post = self.posts[body["moment_id"]]
        return {"task_list": [{"userid": post.clerk, "publish_status": int(post.published)}]}

    def _moment_seen(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        rows, cursor = _page(self.posts[body["moment_id"]].seen_by, body, 1000)
        return {
            "customer_list": [{"external_userid": one} for one in rows],
            "next_cursor": cursor,
        }

    def _welcome(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        given_at = self._welcomes.pop(body["welcome_code"], None)
        if given_at is None or self.now - given_at > WELCOME_SECONDS:
            return _error(41051, "externaluser has started chatting")
        self.greeted[body["welcome_code"]] = body["text"]["content"]
        return {}

    def _transfer(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        before, after = body["handover_userid"], body["takeover_userid"]
        said = []
        for one in body["external_userid"]:
            is_friend = one in self.friends.get(before, {})
            if is_friend:
                self.transfers.setdefault((before, after, one), 2)
            said.append({"external_userid": one, "errcode": 0 if is_friend else 40096})
        return {"customer": said}

    def _transfer_result(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        rows = [
            {"external_userid": one, "status": state, "takeover_time": self.now}
            for (before, after, one), state in self.transfers.items()
            if (before, after) == (body["handover_userid"], body["takeover_userid"])
        ]
        return {"customer": rows, "next_cursor": ""}


_Handler = Callable[[PlayedWeCom, Mapping[str, str], Mapping[str, Any]], Answer]
_CALLS: Final[Mapping[str, _Handler]] = {
    "gettoken": PlayedWeCom._gettoken,
    **{
        f"externalcontact/{name}": handler
        for name, handler in {
            "get_follow_user_list": PlayedWeCom._clerks,
            "batch/get_by_user": PlayedWeCom._by_user,
            "get": PlayedWeCom._get,
            "get_corp_tag_list": PlayedWeCom._tag_list,
            "add_corp_tag": PlayedWeCom._add_tag,
            "mark_tag": PlayedWeCom._mark_tag,
            "groupchat/list": PlayedWeCom._group_list,
            "groupchat/get": PlayedWeCom._group,
            "get_user_behavior_data": PlayedWeCom._behaviour,
            "add_msg_template": PlayedWeCom._add_message,
            "get_groupmsg_list_v2": PlayedWeCom._message_list,
            "get_groupmsg_send_result": PlayedWeCom._message_results,
            "cancel_groupmsg_send": PlayedWeCom._cancel,
            "add_moment_task": PlayedWeCom._add_moment,
            "get_moment_task_result": PlayedWeCom._moment_made,
            "get_moment_list": PlayedWeCom._moment_list,
            "get_moment_task": PlayedWeCom._moment_tasks,
            "get_moment_send_result": PlayedWeCom._moment_seen,
            "send_welcome_msg": PlayedWeCom._welcome,
            "transfer_customer": PlayedWeCom._transfer,
            "transfer_result": PlayedWeCom._transfer_result,
        }.items()
    },
}


@contextmanager
def served(platform: PlayedWeCom, port: int = 0) -> Iterator[str]:
    """Serve a played platform on the loopback address while the block lasts; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._answer(json.loads(self.rfile.read(length) or b"{}"))

        def _answer(self, body: Mapping[str, Any]) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            answer = platform.answer(parts.path.removeprefix("/cgi-bin/"), query, body)
            if answer is None:
                self.close_connection = True
                return
            text = json.dumps(answer, ensure_ascii=False).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing: the path holds the token."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _error(code: int, said: str) -> Answer:
    return {"errcode": code, "errmsg": said}


def _place(body: Mapping[str, Any]) -> tuple[int, int]:
    place, _, seen = str(body.get("cursor") or "0:0").partition(":")
    return int(place), int(seen)


def _page(rows: Sequence[Any], body: Mapping[str, Any], most: int) -> tuple[list[Any], str]:
    start = int(body.get("cursor") or 0)
    end = start + min(int(body.get("limit") or most), most)
    return list(rows[start:end]), str(end) if end < len(rows) else ""


def moment(seconds: int) -> datetime:
    """Return a moment of the platform as an aware one."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
