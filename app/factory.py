"""L8: assembly. `build_runtime` makes the parts of a process, `create_app` hangs views on them."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app import cli, failpoints, health, markets, memory, telemetry
from app.bell import Bell
from app.billers import protocols
from app.billers.inquiries import Inquiries
from app.db import TRANSACT_SECONDS, Database
from app.gateways.africastalking_sms import AfricasTalkingSms
from app.gateways.table import USSD
from app.runtime import Runtime
from app.sealing import Sealer
from app.settings import Settings
from app.text import Catalogues, known_languages
from app.ussd.engine import Engine
from app.ussd.floods import HOPS_WINDOW_MS, Most
from app.ussd.hop import Surroundings
from app.ussd.menus import books
from app.ussd.menus.services import Services
from app.ussd.session import SessionStore
from app.wallet.codes import Codes
from app.wallet.pins import Pins
from app.web import BODY_BYTES_MOST, billers, callbacks, status

# A hop ends within two seconds whatever the database does; the rest is for the way and the session.
HOP_TRANSACT_SECONDS = 1.6
REFUSED = 4  # says to gunicorn that no other worker will do better


def build_runtime(
    settings: Settings | None = None,
    *,
    pool_size: int | None = None,
    transact_seconds: float = TRANSACT_SECONDS,
) -> Runtime:
    """The parts of one process. Nothing connects until it is used.

    `pool_size`: how many threads use the database at a time, if not those of the web.
    Raises MarketError for a market file that cannot be used and ValueError for settings that
    must not go live.
    """
    settings = settings or Settings()
    telemetry.configure(settings.log_level)
    market = markets.load(
        settings.kibanda_market, known={"gateways": USSD, "languages": known_languages()}
    )
    if not market.demo:
        settings.refuse_demo_secrets()
    if settings.kibanda_failpoint:
        failpoints.arm(settings.kibanda_failpoint)
    bell = Bell(settings.redis_url)
    db = Database(
        settings.database_url,
        pool_size=pool_size or settings.web_threads,
        ring=bell.ring,
        seconds=transact_seconds,
    )
    health.guard(db.engine)
    sealer = Sealer(settings.pin_key_ring)
    catalogues = Catalogues(market.languages)
    pins = Pins(sealer, market.pin)
    codes = Codes(settings.pin_key_ring)
    wires = protocols.wires(market, settings)
    inquiries = Inquiries(db, market, wires)
    services = Services(
        db=db,
        pins=pins,
        codes=codes,
        inquiries=inquiries,
        spray_people=settings.pin_spray_people,
    )
    around = Surroundings(services, market, catalogues, sealer, lambda: datetime.now(UTC))
    most = Most(
        number_hops=settings.number_hops_a_second * HOPS_WINDOW_MS // 1000,
        number_dials=settings.number_dials_a_minute,
        gateway_dials=settings.gateway_dials_a_second,
    )
    sessions = SessionStore(settings.redis_url, settings.session_key_bytes, most=most)
    engine = Engine(
        books(market),
        around,
        sessions,
        wait_places=max(1, settings.web_threads // 4),
        overlap_seconds=settings.menu_overlap_seconds,
    )
    return Runtime(
        settings=settings,
        market=market,
        catalogues=catalogues,
        db=db,
        bell=bell,
        pins=pins,
        codes=codes,
        sms_gateway=AfricasTalkingSms.from_settings(settings),
        wires=wires,
        inquiries=inquiries,
        sessions=sessions,
        engine=engine,
    )


def create_app(
    settings: Settings | None = None, *, transact_seconds: float = TRANSACT_SECONDS
) -> Flask:
    """The Flask app of the web process and of the command line.

    Raises as `build_runtime` does; for a command that becomes its last line.
    """
    try:
        runtime = build_runtime(settings, transact_seconds=transact_seconds)
    except ValueError as error:
        if click.get_current_context(silent=True) is None:
            raise
        raise click.ClickException(str(error)) from error
    app = Flask("app")
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MOST
    app.extensions["kibanda"] = runtime
    app.register_blueprint(callbacks.blueprint(runtime))
    app.register_blueprint(billers.blueprint(runtime))
    app.register_blueprint(status.blueprint(runtime))
    cli.register(app)
    if runtime.settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=runtime.settings.trusted_proxies
        )
    return app


def create_web() -> Flask:
    """`create_app` for the web server, which ends, and logs why, where `go_live` raises."""
    memory.keep_no_large_blocks()
    try:
        app = create_app(transact_seconds=HOP_TRANSACT_SECONDS)
        go_live(app.extensions["kibanda"])
    except (ValueError, health.Unfit) as error:
        telemetry.log.error("start_refused", reason=str(error))
        raise SystemExit(REFUSED) from error
    return app


def go_live(runtime: Runtime) -> None:
    """For processes that handle money: a fit database role, durability, every biller's wire.

    Raises health.Unfit, and ValueError naming a biller without credentials.
    """
    health.check_role_and_durability(runtime.db.engine)
    protocols.refuse_missing_credentials(runtime.market, runtime.settings)
