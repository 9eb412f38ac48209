// The desk: which phones stand on it, whose turn the keyboard is, and what the stream of events brings.

import { Phone } from "./phone.js";
import { Faults, Sales } from "./world.js";
import { listen } from "./wire.js";

const config = JSON.parse(document.getElementById("config").textContent);
const FIRST_PHONES = 3;
const MOST_PHONES = 8;
const COLOURS = 4;
const KEPT_NUMBERS = `kibanda.phones.${config.country_code}`;
const SALES_MS = 5000; // a sale that the biller made late tells nobody by itself
const OTHER = "other";

const place = document.getElementById("phones");
const template = document.getElementById("phone-template");
const phones = [];
let active = null;
let colour = 0;

function complain(phone, sentence) {
  phone.part(".complaint").textContent = sentence;
}

function activate(phone) {
  if (active === phone) return;
  active = phone;
  for (const one of phones) one.element.classList.toggle("active", one === phone);
}

function keepNumbers() {
  localStorage.setItem(KEPT_NUMBERS, JSON.stringify(phones.map((phone) => phone.msisdn)));
  document.getElementById("add-phone").disabled = phones.length >= MOST_PHONES;
}

function addPhone(msisdn) {
  const element = template.content.firstElementChild.cloneNode(true);
  element.dataset.colour = colour++ % COLOURS;
  place.append(element);
  const phone = new Phone(element, msisdn, { people: config.people, complain, focused: activate });
  phones.push(phone);
  offerNumbers(phone);
  phone.part(".remove").addEventListener("click", () => removePhone(phone));
  phone.drawClock(Date.now());
  phone.drawGauges(config.session_seconds);
  keepNumbers();
  return phone;
}

function removePhone(phone) {
  phones.splice(phones.indexOf(phone), 1);
  phone.element.remove();
  if (active === phone && phones.length) activate(phones[0]);
  keepNumbers();
}

function offerNumbers(phone) {
  const select = phone.part(".sim select");
  const other = phone.part(".other");
  other.placeholder = `+${config.country_code}…`;
  const draw = () => {
    const people = [...config.people];
    if (!people.some((one) => one.msisdn === phone.msisdn)) people.push({ name: "", msisdn: phone.msisdn });
    select.replaceChildren(
      ...people.map(({ name, msisdn }) => new Option(`${name.split(" ")[0]} ${msisdn}`.trim(), msisdn)),
      new Option("Another number…", OTHER),
    );
    select.value = phone.msisdn;
  };
  const choose = (msisdn) => {
    select.hidden = false;
    other.hidden = true;
    if (msisdn && msisdn !== phone.msisdn) {
      phone.useNumber(msisdn);
      keepNumbers();
    }
    draw();
  };
  select.addEventListener("change", () => {
    if (select.value !== OTHER) { choose(select.value); return; }
    select.hidden = true;
    other.hidden = false;
    other.value = "";
    other.focus();
  });
  other.addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose("");
    if (event.key === "Enter") {
      const msisdn = international(other.value);
      complain(phone, msisdn ? "" : `Write a number like ${example()} or ${athome(example())}.`);
      if (msisdn) choose(msisdn);
    }
  });
  other.addEventListener("blur", () => choose(international(other.value)));
  draw();
}

// A number that nobody has, and how it is dialled in its country.
const example = () => freeNumber(new Set(config.people.map((one) => one.msisdn)));
const athome = (msisdn) => msisdn.replace(`+${config.country_code}`, "0");

// +254… from what a person writes; empty when it is no number.
function international(written) {
  const digits = written.replace(/[\s()-]/g, "").replace(/^0(?=[1-9]\d{7,11}$)/, `+${config.country_code}`).replace(/^(?=[1-9])/, "+");
  return /^\+[1-9]\d{6,14}$/.test(digits) ? digits : "";
}

const NAMED_KEYS = { Enter: "left", Escape: "right", ArrowUp: "up", ArrowDown: "down" };

function typed(event) {
  if (!active || event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = event.target === active.field;
  if (event.target.closest?.(".sim, .tape, .world, .top") && !inField) return;
  const leaves = event.key === "Escape" && active.shown === "dial";
  const named = leaves ? "end" : NAMED_KEYS[event.key];
  const writes = /^[0-9*#+]$/.test(event.key);
  if (named && !(event.key === "Enter" && event.target.closest?.("button"))) active.press(named);
  else if (!inField && event.key === "Backspace") active.erase();
  else if (!inField && writes) active.type(event.key);
  else return;
  flash(named ?? event.key);
  event.preventDefault();
}

function flash(key) {
  const button = active.element.querySelector(`[data-key="${CSS.escape(key)}"]`);
  button?.classList.add("pressed");
  setTimeout(() => button?.classList.remove("pressed"), 110);
}

const faults = new Faults(config.switches, (sentence) => complain(active ?? phones[0], sentence));
const sales = new Sales(config.billers);

function hear(name, data) {
  if (name === "faults") faults.refresh();
  else if (name === "sales") sales.refresh();
  else if (name === "phone") for (const phone of phones) phone.hearState(data);
  else for (const phone of phones) if (phone.msisdn === data.msisdn) phone.hearSms(data);
}

function refresh() {
  faults.refresh();
  sales.refresh();
  for (const phone of phones) phone.refresh();
}

function link(state) {
  const mark = document.getElementById("link");
  mark.dataset.state = state;
  mark.querySelector("span").textContent = state === "live" ? "live" : "sandbox away";
}

document.getElementById("service-code").textContent = config.service_code;
document.getElementById("add-phone").addEventListener("click", () => {
  const used = new Set(phones.map((phone) => phone.msisdn));
  const free = config.people.find((one) => !used.has(one.msisdn)) ?? { msisdn: freeNumber(used) };
  activate(addPhone(free.msisdn));
});

// The number after the first person's that nobody has.
function freeNumber(used) {
  let number = Number(config.people[0].msisdn.slice(1)) + 1;
  while (used.has(`+${number}`)) number += 1;
  return `+${number}`;
}

const kept = JSON.parse(localStorage.getItem(KEPT_NUMBERS) ?? "null");
for (const msisdn of kept ?? config.people.slice(0, FIRST_PHONES).map((one) => one.msisdn)) addPhone(msisdn);
if (phones.length) activate(phones[0]);
document.addEventListener("keydown", typed);
setInterval(() => { for (const phone of phones) phone.drawGauges(); }, 250);
setInterval(() => { for (const phone of phones) phone.drawClock(Date.now()); }, 1000);
setInterval(() => sales.refresh(), SALES_MS);
listen({ hear, refresh, link });
