"""Puts the outside world together: one Flask application, its memory loaded from the journals."""

from flask import Flask

from sandbox import bank_http, biller_http, gateway_sms, page, phones
from sandbox.bank import Bank
from sandbox.biller import Biller
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
    faults = FaultBook(settings.billers, lambda: events.publish("faults", None))
    messages = Messages(Journal(settings.data / "sms.jsonl"), events)
    screens = Journal(settings.data / "screens.jsonl")
    operator = Operator(settings)
    billers = {
        code: Biller(
            code,
            account,
            Journal(settings.data / f"biller-{code}.jsonl"),
            faults,
            settings.region,
        )
        for code, account in settings.billers.items()
    }

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
    app.register_blueprint(biller_http.blueprint(billers, faults, events))
    app.register_blueprint(phones.blueprint(phones.Phones(new_handset), messages, screens))
    app.register_blueprint(page.blueprint(settings, faults, events, billers))
    return app
