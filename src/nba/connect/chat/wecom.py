"""WeCom: the calls of its external-contact API behind the port.

Fields and codes by developer.work.weixin.qq.com (external contacts: 92113, 92994, 92122, 92132,
92135, 93338, 95094, 92137, 92118, 92125), as read in 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

from nba.connect.chat.port import (
    ChatError,
    Contact,
    Created,
    DayCount,
    Group,
    Member,
    Message,
    PostResult,
    Result,
    SendOutcome,
    TransferState,
)
from nba.connect.chat.session import Session

#: Clerks asked for in one call, and rows of one page: the most that the platform allows.
CLERKS_PER_CALL: Final = 100
CONTACTS_PER_PAGE: Final = 100
ROWS_PER_PAGE: Final = 1000
MESSAGES_PER_PAGE: Final = 100
#: An outside contact that no clerk has, or who is not this clerk's.
NO_RELATION: Final = 84061
UNKNOWN_CONTACT: Final = 40096
#: The group is unknown, or was dismissed.
NO_GROUP: Final = (40050, 49008)
#: In member lists: somebody from outside.
OUTSIDE: Final = 2
_GENDERS: Final = {1: "male", 2: "female"}
_OUTCOMES: Final = {
    0: SendOutcome.WAITING,
    1: SendOutcome.SENT,
    2: SendOutcome.NOT_FRIEND,
    3: SendOutcome.CAPPED,
}
_TRANSFERS: Final = {
    1: TransferState.DONE,
    2: TransferState.WAITING,
    3: TransferState.REFUSED,
    4: TransferState.IMPOSSIBLE,
}
_POST_IS_MADE: Final = 3
#: Before the id of a job that makes a post; a post found again is known by its own id.
_JOB: Final = "job:"
#: Seconds by which the clocks of the platform and of this machine may differ.
_CLOCKS_DIFFER: Final = 120


class WeCom:
    """WeCom behind `ChatPlatform`.

    Parameters
    ----------
    session : Session
    zone : str
        The zone in which the platform counts days.
    """

    def __init__(self, session: Session, zone: str = "Asia/Shanghai") -> None:
        self.session = session
        self._zone = ZoneInfo(zone)

    def __repr__(self) -> str:
        return f"WeCom({self.session!r})"

    # ------------------------------------------------------------------ in

    def clerks(self) -> list[str]:
        """Return the clerks who may have outside friends."""
        answer = self.session.get("externalcontact/get_follow_user_list")
        return [str(one) for one in answer.get("follow_user") or ()]

    @cached_property
    def _tags(self) -> dict[str, tuple[str, str]]:
        """Group and name of the company's tags, by id."""
        answer = self.session.ask("externalcontact/get_corp_tag_list", {})
        return {
            str(tag["id"]): (str(group["group_name"]), str(tag["name"]))
            for group in answer.get("tag_group") or ()
            for tag in group.get("tag") or ()
            if not tag.get("deleted")
        }

    def contacts(self, clerks: Sequence[str]) -> Iterator[Contact]:
        """Yield every friendship of some clerks, page by page."""
        for start in range(0, len(clerks), CLERKS_PER_CALL):
            asked = {
                "userid_list": list(clerks[start : start + CLERKS_PER_CALL]),
                "limit": CONTACTS_PER_PAGE,
            }
            for page in self._pages("externalcontact/batch/get_by_user", asked):
                for row in page.get("external_contact_list") or ():
                    yield self._contact(row["external_contact"], row["follow_info"])

    def contact(self, external_id: str) -> list[Contact]:
        """Return the friendships of one person; none where nobody is their friend."""
        found: list[Contact] = []
        cursor = ""
        while True:
            try:
                answer = self.session.get(
                    "externalcontact/get", external_userid=external_id, cursor=cursor
                )
            except ChatError as error:
                if error.code in (NO_RELATION, UNKNOWN_CONTACT):
                    return found
                raise
            person = answer["external_contact"]
            found += [self._contact(person, row) for row in answer.get("follow_user") or ()]
            cursor = str(answer.get("next_cursor") or "")
            if not cursor:
                return found

    def _contact(self, person: Mapping[str, Any], follow: Mapping[str, Any]) -> Contact:
        named = [tag["tag_name"] for tag in follow.get("tags") or () if tag.get("tag_name")]
        by_id = [self._tags[one][1] for one in follow.get("tag_id") or () if one in self._tags]
        phones = follow.get("remark_mobiles") or [""]
        return Contact(
            external_id=str(person["external_userid"]),
            clerk=str(follow["userid"]),
            since=_moment(follow["createtime"]),
            name=str(person.get("name") or ""),
            avatar=str(person.get("avatar") or ""),
            gender=_GENDERS.get(int(person.get("gender") or 0), ""),
            union_id=str(person.get("unionid") or ""),
            remark=str(follow.get("remark") or ""),
            phone=str(phones[0]),
            state=str(follow.get("state") or ""),
            add_way=int(follow.get("add_way") or 0),
            tags=tuple(sorted({str(name) for name in (*named, *by_id)})),
        )

    def groups(self, group_ids: Sequence[str] | None = None) -> Iterator[Group]:
        """Yield all groups, or some; a group that was dismissed is left out."""
        for group_id in self._group_ids() if group_ids is None else group_ids:
            try:
                answer = self.session.ask(
                    "externalcontact/groupchat/get", {"chat_id": group_id, "need_name": 0}
                )
            except ChatError as error:
                if error.code in NO_GROUP:
                    continue
                raise
            yield _group(answer["group_chat"])

    def _group_ids(self) -> list[str]:
        asked = {"status_filter": 0, "limit": ROWS_PER_PAGE}
        return [
            str(row["chat_id"])
            for page in self._pages("externalcontact/groupchat/list", asked)
            for row in page.get("group_chat_list") or ()
        ]

    def statistics(self, clerk: str, first: date, last: date) -> list[DayCount]:
        """Return what was counted of a clerk on the days from `first` to `last`."""
        begin, end = (
            int(datetime.combine(day, time(), self._zone).timestamp()) for day in (first, last)
        )
        answer = self.session.ask(
            "externalcontact/get_user_behavior_data",
            {"userid": [clerk], "start_time": begin, "end_time": end},
        )
        return [
            DayCount(
                clerk=clerk,
                day=datetime.fromtimestamp(int(row["stat_time"]), self._zone).date(),
                chats=int(row.get("chat_cnt") or 0),
                messages=int(row.get("message_cnt") or 0),
                new_contacts=int(row.get("new_contact_cnt") or 0),
                negative=int(row.get("negative_feedback_cnt") or 0),
                reply_share=_share(row.get("reply_percentage")),
                first_reply_minutes=_number(row.get("avg_reply_time")),
            )
            for row in answer.get("behavior_data") or ()
        ]

    # ------------------------------------------------------------------ out

    def create_message(self, message: Message) -> Created:
        """Make a task that the clerk confirms."""
        answer = self.session.do(
            "externalcontact/add_msg_template",
            {
                "chat_type": "single",
                "external_userid": list(message.recipients),
                "sender": message.clerk,
                "text": {"content": message.text},
                "attachments": _link(message.link, message.title),
            },
        )
        refused = tuple(str(one) for one in answer.get("fail_list") or ())
        return Created(str(answer["msgid"]), refused)

    def find_message(
        self, message: Message, since: datetime, until: datetime, known: set[str]
    ) -> Created | None:
        """Return the task that a call made whose answer was lost, if it did.

        It is known by its text, its moment and its recipients: the platform keeps no key of the
        caller's.

        Parameters
        ----------
        message : Message
        since, until : datetime
            When the call was made, and now.
        known : set of str
            Ids of tasks that other calls made.
        """
        asked = {
            "chat_type": "single",
            "start_time": int(since.timestamp()) - _CLOCKS_DIFFER,
            "end_time": int(until.timestamp()) + _CLOCKS_DIFFER,
            "filter_type": 0,
            "limit": MESSAGES_PER_PAGE,
        }
        wanted = set(message.recipients)
        for page in self._pages("externalcontact/get_groupmsg_list_v2", asked):
            for row in page.get("group_msg_list") or ():
                remote_id = str(row["msgid"])
                same = (row.get("text") or {}).get("content") == message.text
                if remote_id in known or not same:
                    continue
                found = {one.external_id for one in self.results(remote_id, message.clerk)}
                if found and found <= wanted:
                    return Created(remote_id, tuple(sorted(wanted - found)))
        return None

    def cancel_message(self, remote_id: str) -> None:
        """Withdraw a task as far as it is not sent."""
        self.session.ask("externalcontact/cancel_groupmsg_send", {"msgid": remote_id})

    def results(self, remote_id: str, clerk: str) -> Iterator[Result]:
        """Yield what became of each recipient."""
        asked = {"msgid": remote_id, "userid": clerk, "limit": ROWS_PER_PAGE}
        for page in self._pages("externalcontact/get_groupmsg_send_result", asked):
            for row in page.get("send_list") or ():
                sent_at = row.get("send_time")
                yield Result(
                    str(row["external_userid"]),
                    _OUTCOMES[int(row["status"])],
                    _moment(sent_at) if sent_at else None,
                )

    def create_post(self, clerk: str, text: str, link: str = "", title: str = "") -> str:
        """Make a task for a clerk to post to the moments; return its id.

        Parameters
        ----------
        clerk, text : str
        link, title : str
            Of what the post shows; empty for a text alone.
        """
        answer = self.session.do(
            "externalcontact/add_moment_task",
            {
                "text": {"content": text},
                "attachments": _link(link, title),
                "visible_range": {"sender_list": {"user_list": [clerk]}},
            },
        )
        return f"{_JOB}{answer['jobid']}"

    def find_post(
        self, message: Message, since: datetime, until: datetime, known: set[str]
    ) -> Created | None:
        """Return the post that a call made whose answer was lost, as `find_message` does.

        Parameters
        ----------
        message : Message
            Its clerk and text.
        since, until : datetime
            When the call was made, and now.
        known : set of str
            Ids of posts that other calls made.
        """
        asked = {
            "start_time": int(since.timestamp()) - _CLOCKS_DIFFER,
            "end_time": int(until.timestamp()) + _CLOCKS_DIFFER,
            "creator": message.clerk,
            "limit": MESSAGES_PER_PAGE,
        }
        taken = {self._moment_id(one) for one in known if one.startswith(_JOB)}
        for page in self._pages("externalcontact/get_moment_list", asked):
            for row in page.get("moment_list") or ():
                moment_id = str(row["moment_id"])
                same = (row.get("text") or {}).get("content") == message.text
                if same and moment_id not in taken | known:
                    return Created(moment_id)
        return None

    def _moment_id(self, remote_id: str) -> str:
        """Return the id of a post by the id of the job that makes it; empty while it does."""
        if not remote_id.startswith(_JOB):
            return remote_id
        job = remote_id.removeprefix(_JOB)
        made = self.session.get("externalcontact/get_moment_task_result", jobid=job)
        if int(made.get("status") or 0) != _POST_IS_MADE:
            return ""
        return str(made["result"]["moment_id"])

    def post_result(self, remote_id: str, clerk: str) -> PostResult | None:
        """Return what became of a post; None while the platform still makes the task."""
        moment_id = self._moment_id(remote_id)
        if not moment_id:
            return None
        asked: dict[str, Any] = {"moment_id": moment_id, "limit": ROWS_PER_PAGE}
        published = {
            str(row["userid"])
            for page in self._pages("externalcontact/get_moment_task", asked)
            for row in page.get("task_list") or ()
            if int(row["publish_status"]) == 1
        }
        if clerk not in published:
            return PostResult(published=False)
        seen = [
            str(row["external_userid"])
            for page in self._pages(
                "externalcontact/get_moment_send_result", {**asked, "userid": clerk}
            )
            for row in page.get("customer_list") or ()
        ]
        return PostResult(published=True, seen_by=tuple(seen))

    def welcome(self, code: str, text: str) -> bool:
        """Greet a new friend; False where the code has ended, was used, or the chat began."""
        try:
            self.session.do(
                "externalcontact/send_welcome_msg",
                {"welcome_code": code, "text": {"content": text}},
            )
        except ChatError:
            return False
        return True

    def tag(self, clerk: str, external_id: str, tags: Sequence[str]) -> None:
        """Put tags on a friend; those already there stay, those unknown are made."""
        ids = {name: one for one, (_, name) in self._tags.items()}
        missing = [name for name in tags if name not in ids]
        if missing:
            answer = self.session.do(
                "externalcontact/add_corp_tag",
                {"group_name": "nba", "tag": [{"name": name} for name in missing]},
            )
            made = answer["tag_group"]
            for row in made["tag"]:
                self._tags[str(row["id"])] = (str(made["group_name"]), str(row["name"]))
                ids[str(row["name"])] = str(row["id"])
        self.session.ask(
            "externalcontact/mark_tag",
            {
                "userid": clerk,
                "external_userid": external_id,
                "add_tag": [ids[name] for name in tags],
            },
        )

    def transfer(self, external_id: str, from_clerk: str, to_clerk: str) -> TransferState:
        """Ask that a friend goes over to a colleague."""
        answer = self.session.do(
            "externalcontact/transfer_customer",
            {
                "handover_userid": from_clerk,
                "takeover_userid": to_clerk,
                "external_userid": [external_id],
            },
        )
        code = int(answer["customer"][0].get("errcode", 0))
        return TransferState.IMPOSSIBLE if code else TransferState.WAITING

    def transfers(self, from_clerk: str, to_clerk: str) -> dict[str, TransferState]:
        """Return by person how the hand-overs between two clerks stand."""
        asked = {"handover_userid": from_clerk, "takeover_userid": to_clerk}
        return {
            str(row["external_userid"]): _TRANSFERS[int(row["status"])]
            for page in self._pages("externalcontact/transfer_result", asked)
            for row in page.get("customer") or ()
        }

    def _pages(self, call: str, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield every page of an answer; a page that does not come is asked for again."""
        cursor = ""
        while True:
            answer = self.session.ask(call, {**asked, "cursor": cursor} if cursor else asked)
            yield answer
            cursor = str(answer.get("next_cursor") or "")
            if not cursor:
                return


def _group(row: Mapping[str, Any]) -> Group:
    members = tuple(
        Member(str(one["userid"]), _moment(one["join_time"]), str(one.get("unionid") or ""))
        for one in row.get("member_list") or ()
        if int(one["type"]) == OUTSIDE
    )
    return Group(
        group_id=str(row["chat_id"]),
        clerk=str(row["owner"]),
        topic=str(row.get("name") or row["chat_id"]),
        created_at=_moment(row["create_time"]),
        members=members,
    )


def _link(url: str, title: str) -> list[dict[str, Any]]:
    return [{"msgtype": "link", "link": {"title": title or url, "url": url}}] if url else []


def _moment(seconds: object) -> datetime:
    return datetime.fromtimestamp(int(str(seconds)), UTC)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _share(percentage: object) -> float | None:
    number = _number(percentage)
    return None if number is None else number / 100
