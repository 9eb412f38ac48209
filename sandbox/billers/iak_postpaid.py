"""The IAK-like family, postpaid: an inquiry gives a number, which is then paid, exactly."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox.billers.accounts import BillerAccount, Product
from sandbox.billers.customers import Line, total
from sandbox.billers.family import Answer, Asked, Call, Reply, World, by_test_number
from sandbox.billers.iak import FAILED, MESSAGES, NOT_FORMED, Iak, status_of, word_of
from sandbox.billers.inquiries import Inquiry
from sandbox.billers.till import DEPOSIT, NoDepositError, NotFormedError
from sandbox.billers.transactions import Order, Transaction


class IakPostpaid(Iak):
    """Bills."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._asked = self._inquiries(world)

    def call(self, method: str, path: str) -> Call | None:
        here = (method, path) == ("POST", "/api/v1/bill/check")
        return Call("transaction", self._command) if here else None

    def name_of_call(self, asked: Asked) -> str:
        names = {"inq-pasca": "inquiry", "checkstatus": "status"}
        return names.get(asked.text("commands"), "transaction")

    def knows(self, asked: Asked) -> bool:
        if "code" in asked.body:
            return self.account.product(asked.body["code"]) is not None
        number = asked.body.get("tr_id", asked.body.get("ref_id"))
        return self._asked.get(str(number)) is not None

    def _command(self, asked: Asked) -> Reply:
        acts = {"inq-pasca": self._inquire, "pay-pasca": self._pay, "checkstatus": self._check}
        act = acts.get(asked.text("commands"))
        return act(asked) if act else self._turned_away(asked, "205")

    def _inquire(self, asked: Asked) -> Reply:
        ref_id, code, customer_no = asked.text("ref_id"), asked.text("code"), asked.text("hp")
        product = self.account.product(code)
        refusal = self._refusal(asked, ref_id, "ref_id", "code", "hp")
        refusal = refusal or ("" if product else "20")
        if refusal or product is None:
            return self._turned_away(asked, refusal)
        if self._refuses_inquiry():
            return self._turned_away(asked, "37", 200)
        earlier = self._asked.get(ref_id)
        if earlier is not None:
            if (code, customer_no) != (earlier["sku"], earlier["customer_no"]):
                return self._turned_away(asked, "11")
            return self._told(self._bill(earlier))
        if not self.customers.exists(product, customer_no):
            return self._turned_away(asked, "14", 200)
        lines = self.customers.owed(product, customer_no)
        if not lines:
            return self._turned_away(asked, "01", 200)
        return self._told(self._bill(self._keep(ref_id, product, customer_no, lines)))

    def _keep(
        self, ref_id: str, product: Product, customer_no: str, lines: tuple[Line, ...]
    ) -> Inquiry:
        tr_id = next(self._numbers)
        inquiry = {
            "tr_id": tr_id,
            "ref_id": ref_id,
            "sku": product.sku,
            "customer_no": customer_no,
            "owed": int(total(lines)),
            "detail": [_detail(line) for line in lines],
        }
        return self._asked.keep(ref_id, inquiry, also=str(tr_id))

    def _pay(self, asked: Asked) -> Reply:
        tr_id = asked.body.get("tr_id")
        number = str(tr_id) if type(tr_id) is int else ""
        refusal = self._refusal(asked, number) if number else "205"
        if refusal:
            return self._turned_away(asked, refusal)
        inquiry = self._asked.get(number)
        if inquiry is None:
            return self._turned_away(asked, "06")
        try:
            sale = self.till.sell(self._order(inquiry))
        except NoDepositError:
            return self._turned_away(inquiry, "17")
        except NotFormedError:
            return self._turned_away(inquiry, "106")
        self._hooks.follow(sale)
        if not sale.new and self.till.is_called_duplicate(inquiry["ref_id"]):
            return self._turned_away(inquiry, "11")
        return self._told(
            self._status(sale.transaction), lost=sale.outcome == "refuse_after_lost_reply"
        )

    def _order(self, inquiry: Inquiry) -> Order:
        product = self.account.product(inquiry["sku"])
        assert product is not None
        customer_no, amount = inquiry["customer_no"], Decimal(inquiry["owed"])
        rc, wait = by_test_number(product, customer_no, "37")

        def judge() -> str:
            return rc if self.customers.owes(product, customer_no) == amount else "37"

        return Order(
            ref_id=inquiry["ref_id"],
            customer_no=customer_no,
            sku=product.sku,
            amount=amount,
            refused="37",
            judge=judge,
            wait=wait,
        )

    def _check(self, asked: Asked) -> Reply:
        ref_id = asked.text("ref_id")
        refusal = self._refusal(asked, "cs", "ref_id")
        if refusal:
            return self._turned_away(asked, refusal)
        paid, inquiry = self.till.find(ref_id), self._asked.get(ref_id)
        if paid is not None:
            return self._told(self._status(paid))
        if inquiry is None:
            return self._turned_away(asked, "06")
        answer = {**self._bill(inquiry), "noref": "", "balance": int(DEPOSIT)}
        return self._told(answer | _said("42"))

    def _status(self, transaction: Transaction) -> dict[str, Any]:
        rc = word_of(transaction)
        rc = "37" if rc == FAILED else rc
        inquiry = self._asked.get(transaction.ref_id)
        assert inquiry is not None
        paid = {
            "noref": transaction.receipt if rc == "00" else "",
            "balance": int(transaction.saldo),
        }
        return {**self._bill(inquiry), **paid, **_said(rc)}

    def _bill(self, inquiry: Inquiry) -> dict[str, Any]:
        detail = inquiry["detail"]
        return {
            "tr_id": inquiry["tr_id"],
            "code": inquiry["sku"],
            "hp": inquiry["customer_no"],
            "tr_name": self.customers.name(inquiry["customer_no"]),
            "period": ",".join(one["periode"] for one in detail if one["periode"]),
            "nominal": inquiry["owed"],
            "admin": 0,
            "ref_id": inquiry["ref_id"],
            "response_code": "00",
            "message": "INQUIRY SUCCESS",
            "price": inquiry["owed"],
            "selling_price": inquiry["owed"],
            "desc": {"lembar_tagihan": len(detail), "tagihan": {"detail": detail}},
        }

    def _told_back(self, transaction: Transaction) -> dict[str, Any]:
        data = self._status(transaction)
        texts = {name: str(data[name]) for name in ("status", "price", "balance", "tr_id")}
        return {**data, **texts}

    def _told(self, data: dict[str, Any], *, lost: bool = False) -> Reply:
        return Reply({"data": data, "meta": []}, lost=lost)

    def _turned_away(
        self, asked: Asked | Mapping[str, Any], rc: str, status: int = NOT_FORMED
    ) -> Reply:
        body = asked.body if isinstance(asked, Asked) else asked
        data = {
            "tr_id": body.get("tr_id", 0),
            "ref_id": body.get("ref_id", ""),
            "code": body.get("code", body.get("sku", "")),
            "hp": body.get("hp", body.get("customer_no", "")),
            **_said(rc),
        }
        answer: Answer = {"data": data, "meta": []}
        return Reply(answer, status)


def _said(rc: str) -> dict[str, Any]:
    return {"status": status_of(rc), "response_code": rc, "message": MESSAGES[rc]}


def _detail(line: Line) -> dict[str, Any]:
    return {
        "periode": line.period,
        "nilai_tagihan": int(line.amount),
        "admin": 0,
        "denda": int(line.penalty),
        "total": int(line.total),
    }
