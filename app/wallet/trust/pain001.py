"""Payment orders as the bank reads them: ISO 20022 `pain.001.001.03`, customer credit transfer.

The same orders give the same bytes, message id included: a bank that gets a file twice sees it. The
end-to-end id is the order's reference; the bank's statement repeats it, and `trust match` finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import blake2b
from typing import Any
from xml.etree import ElementTree as ET

from app.money import Currency
from app.wallet.trust.orders import SettlementOrder

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"
ORDERS_MOST = 1000
Party = Mapping[str, Any]


def document(orders: Sequence[SettlementOrder], currency: Currency, execute_on: date) -> bytes:
    """One payment of all these orders, which have one debtor; not empty."""
    total = _amount(sum(order.amount_minor for order in orders), currency)
    root = ET.Element("Document", xmlns=NAMESPACE)
    message = _under(root, "CstmrCdtTrfInitn")
    header = _under(message, "GrpHdr")
    _under(header, "MsgId", message_id(orders))
    made_at = max(order.made_at for order in orders)
    _under(header, "CreDtTm", made_at.strftime("%Y-%m-%dT%H:%M:%S"))
    _under(header, "NbOfTxs", str(len(orders)))
    _under(header, "CtrlSum", total)
    _under(_under(header, "InitgPty"), "Nm", orders[0].debtor["name"])
    payment = _under(message, "PmtInf")
    _under(payment, "PmtInfId", message_id(orders))
    _under(payment, "PmtMtd", "TRF")
    _under(payment, "NbOfTxs", str(len(orders)))
    _under(payment, "CtrlSum", total)
    _under(payment, "ReqdExctnDt", execute_on.isoformat())
    _debtor(payment, orders[0].debtor, currency)
    for order in orders:
        _transfer(payment, order, currency)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def message_id(orders: Sequence[SettlementOrder]) -> str:
    """At most 35 characters; the same orders have the same."""
    if len(orders) == 1:
        return orders[0].reference
    names = ",".join(sorted(order.reference for order in orders))
    return f"{len(orders)}-{blake2b(names.encode(), digest_size=12).hexdigest()}"


def _debtor(payment: ET.Element, party: Party, currency: Currency) -> None:
    _under(_under(payment, "Dbtr"), "Nm", party["name"])
    account = _account(payment, "DbtrAcct", party)
    _under(account, "Ccy", currency.code)
    _agent(payment, "DbtrAgt", party)


def _transfer(payment: ET.Element, order: SettlementOrder, currency: Currency) -> None:
    transfer = _under(payment, "CdtTrfTxInf")
    _under(_under(transfer, "PmtId"), "EndToEndId", order.reference)
    amount = _under(_under(transfer, "Amt"), "InstdAmt", _amount(order.amount_minor, currency))
    amount.set("Ccy", order.currency)
    _agent(transfer, "CdtrAgt", order.creditor)
    _under(_under(transfer, "Cdtr"), "Nm", order.creditor["name"])
    _account(transfer, "CdtrAcct", order.creditor)
    _under(_under(transfer, "RmtInf"), "Ustrd", f"Settlement {order.reference}")


def _account(above: ET.Element, name: str, party: Party) -> ET.Element:
    account = _under(above, name)
    number = _under(account, "Id")
    if party["iban"]:
        _under(number, "IBAN", party["iban"])
    else:
        _under(_under(number, "Othr"), "Id", party["account"])
    return account


def _agent(above: ET.Element, name: str, party: Party) -> None:
    bank = _under(_under(above, name), "FinInstnId")
    if party["bic"]:
        _under(bank, "BIC", party["bic"])
    else:
        _under(_under(bank, "ClrSysMmbId"), "MmbId", party["bank_code"])


def _under(above: ET.Element, name: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(above, name)
    element.text = text
    return element


def _amount(minor: int, currency: Currency) -> str:
    major, rest = divmod(minor, currency.minor_per_major)
    return f"{major}.{rest:0{currency.exponent}d}" if currency.exponent else str(major)
