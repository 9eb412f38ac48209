// The card with the faults and the card with the billers' sales.

import { clock } from "./inbox.js";
import { ask } from "./wire.js";

const NAMES = { sms: "SMS gateway", ussd: "USSD network" };
const KEPT_OPEN = "kibanda.faults-open";

export class Faults {
  constructor(switches, complain) {
    this.complain = complain;
    this.place = document.getElementById("faults");
    this.clearAll = document.getElementById("clear-faults");
    this.clearAll.addEventListener("click", () => this.change("DELETE", "/faults"));
    this.inForce = [];
    this.rows = [];
    const open = new Set(JSON.parse(localStorage.getItem(KEPT_OPEN) ?? "[]"));
    for (const target of new Set(switches.map((one) => one.target))) {
      this.drawGroup(target, switches.filter((one) => one.target === target), open);
    }
  }

  drawGroup(target, switches, open) {
    const group = document.createElement("details");
    group.className = "faults-of";
    group.dataset.testid = `faults-${target}`;
    group.open = open.has(target);
    const summary = document.createElement("summary");
    const count = document.createElement("b");
    summary.append(NAMES[target] ?? `Biller ${target.split(":")[1]}`, count);
    group.append(summary, ...switches.map((one) => this.drawSwitch(one, count)));
    group.addEventListener("toggle", () => {
      if (group.open) open.add(target);
      else open.delete(target);
      localStorage.setItem(KEPT_OPEN, JSON.stringify([...open]));
    });
    this.place.append(group);
  }

  drawSwitch(one, count) {
    const label = document.createElement("label");
    label.className = "switch";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.dataset.testid = `fault-${one.target}-${one.kind}-${one.on}`;
    const times = document.createElement("em");
    label.append(box, document.createElement("i"), one.label, times);
    box.addEventListener("change", () => this.turn(one, box.checked));
    this.rows.push({ one, box, times, count });
    return label;
  }

  async turn(one, on) {
    const { target, kind } = one;
    if (on) await this.change("POST", "/faults", { target, kind, on: one.on, times: null });
    else for (const fault of this.inForce.filter(is(one))) await this.change("DELETE", `/faults/${fault.id}`);
  }

  async change(method, path, body) {
    try {
      await ask(method, path, body);
    } catch (error) {
      this.complain(error.message);
    }
    await this.refresh();
  }

  async refresh() {
    this.inForce = await ask("GET", "/faults").catch(() => this.inForce);
    const counts = new Map();
    for (const { one, box, times, count } of this.rows) {
      const mine = this.inForce.filter(is(one));
      box.checked = mine.length > 0;
      const left = mine.reduce((sum, fault) => sum + (fault.times ?? Infinity), 0);
      times.textContent = mine.length > 0 && Number.isFinite(left) ? `× ${left}` : "";
      counts.set(count, (counts.get(count) ?? 0) + (mine.length > 0 ? 1 : 0));
    }
    for (const [count, number] of counts) count.textContent = number || "";
    this.clearAll.disabled = this.inForce.length === 0;
  }
}

function is(one) {
  return (fault) => fault.target === one.target && fault.kind === one.kind && fault.on === one.on;
}

const MOST_SHOWN = 50;

export class Sales {
  constructor(billers) {
    this.billers = billers;
    this.known = null;
  }

  async refresh() {
    const lists = await Promise.all(
      this.billers.map((code) => this.salesOf(code)),
    );
    const sales = lists.flat().sort((a, b) => b.at.localeCompare(a.at));
    const rows = sales.slice(0, MOST_SHOWN).map((sale) => this.row(sale));
    this.known = new Set(sales.map((sale) => sale.ref_id));
    document.getElementById("sales").replaceChildren(...rows);
    document.getElementById("sales-count").textContent = sales.length;
    document.getElementById("no-sales").hidden = sales.length > 0;
  }

  async salesOf(code) {
    const sales = await ask("GET", `/billers/${code}/sales`).catch(() => []);
    return sales.map((sale) => ({ ...sale, biller: code }));
  }

  row(sale) {
    const row = document.createElement("li");
    row.dataset.testid = "sale";
    row.classList.toggle("fresh", this.known !== null && !this.known.has(sale.ref_id));
    const given = sale.tokens.length > 0 ? sale.tokens : [sale.receipt];
    const digits = given.map((one) => one.replace(/(.{4})(?=.)/g, "$1 ")).join(" · ");
    const amount = Number(sale.amount).toLocaleString("en");
    row.append(text("span", `${clock(sale.at)} · ${sale.biller} ${sale.customer_no}`), text("b", amount), text("code", digits));
    return row;
  }
}

function text(tag, words) {
  const element = document.createElement(tag);
  element.textContent = words;
  return element;
}
