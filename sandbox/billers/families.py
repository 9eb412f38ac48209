"""Opens every biller of the settings, each in its family's own way."""

from collections.abc import Callable, Mapping

from sandbox.billers.accounts import BillerAccount
from sandbox.billers.batches import Batches
from sandbox.billers.digiflazz_postpaid import DigiflazzPostpaid
from sandbox.billers.digiflazz_prepaid import DigiflazzPrepaid
from sandbox.billers.family import Biller, World
from sandbox.billers.iak_postpaid import IakPostpaid
from sandbox.billers.iak_prepaid import IakPrepaid
from sandbox.billers.iso_line import Switch
from sandbox.billers.xendit import Xendit

_FAMILIES: Mapping[str, Callable[[BillerAccount, World], Biller]] = {
    "digiflazz_prepaid": DigiflazzPrepaid,
    "digiflazz_postpaid": DigiflazzPostpaid,
    "iak_prepaid": IakPrepaid,
    "iak_postpaid": IakPostpaid,
    "xendit": Xendit,
    "iso8583": Switch,
    "file": Batches,
}


def open_all(accounts: Mapping[str, BillerAccount], world: World) -> dict[str, Biller]:
    """The billers by code; from now on they answer."""
    billers = {
        code: _FAMILIES[account.family](account, world) for code, account in accounts.items()
    }
    for biller in billers.values():
        biller.open()
    return billers
