"""L1: one typed table of settings, and the only reader of the environment.

`README.md` shows this table; a test compares the two.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEMO_AT_KEY = "demo-at-key"
DEMO_AT_USERNAME = "sandbox"
DEMO_TOKEN = "demo"  # noqa: S105 - the demo market's public callback token, refused elsewhere
DEMO_KEY = base64.b64encode(b"kibanda-demo-key-never-for-money").decode()
SECRET_MIN_CHARS = 32
FLOOD_MOST = 1_000_000


class BillerCredentials(BaseModel):
    """Where a biller is and who we are there.

    `url` begins with https://, tls:// (ISO 8583) or file:// (a folder for the day's files), in the
    demo also with http:// and tcp://. `webhook_secret` signs what the biller tells us by itself.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    url: str
    username: str
    api_key: SecretStr
    webhook_secret: SecretStr = SecretStr("")


class Settings(BaseSettings):
    """Every setting, from environment variables of the same name in capitals.

    A value that is refused is not quoted: it may be a key, and the refusal ends in a log.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: str = Field(
        "postgresql://kibanda_app@127.0.0.1/kibanda",
        description="PostgreSQL address of the application's role `kibanda_app`",
    )
    migration_database_url: str = Field(
        "", description="PostgreSQL address of the owner `kibanda_owner`; only `migrate` uses it"
    )
    backup_database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL address of a role with REPLICATION; only `backup` uses it",
    )
    wal_archive: str = Field(
        "",
        description="folder of archived WAL, which `restore` reads; `make run` archives into it",
    )
    postgres_bin: str = Field(
        "", description="folder of PostgreSQL's programs for `backup`, `restore`; empty: in PATH"
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="Redis 6.2 or newer; `noeviction` and AOF on"
    )
    kibanda_market: str = Field(
        "demo", description="name of a market in `app/markets/`, or the path of a market file"
    )
    callback_token: SecretStr = Field(
        SecretStr(DEMO_TOKEN),
        description="secret in the callback addresses; outside the demo at least 32 characters",
    )
    callback_allowed_ips: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="comma list of addresses or networks that may call back; empty: all"
    )
    trusted_proxies: int = Field(
        0, ge=0, le=5, description="how many reverse proxies stand before the web process"
    )
    number_hops_a_second: int = Field(
        10,
        ge=1,
        le=FLOOD_MOST,
        description="hops that one number may send, counted over ten seconds; more get a sentence",
    )
    number_dials_a_minute: int = Field(
        30, ge=1, le=FLOOD_MOST, description="sessions that one number may begin"
    )
    gateway_dials_a_second: int = Field(
        300,
        ge=1,
        le=FLOOD_MOST,
        description="sessions that may begin at one gateway: what your machines carry; open ones"
        " go on",
    )
    stranger_tries_a_minute: int = Field(
        300,
        ge=1,
        le=FLOOD_MOST,
        description="wrong callback tokens from one address; more get 429; the right one passes",
    )
    pin_spray_people: int = Field(
        100,
        ge=2,
        le=FLOOD_MOST,
        description="so many people whose last PIN within ten minutes was wrong are an alarm, and"
        " wrong PINs are answered late",
    )
    pin_keys: SecretStr = Field(
        SecretStr(f"1:{DEMO_KEY}"),
        description="comma list of `version:base64 of 32 bytes`; the highest version seals PINs",
    )
    session_key: SecretStr = Field(
        SecretStr(DEMO_KEY), description="base64 of 32 bytes; keys the hashes of USSD input"
    )
    at_username: str = Field(DEMO_AT_USERNAME, description="Africa's Talking username")
    at_api_key: SecretStr = Field(SecretStr(DEMO_AT_KEY), description="Africa's Talking API key")
    at_api_url: str = Field(
        "", description="base address of Africa's Talking's API; empty: the package's own"
    )
    at_sender_id: str = Field("", description="sender name of our SMS; empty: the account's own")
    biller_credentials: dict[str, BillerCredentials] = Field(
        default_factory=dict,
        description="JSON: a biller's `credentials` in the market file, else its code, to `url`,"
        " `username`, `api_key` and, where it calls back, `webhook_secret`",
    )
    reconcile_folder: str = Field(
        "",
        description="folder with one for each biller, into which its daily files come; empty: they"
        " come by `reconcile` only",
    )
    web_threads: int = Field(16, ge=2, le=256, description="threads of one web process")
    web_workers: int = Field(2, ge=1, le=64, description="web processes")
    menu_overlap_seconds: int = Field(
        60,
        ge=0,
        le=3600,
        description="when the menus of a release are first used, new sessions begin with the"
        " previous ones for this long: longer than a rolling restart",
    )
    port: int = Field(8000, ge=1, le=65535, description="port of the web process")
    prometheus_multiproc_dir: str = Field(
        "", description="empty folder where all processes of a machine add up their metrics"
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="log level")
    kibanda_failpoint: str = Field(
        "", description="kill harness only: the failpoint to arm; demo market only"
    )
    kibanda_pin: SecretStr | None = Field(
        None, description="`ussd transcript` only: what `{pin}`, `{pin2}` stand for, a comma list"
    )
    kibanda_staff_session: SecretStr | None = Field(
        None, description="commands of staff only: the session that `staff login` gave"
    )

    @field_validator("callback_allowed_ips", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, tuple):
            for part in value:
                ipaddress.ip_network(part, strict=False)
        return value

    @model_validator(mode="after")
    def _keys_are_readable(self) -> Settings:
        _ = self.pin_key_ring, self.session_key_bytes
        return self

    @cached_property
    def pin_key_ring(self) -> dict[int, bytes]:
        """Key version to 32 bytes."""
        ring: dict[int, bytes] = {}
        for part in self.pin_keys.get_secret_value().split(","):
            version, _, key = part.strip().partition(":")
            if not version.isdecimal():
                raise ValueError("PIN_KEYS is a comma list of `version:base64 of 32 bytes`")
            ring[int(version)] = _key_bytes(key, "PIN_KEYS")
        return ring

    @cached_property
    def session_key_bytes(self) -> bytes:
        return _key_bytes(self.session_key.get_secret_value(), "SESSION_KEY")

    def refuse_demo_secrets(self) -> None:
        """Outside a demo market the published demo secrets are worth nothing.

        Raises ValueError naming the setting to change.
        """
        if len(self.callback_token.get_secret_value()) < SECRET_MIN_CHARS:
            raise ValueError("CALLBACK_TOKEN must have at least 32 characters outside the demo")
        for name, value in (("PIN_KEYS", self.pin_keys), ("SESSION_KEY", self.session_key)):
            if DEMO_KEY in value.get_secret_value():
                raise ValueError(f"{name} must not be the published demo key outside the demo")
        if self.at_username == DEMO_AT_USERNAME:
            raise ValueError("AT_USERNAME must not be `sandbox` outside the demo: it sends nothing")
        if self.at_api_key.get_secret_value() == DEMO_AT_KEY:
            raise ValueError("AT_API_KEY must not be the published demo key outside the demo")
        if self.at_api_url and not self.at_api_url.startswith("https://"):
            raise ValueError("AT_API_URL must begin with https:// outside the demo")
        if self.kibanda_failpoint:
            raise ValueError("KIBANDA_FAILPOINT is for the demo market only")


def _key_bytes(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} is not base64") from error
    if len(key) != 32:
        raise ValueError(f"{name} needs base64 of exactly 32 bytes")
    return key
