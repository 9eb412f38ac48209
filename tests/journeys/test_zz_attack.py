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


def test_e_history_words(world, runtime):
    w = open_world(world, runtime)
    a = w.add("agent", 2_000_000, "Neema Kiosk"); c1 = w.add(); c2 = w.add(name="Juma Otieno", money=0)
    print("c1", L(c1), "c2", L(c2))
    s = w.s(c1); s.home(); s.reply("2", L(c2), "300", PIN)
    s = w.s(a); s.home(); s.reply("1", L(c2), "500", PIN)
    s = w.s(c2); s.home(); s.reply("3", "1", w.code(a), "100", PIN)
    s = w.s(c2); s.home(); w.say("list c2", s.reply("4"))
    for k in "123":
        s = w.s(c2); s.home(); w.say("c2 detail "+k, s.reply("4", k))
    nob = fresh_msisdn(); s = w.s(c1); s.home(); s.reply("2", L(nob), "100", PIN)
    r = w.s(nob); r.dial(); r.reply("1","1","Musa Barasa", PIN, PIN)
    s = w.s(nob); s.dial(); w.say("nob detail", s.reply("4", "1")); print("nob", L(nob))
    s = w.s(a); s.home(); w.say("agent own history", s.reply("9","4"))
    s = w.s(a); w.say("agent dials shortcut", s.post(f"51*{fresh_meter()}*200").text)
    # own code
    s = w.s(a); s.home(); w.say("own code withdraw", s.reply("9", "3", "1", w.code(a))); w.say("amount", s.reply("100"))
    s = w.s(a); s.home(); w.say("own code float", s.reply("5", "2", w.code(a))); w.say("amount", s.reply("100"))
    # open withdrawal dead end
    newcode(w, c1, a)
    s = w.s(c1); s.home(); w.say("second code", s.reply("3", "2", w.code(a), "500")); w.say("pin", s.reply(PIN))

def test_f_right_code_lost(world, runtime):
    w = open_world(world, runtime)
    a = w.add("agent", 2_000_000, "Neema Kiosk"); c1 = w.add(money=5_000_000)
    code = newcode(w, c1, a)
    for i in range(4):
        p = Phone(world, a); r = p.dial()
        if "Go on" in r: print("offered resume!", r); p.reply("2")
        for t in ("2", L(c1), code): r = p.reply(t)
        w.say(f"right code {i}", r); p.drop()
    s = w.s(c1); s.home(); w.say("customer wants another", s.reply("3", "2", w.code(a), "500", PIN))
    nob = fresh_msisdn(); s = w.s(c1); s.home(); s.reply("2", L(nob), "100", PIN)
    vc = w.wait(nob, r"Code (\d{8})").group(1)
    for i in range(6):
        s = w.s(a); s.home(); w.say(f"right voucher {i}", s.reply("4", L(nob), vc))
    # resume on each confirm
    c2 = w.add(name="Juma Otieno")
    for label, who, path in [("send", c1, ("2", L(c2), "100")), ("voucher", c1, ("2", L(fresh_msisdn()), "100")), ("cashout", c1, ("3","1", w.code(a), "100")),
          ("cash_in", a, ("1", L(c2), "100")), ("walkin bill", a, ("3", "1", fresh_meter(), L(c2), "200"))]:
        p = Phone(world, who); r = p.dial()
        if "Go on" in r: p.reply("2")
        for t in path: r = p.reply(t)
        w.say(label + " at confirm", r); p.drop()
        w.say(label + " redial", p.dial()); w.say("go on", p.reply("1")); w.say("ok", p.reply("1")); w.say("pin", p.reply(PIN)); 
        if p.open: w.say("00", p.reply("00"))

def test_g_counter_stale(world, runtime):
    w = open_world(world, runtime)
    a = w.add("agent", 2_000_000, "Neema Kiosk"); c1 = w.add()
    w.sql("select 1")
    s = w.s(a); s.home(); w.say("counter", s.reply("3","1", fresh_meter())); w.say("own no", s.reply(L(a))); w.say("cust", s.reply(L(c1))); w.say("amt", s.reply("200"))
    w.say("00", s.reply("00")); w.say("own", s.reply("9")); w.say("bill", s.reply("1", "1", fresh_meter())); w.say("amt", s.reply("200")); w.say("pin", s.reply(PIN))
    # suspended agent resumes
    p = Phone(world, a); p.dial()
    for t in ("3", "1", fresh_meter(), L(c1), "200"): r = p.reply(t)
    w.say("confirm", r); p.drop()
    w.run(lambda x: agents.set_state(x, w.agent(a).id, "suspended"))
    w.say("redial", p.dial()); w.say("on", p.reply("1")); w.say("go", p.reply("1")); w.say("00", p.reply("00")); w.say("5", p.reply("5")); 
    w.run(lambda x: agents.set_state(x, w.agent(a).id, "active"))
    # one session: send -> back -> voucher -> withdraw
    c2 = w.add(name="Juma Otieno"); nob = fresh_msisdn()
    s = w.s(c1); s.home(); s.reply("2", L(c2), "100"); w.say("back", s.reply("0")); w.say("back2", s.reply("0")); w.say("voucher", s.reply(L(nob))); w.say("amt", s.reply("150"))
    w.say("00", s.reply("00")); w.say("cash", s.reply("3","1", w.code(a), "250")); w.say("wrong", s.reply("1111")); w.say("back", s.reply("0")); w.say("amount", s.reply("260")); w.say("PIN", s.reply(PIN))
    # two sessions of same person
    s1, s2 = w.s(c1), w.s(c1); s1.home(); s1.reply("2", L(c2), "120"); s2.home(); s2.reply("2", L(c2), "120"); w.say("s2", s2.reply(PIN)); w.say("s1", s1.reply(PIN))
    s1, s2 = w.s(c1), w.s(c1); s1.home(); s1.reply("2", L(c2), "130"); w.say("s1 wrong", s1.reply("1111")); s2.home(); w.say("s1 right after redial", s1.reply(PIN))
    for kind in ("duplicate", "redeliver"):
        world.fault("ussd", kind)
        code = newcode2(w, c1, a)
        p = Phone(world, a); p.dial()
        for t in ("2", L(c1), "000000", code, PIN): r = p.reply(t)
        w.say(kind, r)
        world.clear_faults()

def newcode2(w, cust, a):
    have = [m.group(1) for t in w.sms(cust) if (m := re.match(r"Code (\d{6})", t))]
    p = Phone(w.world, cust); r = p.dial()
    if "Go on" in r: p.reply("2")
    for t in ("3", "2", w.code(a), "500", PIN): r = p.reply(t)
    w.say("made", r)
    return wait_for(lambda: (c := [m.group(1) for t in w.sms(cust) if (m := re.match(r"Code (\d{6})", t))]) and len(c) > len(have) and c[-1], 15, "code")

def test_h_wide(world, runtime):
    w = open_world(world, runtime)
    long_am = "አበበቢቂላሞገስተስፋዬ " * 2 + "ገብረማርያም"
    long_am = long_am[:40].strip()
    sup = w.add("super_agent", 10_000_000, "ሐይለሥላሴገብረማርያም ወልደጊዮርጊስተክለሃይማኖት", "am")
    a = w.add("agent", 5_000_000, long_am, "am", above=sup)
    c = w.add(name=long_am, lang="am", money=3_000_000); c2 = w.add(name="Wanjirũ Mũthoni", lang="en")
    for label, who, path in [("send", c, ("2", L(c2), "100", "1111", PIN)), ("cash_in", a, ("1", L(c), "100", "1111", PIN)), ("walkin bill", a, ("3", "1", fresh_meter(), L(c), "200", "1111", PIN)),
        ("invite", a, ("7","1", L(fresh_msisdn()), long_am, "1", "12345678", "1111", PIN)), ("float move", sup, ("5","2", w.code(a), "100", "1111", PIN)), ("cash out", c, ("3","1",w.code(a),"100","1111",PIN)), ("reports", a, ("8","1","1"))]:
        p = Phone(world, who); r = p.dial()
        if "Go on" in r: p.reply("2")
        for t in path:
            if not p.open: print("   SESSION CLOSED before", t, "screen:", r); break
            r = p.reply(t)
        w.say(label, r)
        ks = redis.Redis.from_url(world.redis_url)
        print("   biggest", max((len(ks.get(k) or b"") for k in ks.scan_iter("ussd:*") if ks.type(k)==b"string"), default=0))
    # resume of a walk-in bill for a long named agent
    p = Phone(world, a); p.dial()
    for t in ("3", "1", fresh_meter(), L(c), "250"): r = p.reply(t)
    p.drop(); w.say("am redial", p.dial())
    c3 = w.add(name="Peter Kamau")
    p = Phone(world, c3); p.dial()
    for t in ("2", L(c2), "100"): r = p.reply(t)
    w.say("ũ confirm", r); w.say("ũ wrong", p.reply("1111")); w.say("98", p.reply("98")); w.say("ũ right", p.reply(PIN))
