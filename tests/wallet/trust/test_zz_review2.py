from __future__ import annotations
import random, threading, time
from datetime import UTC, datetime, timedelta
from uuid import uuid4
import pytest
from sqlalchemy import text
from app import markets
from app.db import Database
from app.errors import DomainError
from app.wallet import commission, ledger, agents
from app.wallet.codes import Codes
from app.wallet.counter import payouts as cpay
from app.wallet.keys import new_key
from app.wallet.transfers import stops, vouchers
from tests.wallet.trust.stage import Stage, now
from tests.wallet.counter.kiosk import Kiosk, with_parent

FILL = """
INSERT INTO transfers (id, reference, kind, payer_account, payee_account, payer_id, payee_id, agent_id, msisdn, currency,
  amount_minor, fee_minor, tax_minor, funded_minor, fee_payer, posting_id, created_at)
SELECT gen_random_uuid(), translate(lpad(upper(to_hex(i)),8,'0'),'ILOU','1101'), CASE WHEN i % 2 = 0 THEN 'cash_in' ELSE 'send' END, :f, 900000+i,
  CASE WHEN i % 2 = 0 THEN NULL ELSE CAST(:p AS uuid) END, NULL, CASE WHEN i % 2 = 0 THEN CAST(:a AS uuid) END, NULL,'KES',100+i,0,0,0,'sender',1000000+i, now() - interval '400 days' + i * interval '1 minute'
FROM generate_series(1,:n) i"""

def test_plans(stage: Stage, owner: Database) -> None:
    agent, p = stage.agent(0), stage.person()
    owner.transact(lambda s: s.execute(text("SET LOCAL statement_timeout=0")) and s.execute(text(FILL), {"f": agent.float_id, "p": p.id, "a": agent.id, "n": 200_000}))
    def fill2(s):
        s.execute(text("""INSERT INTO bank_lines (id,key,amount_minor,currency,booked_on,maker) SELECT 'L'||i, gen_random_uuid(), 1,'KES',current_date,'m' FROM generate_series(1,100000) i"""))
        s.execute(text("""INSERT INTO bank_matches (id,line_id,kind,account_id,reference,proposer,proposed_at,checker,posting_id,confirmed_at) SELECT gen_random_uuid(),'L'||i,'account',1,'R'||i,'a',now(),'b',i,now() FROM generate_series(1,100000) i"""))
        s.execute(text("ANALYZE transfers")); s.execute(text("ANALYZE bank_matches"))
    owner.transact(fill2)
    def plan(q, **v):
        rows = stage.rows("EXPLAIN (ANALYZE, BUFFERS OFF) " + q, **v)
        print("\n".join(r[0] for r in rows)[:1500]); print("---")
    plan("SELECT id FROM transfers WHERE payer_account=:f AND kind='cash_in' AND amount_minor=999999999 AND msisdn IS NOT DISTINCT FROM '+254711000001' AND created_at >= now() - interval '10 minutes' AND reversed_at IS NULL ORDER BY id DESC LIMIT 1", f=agent.float_id)
    plan("SELECT id FROM transfers WHERE payer_id=:p OR payee_id=:p ORDER BY id DESC LIMIT 5", p=p.id)
    plan("SELECT id FROM transfers WHERE payer_id=:p OR payee_id=:p ORDER BY id DESC LIMIT 5", p=agent.person_id)
    plan("SELECT 1 FROM bank_matches WHERE transfer_id=:t AND kind='payout' AND confirmed_at IS NOT NULL", t=uuid4())
    plan("SELECT 1 FROM bank_matches WHERE line_id='L5' AND confirmed_at IS NOT NULL")
    plan("SELECT 1 FROM bank_matches WHERE reference='R99999' LIMIT 1")


@pytest.fixture
def kiosk(stage: Stage) -> Kiosk:
    return Kiosk(stage.db, markets.load("demo"), Codes({1: b"k" * 32}))

def test_storm(kiosk: Kiosk, owner: Database) -> None:
    kiosk.tier("tier0", per_day_minor=10**12, per_month_minor=10**12, per_transaction_minor=10**9, balance_minor=10**12)
    above, a1 = with_parent(kiosk, 10**9)
    a2 = kiosk.agent(10**9, parent=above)
    ps = [kiosk.person(10**7) for _ in range(5)]
    kiosk.operator(10**8)
    stop_at = time.monotonic() + 45
    errors: dict[str, int] = {}
    counts: dict[str, int] = {}
    def ops():
        r = random.Random()
        while time.monotonic() < stop_at:
            a, b = r.sample([a1, a2, above], 2)
            p, q = r.sample(ps, 2)
            amount = r.choice([10_000, 20_000, 50_000])
            op = r.choice(["send", "in", "out", "move", "code", "voucher", "stop", "pay", "instop", "expire", "house", "state"])
            try:
                if op == "send": kiosk.send(p, q, amount)
                elif op == "in": kiosk.cash_in(a, p, amount)
                elif op == "out": kiosk.cash_out(p, a, amount)
                elif op == "move": kiosk.move(a, b, amount)
                elif op == "code":
                    made = kiosk.make_code(p, a, amount)
                    if r.random() < .5:
                        due = kiosk.due(a, p); kiosk.type_code(due, kiosk.digits(made)); kiosk.pay_out(due, a)
                    else:
                        if r.random() < .5: kiosk.cancel_code(made, p.id)
                        else: kiosk.expire_code(made, now() + timedelta(days=1))
                elif op in ("stop", "instop"):
                    v = kiosk.send(p, q, amount) if op == "stop" else kiosk.cash_in(a, p, amount)
                    by = p.id if op == "stop" else a.person_id
                    st = kiosk.run(lambda s: stops.ask(s, kiosk.market, v.id, by=by, now=now()))
                    if r.random() < .7:
                        kiosk.run(lambda s: stops.approve(s, kiosk.market, st.id, by="x", now=now(), top_up_minor=0))
                    elif r.random() < .5: kiosk.run(lambda s: stops.refuse(s, st.id, by="x", now=now()))
                    else: stops.lapse(kiosk.db, now() + timedelta(days=30))
                elif op == "pay":
                    ag = r.choice([a1, a2, above])
                    kiosk.run(lambda s: cpay.pay(s, kiosk.market, ag.id, now() + timedelta(days=r.randint(1, 3))))
                elif op == "voucher":
                    from tests.people import fresh_msisdn
                    from app.wallet.transfers.vouchers import offer, confirm, cancel
                    off = kiosk.run(lambda s: offer(s, kiosk.market, p, fresh_msisdn(), amount, at=now()))
                    iid = kiosk.intent(off, p.id)
                    v = kiosk.run(lambda s: confirm(s, kiosk.market, kiosk.codes, off, intent_id=iid, by=p.id, now=now()))
                    if r.random() < .5: kiosk.run(lambda s: cancel(s, v.id, by=p.id, now=now()))
                    elif r.random() < .5: vouchers.expire(kiosk.db, now() + timedelta(days=60))
                elif op == "house": kiosk.run(ledger.roll_up)
                elif op == "state":
                    if r.random() < .2:
                        kiosk.suspend(a); kiosk.resume(a)
                counts[op] = counts.get(op, 0) + 1
            except DomainError as e:
                counts[op + ":" + e.code] = counts.get(op + ":" + e.code, 0) + 1
            except Exception as e:
                errors[op + type(e).__name__ + str(e)[:200]] = errors.get(op + type(e).__name__ + str(e)[:200], 0) + 1
    ts = [threading.Thread(target=ops) for _ in range(10)]
    [t.start() for t in ts]; [t.join() for t in ts]
    print(counts); print("ERRORS", errors)
    print("deadlocks", owner.transact(lambda s: s.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))))
    print("verify", kiosk.run(ledger.verify))
