"""L7: the assembled parts of one process, made by the factory for web, workers and commands."""

from __future__ import annotations

from dataclasses import dataclass

from app.bell import Bell
from app.billers.inquiries import Inquiries
from app.billers.protocols import Family
from app.db import Database
from app.gateways.africastalking_sms import AfricasTalkingSms
from app.markets import Market
from app.settings import Settings
from app.text import Catalogues
from app.ussd.engine import Engine
from app.ussd.menus.services import Services
from app.ussd.session import SessionStore
from app.wallet.codes import Codes
from app.wallet.pins import Pins


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that is made once a process."""

    settings: Settings
    market: Market
    catalogues: Catalogues
    db: Database
    bell: Bell
    pins: Pins
    codes: Codes
    sms_gateway: AfricasTalkingSms
    wires: dict[str, Family]
    inquiries: Inquiries
    sessions: SessionStore
    engine: Engine[Services]
