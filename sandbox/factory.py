"""Puts the outside world together: one Flask application, its memory loaded from the journals."""

from flask import Flask

from sandbox import bank_http, gateway_sms, page, phones
from sandbox.bank import Bank
from sandbox.billers import counter
from sandbox.billers.agenda import Agenda
from sandbox.billers.customers import Country
from sandbox.billers.families import open_all
from sandbox.billers.family import World
from sandbox.billers.kinds import kinds_of
from sandbox.delivery import DeliveryReports
from sandbox.events import Events
from sandbox.faults import FaultBook
from sandbox.handset import Handset
from sandbox.journal import Journal
from sandbox.messages import Messages
from sandbox.settings import Settings
from sandbox.ussd import Operator

_LARGEST_REQUEST = 1_000_000  # bytes


def create_app(settings: Settings) -> Flask:
    """The sandbox as a WSGI application. Its state is in memory, so one process serves it."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_REQUEST
    app.config["STILL_SERVING"] = lambda: True  # the server puts its own answer here
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's provider has it, its base class not

    events = Events()
    kinds = {code: kinds_of(account) for code, account in settings.billers.items()}
    faults = FaultBook(kinds, lambda: events.publish("faults", None))
    messages = Messages(Journal(settings.data / "sms.jsonl"), events)
    screens = Journal(settings.data / "screens.jsonl")
    operator = Operator(settings)
    billers = open_all(settings.billers, _world(settings, faults, events))

    def new_handset(msisdn: str) -> Handset:
        return Handset(
            msisdn,
            settings=settings,
            operator=operator,
            screens=screens,
            faults=faults,
            changed=lambda state: events.publish("phone", state),
        )

    reports = DeliveryReports(settings.kibanda_url, settings.callback_token)
    app.register_blueprint(gateway_sms.blueprint(settings, messages, reports, faults))
    bank = Bank(
        Journal(settings.data / "bank.jsonl"), settings.bank_currency, settings.bank_opening
    )
    app.register_blueprint(bank_http.blueprint(bank))
    app.register_blueprint(counter.blueprint(billers, faults, events))
    app.register_blueprint(phones.blueprint(phones.Phones(new_handset), messages, screens))
    app.register_blueprint(page.blueprint(settings, faults, events, billers))
    return app


def _world(settings: Settings, faults: FaultBook, events: Events) -> World:
    country = Country(
        region=settings.region,
        timezone=settings.timezone,
        currency=settings.bank_currency,
        exponent=settings.exponent,
    )
    return World(
        data=settings.data,
        country=country,
        faults=faults,
        agenda=Agenda(),
        changed=lambda code: events.publish("sales", {"biller": code}),
    )
