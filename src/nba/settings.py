"""The project: its settings (`nba.yaml`) and where its files lie. Built once, at the edge."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from string import Formatter
from time import sleep
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from nba.errors import ConfigError
from nba.schema import defaults
from nba.schema.codes import country_code, currency_code
from nba.schema.words import SIMPLE_ARMS, Arm, Mode
from nba.validation import validation_problems

SETTINGS_FILE = "nba.yaml"
#: Times, a hundredth of a second apart, that a secret is looked for in a file just made.
_SECRET_TRIES = 100
EDITABLE_FOLDERS = ("features", "models", "serving", "experiments")

Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArmShares(_Section):
    """Shares of customers per arm; what they and the simple lists leave goes to the engine."""

    holdout: Share = Field(
        defaults.HOLDOUT_SHARE, description="Left uncontacted on purpose, to measure the gain."
    )
    random: Share = Field(0.0, description="Gets a uniform draw among eligible actions.")
    business_as_usual: Share = Field(0.0, description="Left to the clerks' own habit: no rows.")

    observe: Share = Field(
        0.0,
        description="Left to the clerks' own habit, and what the engine would do is logged; with "
        "it alone, the share held out gives way.",
    )

    @model_validator(mode="before")
    @classmethod
    def _holdout_gives_way(cls, given: Any) -> Any:
        """Hold out what observing leaves, unless a share is named."""
        if not isinstance(given, Mapping) or "holdout" in given:
            return given
        observe = given.get("observe")
        if not isinstance(observe, int | float) or not 0 <= observe <= 1:
            return given
        return {**given, "holdout": min(defaults.HOLDOUT_SHARE, 1.0 - observe)}

    @property
    def own_habit(self) -> float:
        """The share that is left to the clerks' own habit."""
        return self.business_as_usual + self.observe

    @model_validator(mode="after")
    def _leave_room_for_the_engine(self) -> Self:
        total = self.holdout + self.random + self.own_habit
        if total > 1:
            raise ValueError(f"the arms' shares add up to {total:g}, more than 1")
        return self


class PolicyShares(_Section):
    """Shares of customers whose contacts a simple list plans, beside the engine.

    A simple list needs no learned effect. It scores the same needs, under the same contact policy
    and its share of each clerk's minutes.
    """

    due_worth: Share = Field(
        0.0, description="Margin of an order, how due it is, fit of mode and kind, who answers."
    )
    most_overdue: Share = Field(
        0.0, description="Who is most overdue, with the product bought last."
    )
    recency_spend: Share = Field(
        0.0, description="Recent and large buyers, the product bought last."
    )
    top_propensity: Share = Field(
        0.0, description="Who buys most likely within 30 days, the product bought last."
    )
    clerk_habit: Share = Field(
        0.0,
        description="Who was contacted most so far, in the same modes, the product bought last.",
    )
    auto: bool = Field(
        False,
        description="Moves the shares of the running lists, and the engine's, once a week towards "
        "what earned more.",
    )
    floor: Share = Field(
        0.05, description="With `auto`: the smallest share of the engine and of each list."
    )

    def of(self, arm: Arm) -> float:
        """Return the share of a simple list."""
        return float(getattr(self, str(arm)))

    @property
    def running(self) -> tuple[Arm, ...]:
        """The lists that plan for some customers."""
        return tuple(arm for arm in SIMPLE_ARMS if self.of(arm) > 0)


def arm_shares(arms: ArmShares, policies: PolicyShares) -> dict[Arm, float]:
    """Return the share of every arm; the engine plans what the others leave.

    Raises
    ------
    ValueError
        When the shares add up to more than one.
    """
    shares = {
        Arm.HOLDOUT: arms.holdout,
        Arm.RANDOM: arms.random,
        Arm.BUSINESS_AS_USUAL: arms.business_as_usual,
        Arm.OBSERVE: arms.observe,
        **{arm: policies.of(arm) for arm in SIMPLE_ARMS},
    }
    total = sum(shares.values())
    if total > 1 + 1e-9:
        raise ValueError(f"the shares of `arms` and `policies` add up to {total:g}, more than 1")
    return {**shares, Arm.ENGINE: max(1.0 - total, 0.0)}


#: What a chat link may name.
CHAT_LINK_FIELDS = ("external_id", "customer_id")
#: What a greeting may name.
WELCOME_FIELDS = ("clerk", "store")


def _only_fields(template: str, known: tuple[str, ...]) -> None:
    """Refuse a template that names a field which is not known."""
    try:
        names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(f"no template: {error}") from error
    unknown = sorted(names - set(known))
    if unknown:
        raise ValueError(f"unknown field {{{unknown[0]}}}; known: {', '.join(known)}")


class ClerkPage(_Section):
    """What the clerk page shows, and where it may be embedded."""

    chat_link: str = Field(
        "",
        description="Opens the chat with a customer, as `app://chat?user={external_id}`; "
        "`{customer_id}` may stand there too. Empty: the page copies the text alone.",
    )
    show_value: bool = Field(
        False, description="Show clerks what a contact is expected to earn, in money."
    )
    frame_ancestors: tuple[str, ...] = Field(
        (), description="Hosts that may show the page in a frame, as `https://chat.example.com`."
    )

    sidebar_minutes: int = Field(
        15,
        ge=1,
        le=240,
        description="Minutes for which a token of `POST /v1/sidebar-tokens` lasts.",
    )

    @field_validator("chat_link")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        _only_fields(template, CHAT_LINK_FIELDS)
        return template

    @field_validator("frame_ancestors")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"https?://[\w.*-]+(:(\d+|\*))?", host):
                raise ValueError(f"{host!r} is no host; write https://chat.example.com")
        return hosts


class Oidc(_Section):
    """Sign-in by tokens of an OpenID Connect issuer, beside API keys."""

    issuer: str = Field(
        "", description="The tokens' `iss`, as `https://id.example.com`; empty: none."
    )
    audience: str = Field(
        "", description="The tokens' `aud`: this service, as the issuer knows it."
    )
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "EdDSA"], ...] = Field(
        ("RS256",), min_length=1, description="With which tokens may be signed; no other is taken."
    )
    jwks_url: str = Field(
        "", description="Where the issuer's keys are; empty: as its discovery document says."
    )
    role_claim: str = Field("roles", description="The claim that holds a role, or a list of roles.")
    roles: dict[str, Literal["clerk", "store", "source", "marketer", "admin"]] = Field(
        default_factory=dict,
        description="The scope of each role; of several that a token has, the first here counts.",
    )
    subject_claim: str = Field(
        "sub", description="The claim that holds the id of the clerk, store or source."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.issuer and not (self.audience and self.roles):
            raise ValueError("an `issuer` wants an `audience` and `roles`")
        return self


class RateLimits(_Section):
    """How many requests are answered; those beyond are told when to come again."""

    per_key: str = Field("", description="Of one key or sign-in, as `600/minute`; empty: no limit.")
    per_address: str = Field("", description="Of one address; behind a proxy see `docs/api.md`.")
    storage_url: str = Field(
        "",
        description="Where several workers or machines count together, as `redis://HOST:6379/2`; "
        "empty: each process counts by itself. `NBA_RATE_LIMITS_URL` goes before it.",
    )

    @field_validator("per_key", "per_address")
    @classmethod
    def _known_limit(cls, text: str) -> str:
        if text and re.fullmatch(r"[1-9]\d*/(second|minute|hour|day)", text) is None:
            raise ValueError(f"{text!r} is no limit such as 600/minute")
        return text

    @property
    def are_set(self) -> bool:
        """Whether anything is limited."""
        return bool(self.per_key or self.per_address)

    @property
    def storage(self) -> str:
        """Where counts are kept."""
        return os.environ.get("NBA_RATE_LIMITS_URL") or self.storage_url or "memory://"


class Alerts(_Section):
    """Who is told when a night failed; nobody where nothing is set."""

    command: str = Field(
        "", description="Run without a shell when a night failed; gets the message as JSON."
    )
    webhook_url: str = Field(
        "", pattern=r"^(https?://.+)?$", description="Gets the message by POST when a night failed."
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Signs the message as Standard Webhooks do (`whsec_…`); "
        "`NBA_ALERT_SECRET` goes before it.",
    )

    @property
    def secret(self) -> str:
        """The secret in force, or an empty text."""
        return _in_force("NBA_ALERT_SECRET", self.webhook_secret)


class Chat(_Section):
    """The chat platform that contacts come from and tasks go to; none where nothing is set."""

    platform: Literal["", "wecom"] = Field("", description="The platform; empty: none.")
    url: str = Field(
        "https://qyapi.weixin.qq.com",
        pattern=r"^https?://[^/?#]+$",
        description="Where its API answers, without a path.",
    )
    corp_id: str = Field("", description="The company's id on the platform.")
    secret: SecretStr | None = Field(
        None, description="The app's secret; `NBA_CHAT_SECRET` goes before it."
    )
    callback_token: SecretStr | None = Field(
        None, description="Signs callbacks; `NBA_CHAT_TOKEN` goes before it."
    )
    callback_key: SecretStr | None = Field(
        None, description="EncodingAESKey of callbacks; `NBA_CHAT_KEY` goes before it."
    )
    modes: tuple[Mode, ...] = Field(
        (Mode.SHOPPING_ASSISTANT,),
        description="Modes whose chat actions become tasks that the clerk confirms.",
    )
    tags: tuple[str, ...] = Field((), description="Tags that the platform is given.")
    welcome: str = Field(
        "", description="Greets a new friend; `{clerk}` and `{store}` may stand in it; empty: not."
    )
    locale: Literal["zh", "en"] = Field("zh", description="Language of posts.")

    @property
    def app_secret(self) -> str:
        """The secret in force, or an empty text."""
        return _in_force("NBA_CHAT_SECRET", self.secret)

    @property
    def token(self) -> str:
        """The callbacks' token in force, or an empty text."""
        return _in_force("NBA_CHAT_TOKEN", self.callback_token)

    @property
    def key(self) -> str:
        """The callbacks' key in force, or an empty text."""
        return _in_force("NBA_CHAT_KEY", self.callback_key)

    @field_validator("welcome")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        _only_fields(template, WELCOME_FIELDS)
        return template


def _in_force(variable: str, configured: SecretStr | None) -> str:
    """Return a secret: of the environment, else of the settings, else an empty text."""
    given = configured.get_secret_value() if configured else ""
    return os.environ.get(variable) or given


class Landing(_Section):
    """Where new tables arrive; `nba run` loads them before it plans. Empty: nowhere."""

    folder: str = Field(
        "", description="The folder, absolute or within the project; empty: `nba ingest` alone."
    )
    mapping: str = Field("", description="A mapping's name or file; empty: the tables' own names.")
    encoding: str = Field(
        "", description="Of files of text, where nothing shows it, such as `windows-1252`."
    )
    dates: Literal["", "day_first", "month_first", "year_first"] = Field(
        "", description="The order of a date's parts, where no date shows it."
    )


class Settings(_Section):
    """What holds for the whole project."""

    time_zone: str = Field(
        defaults.TIME_ZONE,
        description="IANA name; naive timestamps stand here, a day begins here.",
    )
    country: str = Field(
        "",
        pattern=r"^([A-Z]{2}(-[A-Z0-9]{1,3})?)?$",
        description="ISO 3166 code of the country, or of its part (GB-ENG), whose public holidays "
        "the timing model knows; empty: the country that the time zone lies in.",
    )
    currency: str = Field(
        defaults.CURRENCY,
        pattern=r"^[A-Z]{3}$",
        description="ISO 4217 code; one currency per project.",
    )
    margin_rate: float = Field(
        defaults.MARGIN_RATE,
        ge=0,
        le=1,
        description="Gross margin where neither product nor category states a cost.",
    )
    outcome_days: int = Field(
        defaults.OUTCOME_DAYS,
        ge=1,
        le=365,
        description="Days in which a contact's effect is counted.",
    )
    salt: str = Field(defaults.SALT, min_length=1, description="Salts the draw of arms.")
    seed: int = Field(20261121, ge=0, lt=2**31, description="Seed of every random draw.")
    arms: ArmShares = Field(default_factory=ArmShares, description="Shares of customers per arm.")
    policies: PolicyShares = Field(
        default_factory=PolicyShares, description="Simple lists that run beside the engine."
    )
    feature_engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="The engine that computes the feature views."
    )
    score_engine: Literal["local", "spark"] = Field(
        "local",
        description="Where a night scores and plans its customers: in its own process, or in tasks "
        "of Spark, one per partition.",
    )
    spark: dict[str, str] = Field(
        default_factory=dict,
        description="Spark's own settings, as `spark.master: yarn`; without them Spark runs here.",
    )
    keep_snapshots_days: int = Field(
        14, ge=1, description="Days for which nightly feature snapshots are kept."
    )
    clerk_page: ClerkPage = Field(
        default_factory=ClerkPage, description="What the clerk page shows, and where."
    )
    oidc: Oidc = Field(default_factory=Oidc, description="Sign-in beside API keys.")
    rate_limits: RateLimits = Field(
        default_factory=RateLimits, description="Requests that a key or an address may make."
    )
    audit_days: int = Field(
        365, ge=1, le=3650, description="Days for which it is kept who saw or changed whom."
    )
    operational_url: str = Field(
        "", description="SQLAlchemy URL of the operational store; empty: SQLite in the project."
    )
    trace_nights: bool = Field(
        True, description="Log every night in MLflow as a trace, a span per step."
    )
    tracking_uri: str = Field(
        "", description="MLflow tracking server; empty: SQLite and files in the project."
    )
    storage_url: str = Field(
        "",
        pattern=r"^(s3://[^/?#]+(/[^?#]*)?|file:///[^?#]+)?$",
        description="Where tables, snapshots, champions and plans are kept beside this machine, as "
        "`s3://BUCKET/PREFIX` or `file:///FOLDER`; empty: in the project alone. "
        "`NBA_STORAGE_URL` goes before it.",
    )
    storage_days: int = Field(
        92,
        ge=1,
        description="With `storage_url`: runs of so many days are kept on this machine too; older "
        "ones are fetched when asked for.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged; `NBA_LOG_LEVEL` goes before it."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Log lines for people or for machines; `NBA_LOG_FORMAT` goes before it."
    )
    alerts: Alerts = Field(default_factory=Alerts, description="Told when a night failed.")
    chat: Chat = Field(default_factory=Chat, description="The chat platform, both ways.")
    landing: Landing = Field(
        default_factory=Landing, description="Loaded by `nba run` before it plans."
    )
    decisions: dict[str, Any] = Field(
        default_factory=dict,
        description="Exploration, horizon, rounding …: the fields listed in docs/decisions.md.",
    )
    memory_limit: str = Field(
        "4GB",
        pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$",
        description="Memory that DuckDB may use before it spills, or Spark's driver.",
    )
    threads: int = Field(
        0,
        ge=0,
        description="Threads of all that computes: DuckDB, Polars, Arrow, LightGBM, BLAS, the "
        "workers of models, and Spark on this machine; 0: every core.",
    )
    train_customers: int = Field(
        0,
        ge=0,
        description="At most so many customers, drawn by a hash of their ids, on whom timing and "
        "affinity are fitted; 0: all. Mode fits are bounded by their own parameters.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Partitions that this machine scores and plans at a time, each by a process "
        "with its share of `threads`: memory holds as many parts. Above 1, fits and what is "
        "done for the whole shop have a process of their own too, with which their memory goes.",
    )
    partitions: int = Field(
        1,
        ge=1,
        le=10_000,
        description="Parts in which a night scores and plans its customers, `workers` at a time: "
        "memory holds as many. A store is never split. With `score_engine: spark`, 1 is as many "
        "as suit the shop and the cores.",
    )
    spill_folder: str = Field(
        "", description="Where goes what does not fit into memory; empty: `tmp` in the data folder."
    )

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        return currency_code(value)

    @field_validator("country")
    @classmethod
    def _known_country(cls, value: str) -> str:
        return country_code(value)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{value!r} is not an IANA time zone such as Asia/Shanghai") from None
        return value


@dataclass(frozen=True)
class Project:
    """A retailer's project folder: settings, editable folders, and kept data."""

    root: Path
    settings: Settings

    @classmethod
    def open(cls, root: Path) -> Project:
        """Read the project at `root`.

        Raises
        ------
        ConfigError
            When `root` is no project, or `nba.yaml` has problems (all are listed).
        """
        path = root / SETTINGS_FILE
        if not path.is_file():
            raise ConfigError(
                f"{root} is not an nba project",
                expected=f"a file {SETTINGS_FILE}",
                found="no such file" if root.is_dir() else "no such folder",
                next_step=f"make a project with: nba init {root}",
            )
        return cls(root.resolve(), read_settings(path))

    @property
    def data(self) -> Path:
        """Everything the engine keeps; not for editing."""
        return self.root / "data"

    @property
    def spill(self) -> Path:
        """What does not fit into memory, for as long as a computation lasts."""
        configured = self.settings.spill_folder
        return self.root / configured if configured else self.data / "tmp"

    @property
    def lake(self) -> Path:
        """The tables."""
        return self.data / "lake"

    @property
    def landing(self) -> Path | None:
        """Where new tables arrive, if anywhere."""
        configured = self.settings.landing.folder
        return self.root / configured if configured else None

    @property
    def landing_mapping(self) -> str | Path | None:
        """The mapping of what arrives: a file of the project, or the name of one that ships."""
        name = self.settings.landing.mapping
        return self.root / name if (self.root / name).is_file() else name or None

    @property
    def features(self) -> Path:
        """Feature snapshots, registry and online store."""
        return self.data / "features"

    @property
    def models(self) -> Path:
        """The last good copy of each champion, and MLflow's files where no server is named."""
        return self.data / "models"

    @property
    def operational_url(self) -> str:
        """SQLAlchemy URL of the operational store."""
        return (
            os.environ.get("NBA_OPERATIONAL_URL")
            or self.settings.operational_url
            or f"sqlite:///{self.data / 'operational.db'}"
        )

    def secret(self) -> bytes:
        """Return the project's secret, made on first use: `NBA_SECRET` goes before the file.

        Ids of erased customers are hashed with it. Machines that share an operational store
        must share it.
        """
        given = os.environ.get("NBA_SECRET")
        if given:
            return given.encode()
        path = self.data / "secret"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:  # another process was first
                return _secret_in(path)
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(token_hex(32).encode())
        return _secret_in(path)

    @property
    def storage_url(self) -> str:
        """Where what is kept is shared with other machines; empty: nowhere."""
        return os.environ.get("NBA_STORAGE_URL") or self.settings.storage_url

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI."""
        return (
            os.environ.get("NBA_TRACKING_URI")
            or self.settings.tracking_uri
            or f"sqlite:///{self.data / 'mlflow.db'}"
        )

    @property
    def runs(self) -> Path:
        """Where the scores, plan and manifest of each nightly run lie, by its day."""
        return self.data / "runs"

    def run_folder(self, as_of: str) -> Path:
        """Return where the scores, plan and manifest of one `as_of` lie."""
        return self.runs / as_of

    def config_digest(self) -> str:
        """Return a digest of what a night reads of what people edit: settings and YAML files."""
        digest = hashlib.sha256((self.root / SETTINGS_FILE).read_bytes())
        for folder in EDITABLE_FOLDERS[:3]:
            for path in sorted((self.root / folder).rglob("*.yaml")):
                digest.update(str(path.relative_to(self.root)).encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def _secret_in(path: Path) -> bytes:
    """Return what a file of a secret holds; another process may be about to write it.

    Raises
    ------
    ConfigError
        Where it stays empty: what is hashed without a secret can be guessed.
    """
    for _ in range(_SECRET_TRIES):
        if content := path.read_bytes():
            return content
        sleep(0.01)
    raise ConfigError(
        f"the project's secret {path} is empty",
        expected="a secret of 64 characters",
        found="0 bytes",
        next_step="put the file back from a copy; where there is none and nobody was erased yet, "
        "delete it: the next call makes a new one",
    )


def read_yaml(path: Path) -> dict[str, object]:
    """Return the mapping in a YAML file; a `ConfigError` with file and line otherwise."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"cannot read {path}",
            expected="a YAML file in UTF-8",
            found=str(error),
            next_step="correct the file",
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"cannot read {path}",
            expected="a mapping of names to values",
            found=type(content).__name__,
            next_step="correct the file",
        )
    return content


def read_settings(path: Path) -> Settings:
    """Read `nba.yaml`; all its problems in one `ConfigError`."""
    try:
        return Settings.model_validate(read_yaml(path))
    except ValidationError as error:
        raise validation_problems(
            f"{path} has wrong settings", error, Settings, page="docs/settings.md"
        ) from error
