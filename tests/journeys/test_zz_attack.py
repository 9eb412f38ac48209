from __future__ import annotations
import re, secrets, json
from datetime import UTC, datetime, timedelta
import psycopg, redis, requests
from sqlalchemy import text
from app.cli.demo import DemoPerson, add
from app import msisdn as numbers
from app.wallet import agents, people, resets, registration
from app.wallet.keys import new_key
from tests.gateway_client import Session
from tests.journeys.cast import Cast, _code
from tests.people import fresh_meter, fresh_msisdn
from tests.world import wait_for, Phone
PIN = "7391"

class W:
    def __init__(self, world, runtime):
        self.world, self.rt = world, runtime
        self.admin_url = world.migration_database_url
    def add(self, role="customer", money=1_000_000, name="Amina Wanjiru", lang="en", above=None):
        m = fresh_msisdn()
        add(self.rt.db, self.rt.pins, self.rt.market, DemoPerson(m, name, lang, role, money), datetime.now(UTC), above=above)
        return m
    def s(self, m): return Session(self.world, m)
    def p(self, m): return self.rt.db.transact(lambda s: people.find(s, m))
    def code(self, m): return self.rt.db.transact(lambda s: _code(s, m))
    def agent(self, m): return self.rt.db.transact(lambda s: agents.of_person(s, people.find(s, m).id))
    def run(self, fn): return self.rt.db.transact(fn)
    def sms(self, m): return [x["text"] for x in self.world.inbox(m)]
    def wait(self, m, pat):
        def look():
            for t in self.sms(m):
                f = re.search(pat, t)
                if f: return f
        return wait_for(look, 15, pat)
    def sql(self, q, *a):
        with psycopg.connect(self.admin_url.replace("+psycopg",""), autocommit=True) as c:
            cur = c.execute(q, a)
            return cur.fetchall() if cur.description else None
    def errors(self):
        out = [l for l in self.world.logs().splitlines() if "ussd_hop_failed" in l or "MenuError" in l or "too_large" in l]
        new = out[getattr(self, "_n", 0):]; self._n = len(out)
        for l in new: print("   LOG>", l[:420])
    def say(self, label, shown): print(f"--- {label}:\n{shown}"); self.errors()
L = numbers.local

def open_world(world, runtime): 
    w = W(world, runtime); w.errors(); return w

def newcode(w, cust, a, amount="500"):
    have = [m.group(1) for t in w.sms(cust) if (m := re.match(r"Code (\d{6})", t))]
    s = w.s(cust); s.home(); r = s.reply("3", "2", w.code(a), amount, PIN)
    assert "comes by SMS" in r, r
    return wait_for(lambda: (c := [m.group(1) for t in w.sms(cust) if (m := re.match(r"Code (\d{6})", t))]) and len(c) > len(have) and c[-1], 15, "code")



def sizes(w, label, who, path):
    p = Phone(w.world, who); r = p.dial()
    if "Go on" in r: p.reply("2")
    ks = redis.Redis.from_url(w.world.redis_url)
    big = 0
    for t in path:
        if not p.open: print("   SESSION CLOSED before", t, "screen:", r.replace("\n","|")); break
        r = p.reply(t)
        for k in ks.scan_iter("*"):
            if ks.type(k) == b"string":
                v = ks.get(k)
                if v[:1] == b"[" and who.encode() in v:
                    big = max(big, len(v)); data = json.loads(v)[7]
    print(f"   {label}: biggest {big}, data {len(json.dumps(data))} ends:", r.replace("\n", "|")[:60])
    p.drop(); d = p.dial(); print("   offered:", "1" in d and d.replace("\n","|")[:120]); w.errors()
    if p.open: p.drop()



def test_l_last(world, runtime):
    w = open_world(world, runtime)
    from dataclasses import replace
    from datetime import date
    m = runtime.market
    am = ("ተስፋዬ ገብረማርያም ወልደጊዮርጊስ ተክለሃይማኖት ደምሴዎች")[:40].strip()
    for n, lang, name in ((15,"am",am), (25,"am",am), (40,"am",am), (40,"sw","Wanjiru "*5)):
        c = w.add(name=name[:n].strip(), lang=lang, money=900_000); c2 = w.add(name=name[:n].strip(), lang=lang)
        s = w.s(c); s.home(); s.reply("1","1",fresh_meter(),"200",PIN)
        s = w.s(c); s.dial(); last = s.reply("1","1",fresh_meter(),"300")
        print(lang, n, "confirm:", last[:40].replace("\n","|")); r = w.s(c); print("  redial", r.dial()[:90].replace("\n","|")); print("  wrong key", r.reply("7")[:60].replace("\n","|")); print("  go on", r.reply("1")[:60].replace("\n","|")); print("  ok", r.reply("1")[:60].replace("\n","|")); w.errors()
    # two registrations at once
    nob = fresh_msisdn(); a, b = w.s(nob), w.s(nob)
    for s in (a, b): s.dial(); s.reply("1", "1", "Musa Barasa", PIN)
    w.say("reg a", a.reply(PIN)); w.say("reg b", b.reply(PIN))
    # invited while registering himself
    ag = w.add("agent", 2_000_000, "Neema Kiosk")
    nob = fresh_msisdn(); a = w.s(nob); a.dial(); a.reply("1", "1", "Musa Barasa", PIN)
    g = w.s(ag); g.home(); w.say("invite", g.reply("7","1",L(nob),"Peter Wrong","1","12345678",PIN)); w.say("self reg ends", a.reply(PIN))
    # closed
    c = w.add(money=0); s = w.s(c); s.home(); w.run(lambda x: people.close(x, w.p(c).id, datetime.now(UTC))); w.say("closed balance", s.reply("5", PIN)); w.say("closed dials", w.s(c).dial())
    w.sql("select 1")
